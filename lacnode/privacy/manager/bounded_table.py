"""A bounded table of what other managers say, which prefers what has been seen to be true.

Each entry has a standing and a source, the address that it came from. Where there is no place left, an entry of a lower
standing gives way; of the same standing, one of the source that has the most. So no source can fill the table, and what
has only been heard never takes the place of what has answered. Not safe from several threads.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class TrustLevel(IntEnum):
    """How far an entry is believed, lowest first."""

    SILENT = 0
    """Heard of, and called in vain."""

    HEARD = 1
    KEPT = 2
    """From the store of an earlier run."""

    ANSWERED = 3
    """Said by the manager itself, when it was called."""

    OWN = 4
    """Ours, or the operator's."""


class BoundedTable(Generic[K, V]):
    """At most `limit` entries, and `limit_per_source` of one source and standing; OWN ones are always taken."""

    def __init__(self, limit: int, limit_per_source: int) -> None:
        self._limit = limit
        self._limit_per_source = limit_per_source
        self._values: dict[K, V] = {}
        self._places: dict[K, tuple[TrustLevel, str]] = {}
        self._sources: dict[TrustLevel, dict[str, dict[K, None]]] = {standing: {} for standing in TrustLevel}
        """The entries of each standing and source, oldest first."""

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: K) -> V | None:
        """The value of an entry."""
        return self._values.get(key)

    def standing(self, key: K) -> TrustLevel | None:
        """The standing of an entry."""
        place = self._places.get(key)
        return None if place is None else place[0]

    def items(self) -> Iterator[tuple[K, V]]:
        """Every entry, those of the highest standing first."""
        for standing in reversed(TrustLevel):
            for keys in self._sources[standing].values():
                for key in keys:
                    yield key, self._values[key]

    def put(self, key: K, value: V, source: str, standing: TrustLevel) -> bool:
        """Take an entry, or give one that is there this value, source and standing; False if there is no place for it."""
        before = self._places.get(key)
        if before == (standing, source):
            self._values[key] = value
            return True
        if before is not None:
            old = self._values[key]
            self.drop(key)
            if self._insert(key, value, source, standing):
                return True
            self._insert(key, old, before[1], before[0])
            return False
        return self._insert(key, value, source, standing)

    def lower(self, key: K) -> None:
        """An entry that has only been heard of was called in vain."""
        standing, source = self._places.get(key, (None, ""))
        if standing is TrustLevel.HEARD:
            self.put(key, self._values[key], source, TrustLevel.SILENT)

    def drop(self, key: K) -> None:
        """Forget an entry."""
        standing, source = self._places.pop(key)
        del self._values[key]
        keys = self._sources[standing][source]
        del keys[key]
        if not keys:
            del self._sources[standing][source]

    def _insert(self, key: K, value: V, source: str, standing: TrustLevel) -> bool:
        if not self._has_place(source, standing) and standing is not TrustLevel.OWN:
            return False
        self._places[key] = standing, source
        self._values[key] = value
        self._sources[standing].setdefault(source, {})[key] = None
        return True

    def _has_place(self, source: str, standing: TrustLevel) -> bool:
        """Whether there is a place, made free where that may be."""
        own = self._sources[standing].get(source, {})
        if len(own) >= self._limit_per_source and standing is not TrustLevel.OWN:
            self.drop(next(iter(own)))
            return True
        if len(self._places) < self._limit:
            return True
        return self._has_evicted(standing, len(own))

    def _has_evicted(self, standing: TrustLevel, count: int) -> bool:
        for lower in TrustLevel:
            sources = self._sources[lower]
            if lower > standing or not sources:
                continue
            largest = max(sources.values(), key=len)
            if lower < standing or len(largest) > count + 1:
                self.drop(next(iter(largest)))
                return True
        return False
