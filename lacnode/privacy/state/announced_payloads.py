"""What markers have shown: the first marker that executed a payload, and the signers of markers with our payloads.

| Table | Key | Value |
|---|---|---|
| private_first | payload key (32) | number (8), index (4), marker hash (32) of its first success, then `facts_of` it |
| private_signers | address (20) | nothing: its marker announced a payload that this node has |
| private_signers | public key (32) | nothing: a private transaction of it was executed, and none since took long |

This module must not know the content of a payload.
"""

from lacnode.storage.database import Batch, Snapshot

FIRST_MARKERS_TABLE, SIGNERS_TABLE = "private_first", "private_signers"
_PLACE_BYTES, _HASH_BYTES = 12, 32


def note_success(batch: Batch, payload_key: bytes, place_key: bytes, marker_hash: bytes, facts: bytes = b"") -> None:
    """Note that a payload with the known `facts` was executed at this marker. The first marker is kept."""
    # A rebuild may find an earlier marker than the stored one. The earliest one in the chain counts.
    before, value = batch.get(FIRST_MARKERS_TABLE, payload_key), place_key + marker_hash
    if before is None or before[:_PLACE_BYTES] > place_key:
        batch.put(FIRST_MARKERS_TABLE, payload_key, value + facts)
    elif len(before) == len(value) and facts:
        # Earlier versions did not store the facts.
        batch.put(FIRST_MARKERS_TABLE, payload_key, before + facts)


def first_successful_marker(snapshot: Snapshot, payload_key: bytes) -> tuple[bytes, bytes] | None:
    """Return the number and index (12 bytes) and the hash of the first marker at which the payload was executed."""
    value = snapshot.get(FIRST_MARKERS_TABLE, payload_key)
    return None if value is None else (value[:_PLACE_BYTES], value[_PLACE_BYTES : _PLACE_BYTES + _HASH_BYTES])


def facts_of(snapshot: Snapshot, payload_key: bytes) -> bytes:
    """Return the stored facts of an executed payload, empty if there are none."""
    return (snapshot.get(FIRST_MARKERS_TABLE, payload_key) or b"")[_PLACE_BYTES + _HASH_BYTES :]


def note_signer(batch: Batch, address: bytes) -> None:
    """Note that `address` signed the marker of a payload that this node has."""
    batch.put(SIGNERS_TABLE, address, b"\x01")


def is_known_signer(snapshot: Snapshot, address: bytes) -> bool:
    """Return True if `address` signed such a marker before."""
    return snapshot.get(SIGNERS_TABLE, address) is not None


def note_sender(batch: Batch, private_from: bytes) -> None:
    """Note that a private transaction of the key `private_from` was executed in its time slice."""
    batch.put(SIGNERS_TABLE, private_from, b"\x01")


def forget_sender(batch: Batch, private_from: bytes) -> None:
    """Note that a private transaction of the key took longer than its time slice."""
    batch.delete(SIGNERS_TABLE, private_from)


def is_known_sender(snapshot: Snapshot, private_from: bytes) -> bool:
    """Return True if the key's last private transaction was executed in its time slice."""
    return snapshot.get(SIGNERS_TABLE, private_from) is not None
