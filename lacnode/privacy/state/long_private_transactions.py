"""The records of long private transactions: those that did not end in their time slice.

| Table | Key | Value |
|---|---|---|
| private_long | group id, number (8), index (4) | tries (4), marker hash (32), `1` if preferred: it is executed apart |
| private_long_at | number (8), index (4) | group id: the same by its place |

While a group has one, the group's later transactions wait behind it and are recorded here too. This module must not execute
anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lacnode.privacy.state.group_rotation import AFTER_GROUP
from lacnode.privacy.state.private_store import MarkerPlace
from lacnode.storage.database import Batch, Snapshot

LONG_TABLE, LONG_PLACES_TABLE = "private_long", "private_long_at"


@dataclass(frozen=True, slots=True)
class LongPrivateTransaction:
    """A private transaction of the group `group_id` that is executed apart. Its marker has the hash `marker_hash` (32
    bytes each) and is at `place`.

    `tries` counts the tries that did not end. `is_preferred` says that its sender was an own or a punctual one when it
    was recorded, and that it had no such try since. It is then executed before others.
    """

    group_id: bytes
    place: MarkerPlace
    marker_hash: bytes
    tries: int = 0
    is_preferred: bool = False

    def with_one_more_try(self) -> "LongPrivateTransaction":
        """Return a copy of this transaction with one more try that did not end. The copy is not preferred to others."""
        return replace(self, tries=self.tries + 1, is_preferred=False)


class LongTransactionReader:
    """Reads, from one snapshot, the private transactions that did not end in their time slice, and those of the same
    group that wait behind them. Later writes are not seen. StorageError from every method if a value is damaged or
    cannot be read."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def transactions_of_group(self, group_id: bytes) -> Iterator[LongPrivateTransaction]:
        """Yield the private transactions of the group with this id (32 bytes) that did not end in their time slice, and
        those that wait behind them, in the order of the chain. The snapshot must be open meanwhile."""
        for key, value in self._snapshot.items(LONG_TABLE, group_id):
            if not key.startswith(group_id):
                return
            yield _decoded(key, value)

    def is_waiting(self, group_id: bytes) -> bool:
        """Return True if the group `group_id` (32 bytes) has a long transaction: its later transactions wait for it."""
        return next(self.transactions_of_group(group_id), None) is not None

    def has_transaction_at(self, place: MarkerPlace) -> bool:
        """Return True if the private transaction of the marker at `place` is executed apart and has not ended."""
        return self._snapshot.get(LONG_PLACES_TABLE, place.key()) is not None

    def first_of_each_group(self, start: bytes = b"") -> Iterator[LongPrivateTransaction]:
        """Yield the first long transaction of every group that has one, in the order of the groups' ids (32 bytes),
        from the key `start` on: an id, or an id and more bytes. Empty begins with the lowest id."""
        while True:
            found = next(iter(self._snapshot.items(LONG_TABLE, start)), None)
            if found is None:
                return
            first = _decoded(*found)
            yield first
            # The next key after all entries of this group. Each step is one look-up.
            start = first.group_id + AFTER_GROUP


class LongTransactionWriter:
    """Writes long transactions within one batch. Nothing is stored before the batch is committed. StorageError from
    every method if the database fails."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def add(self, long: LongPrivateTransaction) -> None:
        """Record `long`. A record of the same group and place is replaced. A place must not be recorded for two groups:
        the record of the first group would stay."""
        value = long.tries.to_bytes(4) + long.marker_hash + bytes([long.is_preferred])
        self._batch.put(LONG_TABLE, long.group_id + long.place.key(), value)
        self._batch.put(LONG_PLACES_TABLE, long.place.key(), long.group_id)

    def remove(self, long: LongPrivateTransaction) -> None:
        """Delete the record of `long`, found by its group and place, because the transaction was executed or never can
        be. No effect if there is none."""
        self._batch.delete(LONG_TABLE, long.group_id + long.place.key())
        self._batch.delete(LONG_PLACES_TABLE, long.place.key())


def _decoded(key: bytes, value: bytes) -> LongPrivateTransaction:
    tries, is_preferred = int.from_bytes(value[:4]), value[36:] == b"\x01"  # versions before did not keep the last byte
    return LongPrivateTransaction(key[:32], MarkerPlace.from_key(key[32:]), value[4:36], tries, is_preferred)
