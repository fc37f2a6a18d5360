"""How many absent payloads are asked for: anybody can send markers of payloads that nobody has.

Beyond the bound the least promising are not asked for any more, in this order: by a signer whose payloads were never ours,
given up already, asked for most often, oldest. One that comes after all is still found by its key, whenever it comes: a row
of 76 bytes stays for each marker, less than the marker takes on the chain.
"""

from lacnode.privacy.state.private_store import AbsentMarker, PrivateStoreReader, PrivateStoreWriter
from lacnode.storage.database import Database

MAX_ABSENT_MARKERS = 10_000
"""Absent payloads that are asked for."""


class AbsentMarkerLimit:
    """For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._count: int | None = None

    def added(self, count: int) -> None:
        """So many were noted: keep the bound, and a tenth below it, since counting them costs."""
        if not count:
            return
        if self._count is None:
            with self._database.read() as snapshot:
                self._count = sum(1 for _ in PrivateStoreReader(snapshot).absent())
        else:
            self._count += count
        if self._count > MAX_ABSENT_MARKERS:
            self._count = self._cut()

    def _cut(self) -> int:
        with self._database.write() as batch:
            markers = sorted(PrivateStoreReader(batch).absent(), key=_promise)
            if len(markers) <= MAX_ABSENT_MARKERS:
                return len(markers)
            kept = MAX_ABSENT_MARKERS - MAX_ABSENT_MARKERS // 10
            for marker in markers[: len(markers) - kept]:
                PrivateStoreWriter(batch).not_asked(marker)
        return kept


def _promise(marker: AbsentMarker) -> tuple[object, ...]:
    return marker.failing or marker.is_preferred, marker.due is not None, -marker.tries, marker.place
