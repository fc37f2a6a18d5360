"""A bounded table of what other managers say. It prefers entries that have been confirmed.

Each entry has a trust level and a source, the address that it came from. A full table drops an entry of a lower level. If
there is none, it drops an entry of the same level, from the source with the most entries. So no source can fill the table,
and an unconfirmed entry never replaces a confirmed one. Not safe for several threads.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class TrustLevel(IntEnum):
    """How far an entry is believed, the lowest level first."""

    SILENT = 0
    """Known from another manager only. A call of it had no answer."""

    HEARD = 1
    """Known from another manager only. It was not called yet."""

    KEPT = 2
    """From the store of an earlier run."""

    ANSWERED = 3
    """The manager itself said it when it was called."""

    OWN = 4
    """This manager's own entry, or the operator's."""


_CONFIRMED = (TrustLevel.KEPT, TrustLevel.ANSWERED)

RESERVED_SHARE = 8
"""One part of this many of a table is for entries that are not confirmed."""


class BoundedTable(Generic[K, V]):
    """A table with at most `limit` entries, and at most `limit_per_source` of one source and level. KEPT and ANSWERED
    entries leave an eighth of it to others. OWN entries are always accepted, also beyond both limits. Not safe for
    several threads."""

    def __init__(self, limit: int, limit_per_source: int) -> None:
        self._limit = limit
        self._limit_per_source = limit_per_source
        self._values: dict[K, V] = {}
        self._levels_and_sources: dict[K, tuple[TrustLevel, str]] = {}
        self._sources: dict[TrustLevel, dict[str, dict[K, None]]] = {trust_level: {} for trust_level in TrustLevel}
        """The entries of each level and source, the oldest first."""
        self._confirmed_count = 0

    def __contains__(self, key: object) -> bool:
        return key in self._levels_and_sources

    def __len__(self) -> int:
        return len(self._levels_and_sources)

    def get(self, key: K) -> V | None:
        """Return the value of an entry, None if there is no entry. The value itself may be None."""
        return self._values.get(key)

    def trust_level(self, key: K) -> TrustLevel | None:
        """Return the trust level of an entry, None if there is none."""
        place = self._levels_and_sources.get(key)
        return None if place is None else place[0]

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield every entry. The highest trust level comes first, and within a level and source the oldest entry."""
        # Party info is cut at its end when it is too long, so the most reliable entries come first.
        for trust_level in reversed(TrustLevel):
            for keys in self._sources[trust_level].values():
                for key in keys:
                    yield key, self._values[key]

    def put(self, key: K, value: V, source: str, trust_level: TrustLevel) -> bool:
        """Add an entry, or change the value, the source (the address that it came from) and the level of a known one.
        An entry of a lower or the same level may be dropped for it. False if the table is full for it: a known entry
        then stays as it was."""
        before = self._levels_and_sources.get(key)
        # The common case: the same manager repeats itself. The age of the entry does not change, so a repetition
        # cannot keep an entry alive by itself.
        if before == (trust_level, source):
            self._values[key] = value
            return True
        # A known entry is removed first, so that its own place counts as free. If the new one finds no place, the old
        # entry comes back: a claim must not remove what it cannot replace.
        if before is not None:
            old = self._values[key]
            self.remove(key)
            if self._insert(key, value, source, trust_level):
                return True
            self._insert(key, old, before[1], before[0])
            return False
        return self._insert(key, value, source, trust_level)

    def mark_silent(self, key: K) -> None:
        """Lower an entry from HEARD to SILENT: its manager did not answer a call. No effect for any other level or an
        unknown entry."""
        trust_level, source = self._levels_and_sources.get(key, (None, ""))
        # A confirmed entry keeps its level. A manager that is down for an hour must not lose its place to strangers.
        if trust_level is TrustLevel.HEARD:
            self.put(key, self._values[key], source, TrustLevel.SILENT)

    def remove(self, key: K) -> None:
        """Remove an entry. KeyError if there is none."""
        trust_level, source = self._levels_and_sources.pop(key)
        del self._values[key]
        keys = self._sources[trust_level][source]
        self._confirmed_count -= trust_level in _CONFIRMED
        del keys[key]
        if not keys:
            del self._sources[trust_level][source]

    def _insert(self, key: K, value: V, source: str, trust_level: TrustLevel) -> bool:
        if not self._make_space(source, trust_level) and trust_level is not TrustLevel.OWN:
            return False
        self._levels_and_sources[key] = trust_level, source
        self._values[key] = value
        self._confirmed_count += trust_level in _CONFIRMED
        self._sources[trust_level].setdefault(source, {})[key] = None
        return True

    def _make_space(self, source: str, trust_level: TrustLevel) -> bool:
        """Return True if there is space for an entry. An older entry may be removed for it."""
        own = self._sources[trust_level].get(source, {})
        # A source that reaches its own bound replaces its own oldest entry, never an entry of another source.
        if len(own) >= self._limit_per_source and trust_level is not TrustLevel.OWN:
            self.remove(next(iter(own)))
            return True
        # A stranger can run a manager under thousands of URLs, and all of them answer. A manager that calls for the first
        # time must find a place all the same.
        if trust_level in _CONFIRMED and self._confirmed_count >= self._limit - self._limit // RESERVED_SHARE:
            return self._evict_one(trust_level, len(own), _CONFIRMED)
        if len(self._levels_and_sources) < self._limit:
            return True
        return self._evict_one(trust_level, len(own), TrustLevel)

    def _evict_one(self, trust_level: TrustLevel, count: int, levels: Iterable[TrustLevel]) -> bool:
        # The lowest level is searched first. In a level the largest source gives up its oldest entry. A source takes
        # the place of another one of the same level only if it stays smaller than that one. So all sources tend to the
        # same share, and a source with many addresses per minute gains nothing.
        for lower in levels:
            sources = self._sources[lower]
            if lower > trust_level or not sources:
                continue
            largest = max(sources.values(), key=len)
            if lower < trust_level or len(largest) > count + 1:
                self.remove(next(iter(largest)))
                return True
        return False
