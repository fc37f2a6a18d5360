"""Committed batches above a base: the view of a batch, and a snapshot with batches that are not in the base yet.

A layer never changes after its commit. So a snapshot is a tuple of layers and a base that does not change. It costs nothing.
This file must not know where the base keeps its bytes.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from lacnode.storage.database import Snapshot

MAX_DATABASE_KEY_BYTES = 511
"""The largest key. It is LMDB's limit, and holds for all implementations."""

Layer: TypeAlias = Mapping[str, Mapping[bytes, bytes | None]]
"""Table to key to value. The value is None if the key was removed."""


class LayeredSnapshot:
    """The view of `layers`, the oldest first, above `base`. It is valid while `base` is."""

    def __init__(self, base: Snapshot, layers: Sequence[Layer]) -> None:
        self._base = base
        self._newest_first: list[Layer] = list(reversed(layers))

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of `key` in `table` in the newest layer that has it, otherwise in the base. None if it is
        absent or removed. Raises the errors of the base."""
        # The newest layer decides. A removed key is in it with None, and the older layers must not be asked.
        for layer in self._newest_first:
            keys = layer.get(table)
            if keys is not None and key in keys:
                return keys[key]
        return self._base.get(table, key)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of `table` from the first key that is not below `start`, in ascending order, without removed
        keys. Raises the errors of the base."""
        # From the oldest to the newest, so that the newest value stays.
        changed: dict[bytes, bytes | None] = {}
        for layer in reversed(self._newest_first):
            changed.update(layer.get(table, {}))
        return _merge(self._base.items(table, start), changed, start)


class LayeredBatch(LayeredSnapshot):
    """A snapshot with a layer of its own on top, which reads find first. `changes` is that layer: table to key to value,
    None for a removed key. It is in memory only: the database that made the batch takes `changes` when its `write`
    block ends cleanly, and otherwise they are lost. For one thread."""

    def __init__(self, base: Snapshot, layers: Sequence[Layer]) -> None:
        super().__init__(base, layers)
        self.changes: dict[str, dict[bytes, bytes | None]] = {}
        # The own layer is the newest one, so the batch reads what it has written.
        self._newest_first.insert(0, self.changes)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Store `value` under `key` and replace an earlier value. Raises ValueError if the key does not have 1 to 511
        bytes."""
        if not 0 < len(key) <= MAX_DATABASE_KEY_BYTES:
            raise ValueError(f"a key of 1 to {MAX_DATABASE_KEY_BYTES} bytes was expected, found {len(key)}")
        self.changes.setdefault(table, {})[key] = value

    def delete(self, table: str, key: bytes) -> None:
        """Delete `key` from `table`. Do nothing if it is absent."""
        self.changes.setdefault(table, {})[key] = None


def _merge(
    base: Iterator[tuple[bytes, bytes]], changed: Mapping[bytes, bytes | None], start: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """`base` and `changed` as one ascending sequence. `changed` has precedence."""
    # The base is not read in advance: a table may have millions of keys, and the caller may stop early.
    kept = ((key, value) for key, value in base if key not in changed)
    fresh = [(key, value) for key, value in sorted(changed.items()) if value is not None and key >= start]
    return heapq.merge(kept, fresh, key=lambda item: item[0])
