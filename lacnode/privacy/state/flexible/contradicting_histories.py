"""Histories of a flexible group that contradict what this node carried out in the group: who told them, and where they are.

Whoever knows the id of a group can tell a node that is no member yet a history of its own, or make a group of this id with
the node. The true history, which comes later, contradicts it then. Which one is true only the operator can find out.

| Table | Key | Value |
|---|---|---|
| private_meta | `told`, group id, its teller's key | payload key, number (8), index (4), both roots, `1` if dismissed |
| private_meta | `accepted`, group id | payload key of the history that the operator has accepted, until it is taken over |

Must not judge between the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lacnode.privacy.state.private_store import META, MarkerPlace
from lacnode.storage.database import Batch, Snapshot

MAX_CONTRADICTING_HISTORIES = 16
"""Tellers that are kept of one group."""

_TOLD, _ACCEPTED = b"told", b"accepted"


@dataclass(frozen=True, slots=True)
class ContradictingHistory:
    """`teller` (32-byte key) told it under `payload_key`, with the marker at `place`, and it leads to the root `told`.
    `found` is the root that the group had here. What `is_dismissed` does not count."""

    group_id: bytes
    teller: bytes
    payload_key: bytes
    place: MarkerPlace
    told: bytes
    found: bytes
    is_dismissed: bool = False


class ContradictingHistoryReader:
    """Those that one snapshot shows."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def of(self, group_id: bytes) -> Iterator[ContradictingHistory]:
        """Those of a group that are not dismissed, by their tellers' keys."""
        return (history for history in self._all(group_id) if not history.is_dismissed)

    def told_by(self, group_id: bytes, teller: bytes) -> ContradictingHistory | None:
        """What `teller` told last, dismissed or not."""
        return next((history for history in self._all(group_id) if history.teller == teller), None)

    def _all(self, group_id: bytes) -> Iterator[ContradictingHistory]:
        prefix = _TOLD + group_id
        for key, value in self._snapshot.items(META, prefix):
            if not key.startswith(prefix):
                return
            place, is_dismissed = MarkerPlace.of(value[32:44]), value[108:] == b"\x01"
            teller, told, found = key[len(prefix) :], value[44:76], value[76:108]
            yield ContradictingHistory(group_id, teller, value[:32], place, told, found, is_dismissed)

    def accepted(self, group_id: bytes) -> bytes | None:
        """The payload key of the history that the operator has accepted, None if it was taken over or there is none."""
        return self._snapshot.get(META, _ACCEPTED + group_id)


class ContradictingHistoryWriter:
    """Notes them within one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def contradicts(self, history: ContradictingHistory) -> None:
        """Note one, in the place of what its teller told before; not one that was dismissed already, and no more than
        `MAX_CONTRADICTING_HISTORIES`."""
        reader = ContradictingHistoryReader(self._batch)
        before = reader.told_by(history.group_id, history.teller)
        if before is not None and before.is_dismissed and before.payload_key == history.payload_key:
            return
        kept = [other.teller for other in reader.of(history.group_id)]
        if history.teller in kept or len(kept) < MAX_CONTRADICTING_HISTORIES:
            self._put(history)

    def _put(self, history: ContradictingHistory) -> None:
        roots = history.told + history.found
        value = history.payload_key + history.place.key() + roots + bytes([history.is_dismissed])
        self._batch.put(META, _TOLD + history.group_id + history.teller, value)

    def dismiss(self, history: ContradictingHistory) -> None:
        """It does not count any more."""
        self._put(replace(history, is_dismissed=True))

    def agrees(self, group_id: bytes, teller: bytes) -> None:
        """What the teller told was taken over."""
        self._batch.delete(META, _TOLD + group_id + teller)

    def accept(self, history: ContradictingHistory) -> None:
        """It is to be taken over in the place of what was carried out here."""
        self._batch.put(META, _ACCEPTED + history.group_id, history.payload_key)

    def settled(self, group_id: bytes) -> None:
        """The accepted history was taken over, or cannot be."""
        self._batch.delete(META, _ACCEPTED + group_id)
