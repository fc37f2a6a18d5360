"""The limit for absent payloads that are asked for. Any account can send markers of payloads that no manager has.

Above the limit the least promising ones are no longer asked for, in this order: those of a signer whose payloads never
came here, those that were given up, those of the signer that has most, those that were asked for most often, the oldest. A
payload that comes later is still found by its key. A row of 76 bytes stays for each marker, less than the marker takes on
the chain.
"""

import threading
from collections import Counter
from collections.abc import Iterable

from lacnode.privacy.state.private_store import AbsentMarker, PrivateStoreReader, PrivateStoreWriter
from lacnode.storage.database import Database

MAX_ABSENT_MARKERS = 10_000
"""The largest number of absent payloads that are asked for."""


class AbsentMarkerLimit:
    """Keeps the number of absent markers that are asked for at `MAX_ABSENT_MARKERS` at most. Safe to use from any
    thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._count: int | None = None

    def apply_after_adding(self, count: int) -> None:
        """Count `count` absent markers, which the caller has committed before. If there are more than
        `MAX_ABSENT_MARKERS`, record that the least promising ones are not asked for again, down to nine tenths of it.
        Nothing happens if `count` is 0. StorageError if the database fails."""
        if not count:
            return
        with self._lock:
            self._apply(count)

    def _apply(self, count: int) -> None:
        # The count is read from the database once. To count 10,000 rows after every block would cost more than the block.
        if self._count is None:
            with self._database.read() as snapshot:
                self._count = sum(1 for _ in PrivateStoreReader(snapshot).absent_markers())
        else:
            self._count += count
        if self._count > MAX_ABSENT_MARKERS:
            self._count = self._cut()

    def _cut(self) -> int:
        # Reading and sorting takes half a second. The import of public blocks must not wait for it to write.
        with self._database.read() as snapshot:
            markers = _most_promising_first(PrivateStoreReader(snapshot).absent_markers())
        if len(markers) <= MAX_ABSENT_MARKERS:
            return len(markers)
        # A tenth more than necessary is removed. Sorting then happens once for each thousand of new markers.
        kept = MAX_ABSENT_MARKERS - MAX_ABSENT_MARKERS // 10
        with self._database.write() as batch:
            stored, writer = PrivateStoreReader(batch), PrivateStoreWriter(batch)
            for marker in markers[kept:]:
                # Meanwhile another thread may have made it due, or its payload may have come.
                if stored.absent_at(marker.place) == marker:
                    writer.stop_asking(marker)
        return kept


def _most_promising_first(markers: Iterable[AbsentMarker]) -> list[AbsentMarker]:
    turns, ordered = Counter[bytes](), list[tuple[bool, bool, int, AbsentMarker]]()
    for marker in sorted(markers, key=lambda marker: (-marker.tries, marker.place), reverse=True):
        is_unknown = not (marker.failing or marker.is_preferred)
        # Any account becomes known by one marker of a payload that it has seen on the chain. So each signer has a turn.
        ordered.append((is_unknown, marker.due is None, turns[marker.signer], marker))
        turns[marker.signer] += 1
    return [marker for *_, marker in sorted(ordered, key=lambda entry: entry[:3])]
