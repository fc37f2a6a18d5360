"""Histories of a flexible group that contradict what this node executed in the group: their senders and their payloads.

A stranger that knows the id of a group can send a false history to a node that is no member yet. It can also create a
group of this id with the node. The true history, which comes later, then contradicts the state here. Only the operator
can find out which one is true.

| Table | Key | Value |
|---|---|---|
| private_meta | `told`, group id, its teller's key | payload key, number (8), index (4), both roots, `1` if dismissed |
| private_meta | `accepted`, group id | payload key of the history that the operator has accepted, until it is taken over |

This module must not decide which one is true.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lacnode.privacy.state.private_store import META, MarkerPlace
from lacnode.storage.database import Batch, Snapshot

MAX_CONTRADICTING_HISTORIES = 16
"""The largest number of senders that are kept for one group."""

_TOLD, _ACCEPTED = b"told", b"accepted"


@dataclass(frozen=True, slots=True)
class ContradictingHistory:
    """A history of the flexible group `group_id` that the key `teller` (32 bytes) sent in the payload `payload_key` (32
    bytes), with the marker at `place`.

    The history ends in the state root `told_root`. The group has the state root `own_root` here (32 bytes each). A
    history that `is_dismissed` does not count.
    """

    group_id: bytes
    teller: bytes
    payload_key: bytes
    place: MarkerPlace
    told_root: bytes
    own_root: bytes
    is_dismissed: bool = False


class ContradictingHistoryReader:
    """The contradicting histories in one snapshot. StorageError from every method if a value is damaged or cannot be
    read."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def not_dismissed_of_group(self, group_id: bytes) -> Iterator[ContradictingHistory]:
        """Yield the histories of the group `group_id` (32 bytes) that are not dismissed, in the order of their senders'
        keys. The snapshot must be open meanwhile."""
        return (history for history in self._all(group_id) if not history.is_dismissed)

    def find_by_teller(self, group_id: bytes, teller: bytes) -> ContradictingHistory | None:
        """Return the contradicting history of the group `group_id` that was recorded last from the key `teller` (32
        bytes each), dismissed or not. None if none is recorded."""
        return next((history for history in self._all(group_id) if history.teller == teller), None)

    def _all(self, group_id: bytes) -> Iterator[ContradictingHistory]:
        prefix = _TOLD + group_id
        for key, value in self._snapshot.items(META, prefix):
            if not key.startswith(prefix):
                return
            place, is_dismissed = MarkerPlace.from_key(value[32:44]), value[108:] == b"\x01"
            teller, told, found = key[len(prefix) :], value[44:76], value[76:108]
            yield ContradictingHistory(group_id, teller, value[:32], place, told, found, is_dismissed)

    def accepted_payload_key(self, group_id: bytes) -> bytes | None:
        """Return the payload key (32 bytes) of the group's history that the operator accepted. None if there is none,
        or if it was taken over or found unusable since."""
        return self._snapshot.get(META, _ACCEPTED + group_id)


class ContradictingHistoryWriter:
    """Writes contradicting histories within one batch. Nothing is stored before the batch is committed. StorageError
    from every method if the database fails."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def add(self, history: ContradictingHistory) -> None:
        """Record a history in place of the last one from its sender.

        If the last history of the sender was dismissed, the same one (by its payload key) is not recorded again. If
        `MAX_CONTRADICTING_HISTORIES` of a group are not dismissed, the history of a further sender is not recorded.
        """
        reader = ContradictingHistoryReader(self._batch)
        before = reader.find_by_teller(history.group_id, history.teller)
        # The operator has decided about this history. Its sender must not bring it back by sending it again.
        if before is not None and before.is_dismissed and before.payload_key == history.payload_key:
            return
        kept = [other.teller for other in reader.not_dismissed_of_group(history.group_id)]
        # A stranger can use any number of keys. The bound keeps the list readable for the operator.
        if history.teller in kept or len(kept) < MAX_CONTRADICTING_HISTORIES:
            self._put(history)

    def _put(self, history: ContradictingHistory) -> None:
        roots = history.told_root + history.own_root
        value = history.payload_key + history.place.key() + roots + bytes([history.is_dismissed])
        self._batch.put(META, _TOLD + history.group_id + history.teller, value)

    def dismiss(self, history: ContradictingHistory) -> None:
        """Record that the history does not count from now on. It stays stored, so that its sender cannot bring it back."""
        self._put(replace(history, is_dismissed=True))

    def remove(self, group_id: bytes, teller: bytes) -> None:
        """Delete the history of the group that the key `teller` (32 bytes) sent, because this node has taken it over.
        No effect if there is none."""
        self._batch.delete(META, _TOLD + group_id + teller)

    def accept(self, history: ContradictingHistory) -> None:
        """Record that the history is to replace what was executed here. It takes the place of an earlier acceptance for
        its group. The rebuild is the caller's."""
        self._batch.put(META, _ACCEPTED + history.group_id, history.payload_key)

    def remove_acceptance(self, group_id: bytes) -> None:
        """Delete the acceptance of a history for the group `group_id` (32 bytes). The history was taken over, or it
        cannot be. No effect if there is none."""
        self._batch.delete(META, _ACCEPTED + group_id)
