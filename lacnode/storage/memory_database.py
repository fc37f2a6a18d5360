"""A database in memory, for networks and tests inside one process.

It behaves like `LmdbDatabase`, without the errors of a disk. Do not use it for data that must survive the process.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.storage.checksums import DamageListener
from lacnode.storage.database import Batch, Snapshot
from lacnode.storage.layers import Layer, LayeredBatch, LayeredSnapshot
from lacnode.storage.storage_errors import StorageError


class _Tables:
    """The base below the layers. It changes only while no snapshot is open."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[bytes, bytes]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        keys = self._tables.get(table)
        return None if keys is None else keys.get(key)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        values = self._tables.get(table, {})
        # Sorted at each call: the tests of a network have few keys, and a sorted container would cost every write.
        keys = sorted(values)
        return ((key, values[key]) for key in keys[bisect_left(keys, start) :])

    def fold(self, layer: Layer) -> None:
        for table, changes in layer.items():
            values = self._tables.setdefault(table, {})
            for key, value in changes.items():
                # None marks a removed key. The key may be absent from the base, if it was added and removed in layers.
                if value is None:
                    values.pop(key, None)
                else:
                    values[key] = value


class MemoryDatabase:
    """A `Database` whose tables are in the memory of this process. Committed batches are merged into one base as soon
    as no snapshot is open."""

    def __init__(self) -> None:
        self._base = _Tables()
        self._layers: tuple[Layer, ...] = ()
        self._open_snapshots = 0
        self._state = threading.Lock()
        self._writer = threading.Lock()
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """Open a snapshot of the last commit. It closes at the exit of the context. Raises StorageError if the database
        is closed."""
        layers = self._enter()
        try:
            yield LayeredSnapshot(self._base, layers)
        finally:
            self._leave()

    @contextmanager
    def write(self) -> Iterator[Batch]:
        """Open a batch. It commits on a clean exit and is dropped on an exception. Batches of other threads wait. A
        thread must not open a second batch inside: it would wait for ever. Raises StorageError at the entry if the
        database is closed."""
        # The batch counts as a snapshot while it is open, so its base cannot change.
        with self._writer:
            batch = LayeredBatch(self._base, self._enter())
            try:
                yield batch
                # Only after a clean exit of the block: an exception drops the batch.
                with self._state:
                    self._layers = (*self._layers, batch.changes)
            finally:
                self._leave()

    @contextmanager
    def group_commits(self) -> Iterator[None]:
        """Do nothing: no commit reaches a disk. Batches inside are visible at once."""
        yield

    def on_damage(self, listener: DamageListener) -> None:
        """Do nothing: values in memory have no checksums."""

    def close(self) -> None:
        """From now on reads and writes raise StorageError. Open snapshots stay valid, and an open batch can still
        commit. Closing twice is harmless."""
        self._closed = True

    def _enter(self) -> tuple[Layer, ...]:
        with self._state:
            if self._closed:
                raise StorageError("the database is closed")
            self._open_snapshots += 1
            return self._layers

    def _leave(self) -> None:
        with self._state:
            self._open_snapshots -= 1
            # With an open snapshot the base must not change, because snapshots read it directly.
            if not self._open_snapshots:
                for layer in self._layers:
                    self._base.fold(layer)
                self._layers = ()
