"""What absent payloads cost the database: anybody can send thousands of markers of payloads that nobody has."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lacnode.privacy.state import absent_marker_limit
from lacnode.privacy.state.absent_marker_limit import AbsentMarkerLimit
from lacnode.privacy.state.private_store import (
    AWAITED,
    AbsentMarker,
    MarkerPlace,
    PrivateStoreReader,
    PrivateStoreWriter,
)
from lacnode.storage.database import Batch
from lacnode.storage.memory_database import MemoryDatabase

DEADLINE_SECONDS = 30.0


def marker(index: int, due: int | None = 100) -> AbsentMarker:
    return AbsentMarker(MarkerPlace(1, index), bytes([index]) * 32, bytes([index, 1]) * 16, False, 0, due)


def random_rows(batch: Batch) -> list[bytes]:
    """The keys that `batch` writes or deletes from now on in the table by payload keys, which are random."""
    changed, put, delete = list[bytes](), batch.put, batch.delete

    def noting_put(table: str, key: bytes, value: bytes) -> None:
        changed.extend([key] if table == AWAITED else [])
        put(table, key, value)

    def noting_delete(table: str, key: bytes) -> None:
        changed.extend([key] if table == AWAITED else [])
        delete(table, key)

    batch.put, batch.delete = noting_put, noting_delete  # type: ignore[method-assign]
    return changed


@pytest.fixture
def database() -> MemoryDatabase:
    found = MemoryDatabase()
    with found.write() as batch:
        for index in range(6):
            PrivateStoreWriter(batch).write_absent(marker(index))
    return found


@contextmanager
def writing(database: MemoryDatabase) -> Iterator[tuple[PrivateStoreWriter, list[bytes]]]:
    with database.write() as batch:
        yield PrivateStoreWriter(batch), random_rows(batch)


def waiting(database: MemoryDatabase, one: AbsentMarker) -> list[AbsentMarker]:
    with database.read() as snapshot:
        return list(PrivateStoreReader(snapshot).absent_markers_of(one.payload_key))


class TestRowsByPayloadKey:
    """Each one is a page of the database. A marker that is asked for again writes none."""

    def test_are_not_written_when_a_payload_is_asked_for_again(self, database: MemoryDatabase) -> None:
        later = replace(marker(0), tries=1, due=400)
        with writing(database) as (writer, changed):
            writer.write_absent(later)
        assert changed == []
        assert waiting(database, later) == [later]

    def test_are_not_written_when_it_is_not_asked_for_any_more(self, database: MemoryDatabase) -> None:
        with writing(database) as (writer, changed):
            writer.stop_asking(marker(0))
        assert changed == []
        assert [(one.place, one.due) for one in waiting(database, marker(0))] == [(MarkerPlace(1, 0), None)]

    def test_follow_the_payload_that_the_marker_waits_for(self, database: MemoryDatabase) -> None:
        """A marker with two keys first waits for one payload, and then for the other one."""
        other = replace(marker(0), payload_key=bytes(32))
        with writing(database) as (writer, _):
            writer.write_absent(other)
        assert waiting(database, marker(0)) == []
        assert waiting(database, other) == [other]

    def test_are_gone_when_the_marker_is(self, database: MemoryDatabase) -> None:
        with writing(database) as (writer, _):
            writer.delete_absent(marker(0).place)
        assert waiting(database, marker(0)) == []


class TestLimit:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(absent_marker_limit, "MAX_ABSENT_MARKERS", 5)

    def during_the_sort(self, monkeypatch: pytest.MonkeyPatch, database: MemoryDatabase, write: AbsentMarker) -> bool:
        """Let another thread write while the markers are sorted. Return whether it could."""
        sort, done = absent_marker_limit._most_promising_first, threading.Event()

        def in_another_thread() -> None:
            with database.write() as batch:
                PrivateStoreWriter(batch).write_absent(write)
            done.set()

        def sorted_later(markers: Iterable[AbsentMarker]) -> list[AbsentMarker]:
            found = sort(markers)
            threading.Thread(target=in_another_thread, daemon=True).start()
            could.append(done.wait(DEADLINE_SECONDS))
            return found

        could = list[bool]()
        monkeypatch.setattr(absent_marker_limit, "_most_promising_first", sorted_later)
        AbsentMarkerLimit(database).apply_after_adding(1)
        return could == [True]

    def test_public_blocks_are_stored_while_the_markers_are_sorted(
        self, monkeypatch: pytest.MonkeyPatch, database: MemoryDatabase
    ) -> None:
        assert self.during_the_sort(monkeypatch, database, marker(5))

    def test_one_that_came_meanwhile_is_still_executed(
        self, monkeypatch: pytest.MonkeyPatch, database: MemoryDatabase
    ) -> None:
        sort = absent_marker_limit._most_promising_first
        with database.read() as snapshot:
            least = sort(PrivateStoreReader(snapshot).absent_markers())[-1]
        due_now = replace(least, due=0, is_preferred=True)
        assert self.during_the_sort(monkeypatch, database, due_now)
        with database.read() as snapshot:
            assert PrivateStoreReader(snapshot).absent_at(least.place) == due_now
