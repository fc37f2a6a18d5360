"""A database that lives and dies with the process, for networks and tests inside one.

Behaves as `LmdbDatabase` does, errors of the disk aside. Must not be used where anything has to survive.
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
    """The base under the layers: changed only while nobody looks."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[bytes, bytes]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        keys = self._tables.get(table)
        return None if keys is None else keys.get(key)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        values = self._tables.get(table, {})
        keys = sorted(values)
        return ((key, values[key]) for key in keys[bisect_left(keys, start) :])

    def fold(self, layer: Layer) -> None:
        for table, changes in layer.items():
            values = self._tables.setdefault(table, {})
            for key, value in changes.items():
                if value is None:
                    values.pop(key, None)
                else:
                    values[key] = value


class MemoryDatabase:
    """See `Database`. Layers are folded into the base as soon as no snapshot is open."""

    def __init__(self) -> None:
        self._base = _Tables()
        self._layers: tuple[Layer, ...] = ()
        self._open_snapshots = 0
        self._state = threading.Lock()
        self._writer = threading.Lock()
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        layers = self._enter()
        try:
            yield LayeredSnapshot(self._base, layers)
        finally:
            self._leave()

    @contextmanager
    def write(self) -> Iterator[Batch]:
        with self._writer:
            batch = LayeredBatch(self._base, self._enter())
            try:
                yield batch
                with self._state:
                    self._layers = (*self._layers, batch.changes)
            finally:
                self._leave()

    @contextmanager
    def group(self) -> Iterator[None]:
        yield

    def on_damage(self, listener: DamageListener) -> None:
        """Memory is not checked."""

    def close(self) -> None:
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
            if not self._open_snapshots:
                for layer in self._layers:
                    self._base.fold(layer)
                self._layers = ()
