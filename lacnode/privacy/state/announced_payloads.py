"""What markers have shown: the first marker that executed a payload, the accounts that signed markers of payloads which
this node has, and the punctual senders.

A punctual sender is a key whose private transaction changed a state within its time slice, and of which none took longer
since (`time_slices`).

| Table | Key | Value |
|---|---|---|
| private_first | payload key (32) | number (8), index (4), marker hash (32) of its first success, then encoded facts |
| private_signers | address (20) | nothing: its marker announced a payload that this node has |
| private_signers | public key (32) | nothing: its transaction changed a state in its slice, and none took longer since |

This module must not know the content of a payload.
"""

from lacnode.storage.database import Batch, Snapshot

FIRST_MARKERS_TABLE, SIGNERS_TABLE = "private_first", "private_signers"
_PLACE_BYTES, _HASH_BYTES = 12, 32


def record_successful_marker(
    batch: Batch, payload_key: bytes, place_key: bytes, marker_hash: bytes, facts: bytes = b""
) -> None:
    """Record in `batch` that the payload `payload_key` (32 bytes) was executed with success at a marker. Of several
    markers the first one in the chain is kept.

    `place_key` is the key of the marker's place (12 bytes), `marker_hash` has 32 bytes. `facts` are those of
    `PayloadFacts.encode`, empty if there are none. They are added to a record without facts.
    """
    # A rebuild may find an earlier marker than the stored one. The earliest one in the chain counts.
    before, value = batch.get(FIRST_MARKERS_TABLE, payload_key), place_key + marker_hash
    if before is None or before[:_PLACE_BYTES] > place_key:
        batch.put(FIRST_MARKERS_TABLE, payload_key, value + facts)
    elif len(before) == len(value) and facts:
        # Earlier versions did not store the facts.
        batch.put(FIRST_MARKERS_TABLE, payload_key, before + facts)


def remove_successful_marker(batch: Batch, payload_key: bytes, place_key: bytes) -> None:
    """Delete the record of the payload `payload_key` (32 bytes) if it is that of the marker whose place has the key
    `place_key` (12 bytes). The caller records the successes at later markers again. No effect if the record is that of
    another marker, or if there is none."""
    before = batch.get(FIRST_MARKERS_TABLE, payload_key)
    if before is not None and before[:_PLACE_BYTES] == place_key:
        batch.delete(FIRST_MARKERS_TABLE, payload_key)


def place_key_and_hash_of_first_success(snapshot: Snapshot, payload_key: bytes) -> tuple[bytes, bytes] | None:
    """Return the place key (12 bytes) and the hash (32 bytes) of the first marker at which the payload `payload_key`
    (32 bytes) was executed with success. None if there is none. The place key is the block number (8 bytes) and the
    index in the block (4 bytes), as `MarkerPlace.key` makes it."""
    value = snapshot.get(FIRST_MARKERS_TABLE, payload_key)
    return None if value is None else (value[:_PLACE_BYTES], value[_PLACE_BYTES : _PLACE_BYTES + _HASH_BYTES])


def read_encoded_facts(snapshot: Snapshot, payload_key: bytes) -> bytes:
    """Return the facts of the executed payload `payload_key` (32 bytes) as `PayloadFacts.encode` made them. Empty if no
    transaction of the payload succeeded, or if an earlier version of lacnode executed it."""
    return (snapshot.get(FIRST_MARKERS_TABLE, payload_key) or b"")[_PLACE_BYTES + _HASH_BYTES :]


def record_signer_of_held_payload(batch: Batch, address: bytes) -> None:
    """Record in `batch` that the account `address` (20 bytes) signed the marker of a payload that this node has. It
    stays recorded."""
    batch.put(SIGNERS_TABLE, address, b"\x01")


def is_signer_of_held_payload(snapshot: Snapshot, address: bytes) -> bool:
    """Return True if the account `address` (20 bytes) ever signed the marker of a payload that this node has."""
    return snapshot.get(SIGNERS_TABLE, address) is not None


def record_punctual_sender(batch: Batch, private_from: bytes) -> None:
    """Record in `batch` that the key `private_from` (32 bytes) is punctual: a private transaction of it has changed a
    state within its time slice. The key stays punctual until `remove_punctual_sender` is called for it."""
    batch.put(SIGNERS_TABLE, private_from, b"\x01")


def remove_punctual_sender(batch: Batch, private_from: bytes) -> None:
    """Record in `batch` that the key `private_from` (32 bytes) is no longer punctual: a private transaction of it took
    longer than its time slice. `record_punctual_sender` makes it punctual again. No effect if it is not punctual."""
    batch.delete(SIGNERS_TABLE, private_from)


def is_punctual_sender(snapshot: Snapshot, private_from: bytes) -> bool:
    """Return True if the key `private_from` (32 bytes) is punctual: a private transaction of it changed a state within
    its time slice, and none took longer since. False for an unknown key."""
    return snapshot.get(SIGNERS_TABLE, private_from) is not None
