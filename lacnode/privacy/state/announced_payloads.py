"""What markers have told: which was the first to have a payload carried out, and who signs markers of our payloads.

| Table | Key | Value |
|---|---|---|
| private_first | payload key (32) | number (8), index (4), marker hash (32) where it first succeeded; `facts_of` it |
| private_signers | address (20) | nothing: its marker announced a payload that this node has |
| private_signers | public key (32) | nothing: a private transaction of it was carried out, and none since took long |

Must not know what a payload says.
"""

from lacnode.storage.database import Batch, Snapshot

FIRST_MARKERS_TABLE, SIGNERS_TABLE = "private_first", "private_signers"
_PLACE_BYTES, _HASH_BYTES = 12, 32


def note_carried_out(
    batch: Batch, payload_key: bytes, place_key: bytes, marker_hash: bytes, facts: bytes = b""
) -> None:
    """The payload, of which `facts` are known, was carried out at this marker; the first marker is kept."""
    before, value = batch.get(FIRST_MARKERS_TABLE, payload_key), place_key + marker_hash
    if before is None or before[:_PLACE_BYTES] > place_key:
        batch.put(FIRST_MARKERS_TABLE, payload_key, value + facts)
    elif len(before) == len(value) and facts:
        batch.put(FIRST_MARKERS_TABLE, payload_key, before + facts)  # versions before did not keep them


def first_marker(snapshot: Snapshot, payload_key: bytes) -> tuple[bytes, bytes] | None:
    """Number and index (12 bytes), and hash, of the first marker at which the payload was carried out."""
    value = snapshot.get(FIRST_MARKERS_TABLE, payload_key)
    return None if value is None else (value[:_PLACE_BYTES], value[_PLACE_BYTES : _PLACE_BYTES + _HASH_BYTES])


def facts_of(snapshot: Snapshot, payload_key: bytes) -> bytes:
    """What is known of a payload that was carried out; empty if there is none, or nothing is known."""
    return (snapshot.get(FIRST_MARKERS_TABLE, payload_key) or b"")[_PLACE_BYTES + _HASH_BYTES :]


def note_signer(batch: Batch, address: bytes) -> None:
    """`address` signed the marker of a payload that this node has."""
    batch.put(SIGNERS_TABLE, address, b"\x01")


def is_known_signer(snapshot: Snapshot, address: bytes) -> bool:
    """Whether it did before."""
    return snapshot.get(SIGNERS_TABLE, address) is not None


def note_sender(batch: Batch, private_from: bytes) -> None:
    """A private transaction of the key `private_from` was carried out in its slice of time."""
    batch.put(SIGNERS_TABLE, private_from, b"\x01")


def forget_sender(batch: Batch, private_from: bytes) -> None:
    """A private transaction of the key took longer."""
    batch.delete(SIGNERS_TABLE, private_from)


def is_known_sender(snapshot: Snapshot, private_from: bytes) -> bool:
    """Whether the last one of the key was carried out in its slice."""
    return snapshot.get(SIGNERS_TABLE, private_from) is not None
