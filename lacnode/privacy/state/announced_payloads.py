"""What markers have told: which was the first to have a payload carried out, and who signs markers of our payloads.

| Table | Key | Value |
|---|---|---|
| private_first | payload key (32) | number (8), index (4), marker hash: the first marker at which it succeeded |
| private_signers | address (20) | nothing: its marker announced a payload that this node has |

Must not know what a payload says.
"""

from lacnode.storage.database import Batch, Snapshot

FIRST_MARKERS_TABLE, SIGNERS_TABLE = "private_first", "private_signers"


def note_carried_out(batch: Batch, payload_key: bytes, place_key: bytes, marker_hash: bytes) -> None:
    """The payload was carried out at this marker; the first marker is kept."""
    before = batch.get(FIRST_MARKERS_TABLE, payload_key)
    if before is None or before[:12] > place_key:
        batch.put(FIRST_MARKERS_TABLE, payload_key, place_key + marker_hash)


def first_marker(snapshot: Snapshot, payload_key: bytes) -> tuple[bytes, bytes] | None:
    """Number and index (12 bytes), and hash, of the first marker at which the payload was carried out."""
    value = snapshot.get(FIRST_MARKERS_TABLE, payload_key)
    return None if value is None else (value[:12], value[12:])


def note_signer(batch: Batch, address: bytes) -> None:
    """`address` signed the marker of a payload that this node has."""
    batch.put(SIGNERS_TABLE, address, b"\x01")


def is_known_signer(snapshot: Snapshot, address: bytes) -> bool:
    """Whether it did before."""
    return snapshot.get(SIGNERS_TABLE, address) is not None
