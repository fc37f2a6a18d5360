"""Committed batches laid over a base: what a batch sees of itself, and a snapshot of what is not folded in yet.

A layer never changes once committed, so a snapshot is a tuple of layers and a base that stands still, and costs
nothing to take. Must not know where the base keeps its bytes.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from lacnode.storage.database import Snapshot

MAX_DATABASE_KEY_BYTES = 511
"""Bytes; LMDB's limit, and so everybody's."""

Layer: TypeAlias = Mapping[str, Mapping[bytes, bytes | None]]
"""Table to key to value; None where the key was removed."""


class LayeredSnapshot:
    """`layers`, oldest first, over `base`."""

    def __init__(self, base: Snapshot, layers: Sequence[Layer]) -> None:
        self._base = base
        self._newest_first: list[Layer] = list(reversed(layers))

    def get(self, table: str, key: bytes) -> bytes | None:
        for layer in self._newest_first:
            keys = layer.get(table)
            if keys is not None and key in keys:
                return keys[key]
        return self._base.get(table, key)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        changed: dict[bytes, bytes | None] = {}
        for layer in reversed(self._newest_first):
            changed.update(layer.get(table, {}))
        return _overlaid(self._base.items(table, start), changed, start)


class LayeredBatch(LayeredSnapshot):
    """A snapshot with a layer of its own on top, which `changes` gives away when the batch commits."""

    def __init__(self, base: Snapshot, layers: Sequence[Layer]) -> None:
        super().__init__(base, layers)
        self.changes: dict[str, dict[bytes, bytes | None]] = {}
        self._newest_first.insert(0, self.changes)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        if not 0 < len(key) <= MAX_DATABASE_KEY_BYTES:
            raise ValueError(f"a key of 1 to {MAX_DATABASE_KEY_BYTES} bytes was expected, found {len(key)}")
        self.changes.setdefault(table, {})[key] = value

    def delete(self, table: str, key: bytes) -> None:
        self.changes.setdefault(table, {})[key] = None


def _overlaid(
    base: Iterator[tuple[bytes, bytes]], changed: Mapping[bytes, bytes | None], start: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """`base` and `changed` as one ascending sequence, `changed` winning."""
    kept = ((key, value) for key, value in base if key not in changed)
    fresh = [(key, value) for key, value in sorted(changed.items()) if value is not None and key >= start]
    return heapq.merge(kept, fresh, key=lambda item: item[0])
