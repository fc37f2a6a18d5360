"""The contract of a database, over both implementations; then what only a disk can do."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from lacnode.storage import checksum_upgrade, environment
from lacnode.storage.database import Database
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.storage.storage_errors import (
    DamagedValueError,
    StorageCorruptError,
    StorageError,
    StorageForeignError,
    StorageFullError,
    StorageLockedError,
)


@pytest.fixture(params=["lmdb", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    database: Database = (
        LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 20) if request.param == "lmdb" else MemoryDatabase()
    )
    yield database
    database.close()


def put(database: Database, table: str = "t", **values: str) -> None:
    with database.write() as batch:
        for key, value in values.items():
            batch.put(table, key.encode(), value.encode())


def everything(database: Database, table: str = "t", start: bytes = b"") -> dict[str, str]:
    with database.read() as snapshot:
        return {key.decode(): value.decode() for key, value in snapshot.items(table, start)}


class TestContract:
    def test_keeps_what_was_put(self, database: Database) -> None:
        put(database, a="1", b="")
        with database.read() as snapshot:
            assert snapshot.get("t", b"a") == b"1"
            assert snapshot.get("t", b"b") == b""
            assert snapshot.get("t", b"c") is None
            assert snapshot.get("other", b"a") is None
            assert list(snapshot.items("other")) == []

    def test_gives_items_in_key_order_from_a_start(self, database: Database) -> None:
        put(database, b="2", d="4")
        put(database, a="1", c="3")
        assert list(everything(database)) == ["a", "b", "c", "d"]
        assert list(everything(database, start=b"b")) == ["b", "c", "d"]
        assert list(everything(database, start=b"bb")) == ["c", "d"]

    def test_keeps_tables_apart(self, database: Database) -> None:
        put(database, "one", a="1")
        put(database, "two", a="2")
        assert everything(database, "one") == {"a": "1"}

    def test_a_failed_batch_leaves_nothing(self, database: Database) -> None:
        put(database, a="1")
        with pytest.raises(RuntimeError, match="stop"), database.write() as batch:  # noqa: PT012
            batch.put("t", b"a", b"2")
            batch.put("new", b"b", b"2")
            raise RuntimeError("stop")
        assert everything(database) == {"a": "1"}
        assert everything(database, "new") == {}

    def test_a_batch_sees_itself_and_others_see_it_after_it_commits(self, database: Database) -> None:
        put(database, a="1", b="2", c="3")
        with database.write() as batch:
            batch.put("t", b"a", b"changed")
            batch.delete("t", b"b")
            batch.delete("t", b"never there")
            batch.put("t", b"bb", b"fresh")
            assert batch.get("t", b"a") == b"changed"
            assert batch.get("t", b"b") is None
            assert [key for key, _ in batch.items("t")] == [b"a", b"bb", b"c"]
            assert [key for key, _ in batch.items("t", b"b")] == [b"bb", b"c"]
            assert everything(database) == {"a": "1", "b": "2", "c": "3"}
        assert everything(database) == {"a": "changed", "bb": "fresh", "c": "3"}

    def test_a_snapshot_does_not_move(self, database: Database) -> None:
        put(database, a="1", b="1")
        with database.read() as before:
            with database.write() as batch:
                batch.put("t", b"a", b"2")
                batch.delete("t", b"b")
                batch.put("later", b"x", b"1")
            with database.read() as after:
                assert after.get("t", b"a") == b"2"
                assert after.get("t", b"b") is None
            assert before.get("t", b"a") == b"1"
            assert [key for key, _ in before.items("t")] == [b"a", b"b"]
            assert before.get("later", b"x") is None

    def test_batches_of_two_threads_follow_each_other(self, database: Database) -> None:
        put(database, n="0")

        def count() -> None:
            for _ in range(50):
                with database.write() as batch:
                    batch.put("t", b"n", str(int(batch.get("t", b"n") or b"0") + 1).encode())

        threads = [threading.Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert everything(database) == {"n": "150"}

    def test_grouped_batches_are_visible_at_once_and_separate(self, database: Database) -> None:
        with database.group_commits():
            for number in range(150):
                put(database, a=str(number))
                assert everything(database) == {"a": str(number)}
            with pytest.raises(RuntimeError), database.write() as batch:  # noqa: PT012
                batch.put("t", b"a", b"bad")
                raise RuntimeError
            with database.read() as before:
                put(database, b="2")
                assert before.get("t", b"b") is None
        assert everything(database) == {"a": "149", "b": "2"}

    @pytest.mark.parametrize("key", [b"", b"x" * 512])
    def test_refuses_keys_it_could_not_keep(self, database: Database, key: bytes) -> None:
        with pytest.raises(ValueError, match="key"), database.write() as batch:
            batch.put("t", key, b"")

    def test_says_when_it_is_closed(self, database: Database) -> None:
        database.close()
        database.close()
        with pytest.raises(StorageError, match="closed"), database.read():
            pass


class TestOnDisk:
    def test_survives_reopening(self, tmp_path: Path) -> None:
        first = LmdbDatabase(tmp_path)
        put(first, a="1")
        with first.group_commits():
            put(first, b="2")
        first.close()
        again = LmdbDatabase(tmp_path)
        assert everything(again) == {"a": "1", "b": "2"}
        again.close()

    def test_grows_beyond_its_first_map(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 18)
        value = bytes(100_000)
        for number in range(40):
            with database.write() as batch:
                batch.put("t", bytes([number]), value)
        with database.read() as snapshot:
            assert sum(1 for _ in snapshot.items("t")) == 40
        database.close()

    def test_growing_waits_for_a_snapshot_in_another_thread(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 18)
        put(database, a="1")
        reading, release, seen = threading.Event(), threading.Event(), []

        def read() -> None:
            with database.read() as snapshot:
                reading.set()
                release.wait(20)
                seen.append(snapshot.get("t", b"a"))

        reader = threading.Thread(target=read)
        reader.start()
        assert reading.wait(20)

        def write() -> None:
            with database.write() as batch:
                batch.put("t", b"a", bytes(1 << 20))

        writer = threading.Thread(target=write)
        writer.start()
        release.set()
        reader.join(20)
        writer.join(20)
        assert seen == [b"1"]
        with database.read() as snapshot:
            assert snapshot.get("t", b"a") == bytes(1 << 20)
        database.close()

    def test_is_opened_once(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path)
        with pytest.raises(StorageLockedError, match=str(os.getpid())):
            LmdbDatabase(tmp_path)
        database.close()
        LmdbDatabase(tmp_path).close()

    def test_is_not_opened_by_a_second_process(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path)
        assert "StorageLockedError" in in_a_process(f"LmdbDatabase(Path({str(tmp_path)!r}))").stderr
        database.close()

    def test_a_killed_owner_leaves_no_lock(self, tmp_path: Path) -> None:
        killed = in_a_process(f"d = LmdbDatabase(Path({str(tmp_path)!r})); os.kill(os.getpid(), 9)")
        assert killed.returncode == -signal.SIGKILL
        LmdbDatabase(tmp_path).close()

    def test_a_full_disk_is_named_and_keeps_the_last_commit(self, tmp_path: Path) -> None:
        outcome = in_a_process(
            f"""
            d = LmdbDatabase(Path({str(tmp_path)!r}))
            with d.write() as batch: batch.put("t", b"a", b"1")
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
            try:
                with d.write() as batch: batch.put("t", b"b", bytes(1_000_000))
            except StorageFullError as error:
                print("full")
            with d.write() as batch: batch.put("t", b"c", b"3")
            """
        )
        assert outcome.stdout == "full\n", outcome.stderr
        database = LmdbDatabase(tmp_path)
        assert everything(database) == {"a": "1", "c": "3"}
        database.close()

    @pytest.mark.parametrize("damage", ["garbage", "cut"])
    def test_damage_is_named(self, tmp_path: Path, damage: str) -> None:
        database = LmdbDatabase(tmp_path)
        with database.write() as batch:
            for number in range(2_000):
                batch.put("t", number.to_bytes(4), bytes(200))
        database.close()
        file = tmp_path / "database" / "data.mdb"
        if damage == "garbage":
            file.write_bytes(b"\xa5" * file.stat().st_size)
        else:
            os.truncate(file, 3 * 4096)
        with pytest.raises(StorageCorruptError, match="database"):  # noqa: PT012
            database = LmdbDatabase(tmp_path)
            try:
                everything(database)
            finally:
                database.close()

    def test_does_not_open_what_besu_wrote(self, tmp_path: Path) -> None:
        (tmp_path / "DATABASE_METADATA.json").write_text('{"version":1}')
        with pytest.raises(StorageForeignError, match="Besu"):
            LmdbDatabase(tmp_path)

    @pytest.mark.parametrize("text", ['{"v2":{"format":"BONSAI","version":3}}', '{"version":7}', "[]", "not json"])
    def test_does_not_open_what_it_does_not_know(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "DATABASE_METADATA.json").write_text(text)
        with pytest.raises(StorageForeignError):
            LmdbDatabase(tmp_path)

    def test_does_not_open_a_rocksdb_without_marker(self, tmp_path: Path) -> None:
        (tmp_path / "database").mkdir()
        (tmp_path / "database" / "CURRENT").write_text("MANIFEST-000004\n")
        with pytest.raises(StorageForeignError, match="RocksDB"):
            LmdbDatabase(tmp_path)

    def test_leaves_a_marker_besu_does_not_take_for_its_own(self, tmp_path: Path) -> None:
        LmdbDatabase(tmp_path).close()
        assert json.loads((tmp_path / "DATABASE_METADATA.json").read_text())["version"] not in (1, 2)

    def test_says_where_it_may_not_write(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="file"):
            LmdbDatabase(tmp_path / "file")

    def test_a_failed_group_is_gone_as_a_whole(self, tmp_path: Path) -> None:
        outcome = in_a_process(
            f"""
            d = LmdbDatabase(Path({str(tmp_path)!r}))
            with d.write() as batch: batch.put("t", b"a", b"1")
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
            try:
                with d.group_commits():
                    for number in range(3):
                        with d.write() as batch: batch.put("t", bytes([number]), bytes(200_000))
            except StorageFullError as error:
                print("full")
            with d.read() as snapshot: print(len(list(snapshot.items("t"))))
            """
        )
        assert outcome.stdout == "full\n1\n", outcome.stderr


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    lines = code.splitlines() if "\n" in code else [code]
    body = "\n".join(line.removeprefix(" " * 12) for line in lines)
    imports = (
        "import os, resource\nfrom pathlib import Path\n"
        "from lacnode.storage.storage_errors import *\nfrom lacnode.storage.lmdb_database import LmdbDatabase\n"
    )
    return subprocess.run(
        [sys.executable, "-c", imports + body], capture_output=True, text=True, timeout=60, check=False
    )


OLD_TABLES = {"one": {b"a": b"1", b"b": b""}, "two": {number.to_bytes(2): bytes(50) for number in range(60)}}


def write_old_format(directory: Path) -> None:
    """A database as lacnode wrote it before values had checksums."""
    (directory / "database").mkdir()
    (directory / "DATABASE_METADATA.json").write_text('{"version": 648001, "software": "lacnode"}\n')
    environment = lmdb.open(str(directory / "database"), max_dbs=4)
    for table, rows in OLD_TABLES.items():
        handle = environment.open_db(table.encode())
        with environment.begin(write=True) as transaction:
            for key, value in rows.items():
                transaction.put(key, value, db=handle)
    environment.close()


def rows_of(database: Database) -> dict[str, dict[bytes, bytes]]:
    with database.read() as snapshot:
        return {table: dict(snapshot.items(table)) for table in OLD_TABLES}


class TestChecksums:
    def test_a_value_that_was_altered_is_named(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path)
        put(database, "headers", aa="whole", bb="damaged value", cc="whole")
        database.close()
        file = tmp_path / "database" / "data.mdb"
        file.write_bytes(file.read_bytes().replace(b"damaged value", b"damaged valuE"))
        database = LmdbDatabase(tmp_path)
        with database.read() as snapshot:
            assert snapshot.get("headers", b"aa") == b"whole"
            with pytest.raises(DamagedValueError, match="table headers under key 0x6262 was altered") as caught:
                snapshot.get("headers", b"bb")
            assert (caught.value.table, caught.value.key) == ("headers", b"bb")
            with pytest.raises(DamagedValueError, match="0x6262"):
                list(snapshot.items("headers"))
        database.close()

    def test_a_value_under_another_key_is_named(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path)
        put(database, key1="value")
        database.close()
        file = tmp_path / "database" / "data.mdb"
        file.write_bytes(file.read_bytes().replace(b"key1", b"key2"))
        database = LmdbDatabase(tmp_path)
        with pytest.raises(DamagedValueError), database.read() as snapshot:
            snapshot.get("t", b"key2")
        database.close()

    def test_a_database_without_checksums_is_upgraded(self, tmp_path: Path) -> None:
        write_old_format(tmp_path)
        for _ in range(2):
            database = LmdbDatabase(tmp_path)
            assert rows_of(database) == OLD_TABLES
            database.close()
        assert json.loads((tmp_path / "DATABASE_METADATA.json").read_text())["version"] == 648_002

    @pytest.mark.parametrize("batches", range(1, 9))
    def test_an_upgrade_that_was_cut_short_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
    ) -> None:
        write_old_format(tmp_path)
        monkeypatch.setattr(checksum_upgrade, "BATCH_VALUES", 9)
        whole, left = checksum_upgrade._next_values, batches

        def cut_short(*arguments: object) -> object:
            nonlocal left
            left -= 1
            if not left:
                raise OSError("the power went")
            return whole(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(checksum_upgrade, "_next_values", cut_short)
        with pytest.raises(StorageError):
            LmdbDatabase(tmp_path)
        monkeypatch.setattr(checksum_upgrade, "_next_values", whole)
        database = LmdbDatabase(tmp_path)
        assert rows_of(database) == OLD_TABLES
        database.close()

    def test_files_are_nobody_elses(self, tmp_path: Path) -> None:
        LmdbDatabase(tmp_path).close()
        files = tmp_path / "database"
        assert files.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in files.iterdir()} == {0o600}

    def test_a_check_of_all_values_goes_on_after_a_damaged_one(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path)
        put(database, a="whole", b="damaged value", c="whole too")
        database.close()
        file = tmp_path / "database" / "data.mdb"
        file.write_bytes(file.read_bytes().replace(b"damaged value", b"damaged valuE"))
        database = LmdbDatabase(tmp_path)
        with database.open_disk_snapshot() as pages:
            assert pages.table_names == ("t",)
            assert list(pages.checked_items("t")) == [(b"a", b"whole"), (b"b", None), (b"c", b"whole too")]
            assert list(pages.checked_items("another")) == []
        database.close()


class TestReaders:
    """A reader must not stop the writer for good, and a failed writer must not stop readers."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[LmdbDatabase]:
        database = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 20)
        yield database
        database.close()

    def test_a_snapshot_that_stays_open_is_named_by_the_writer_that_waits(
        self, database: LmdbDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environment, "MAP_GROWTH_TIMEOUT_SECONDS", 0.01)
        put(database, a="1")
        with database.read() as snapshot:
            with pytest.raises(StorageError, match="has to grow, but a snapshot is kept open"):
                put(database, large="v" * (2 << 20))
            assert snapshot.get("t", b"a") == b"1"
        put(database, large="v" * (2 << 20))
        assert everything(database).keys() == {"a", "large"}

    def test_a_writer_that_is_interrupted_leaves_the_database_usable(
        self, database: LmdbDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        put(database, a="1")
        with monkeypatch.context() as patched:
            patched.setattr(environment, "_put_all", interrupted)
            with pytest.raises(KeyboardInterrupt):
                put(database, b="2")
        put(database, c="3")
        assert everything(database) == {"a": "1", "c": "3"}

    def test_the_slots_of_processes_that_ended_can_be_freed_at_any_time(self, database: LmdbDatabase) -> None:
        put(database, a="1")
        database.forget_dead_readers()
        assert everything(database) == {"a": "1"}
        database.close()
        database.forget_dead_readers()

    def test_an_existing_file_gets_a_map_of_twice_its_size(self, tmp_path: Path, database: LmdbDatabase) -> None:
        put(database, large="v" * (3 << 20))
        size = (tmp_path / "database" / "data.mdb").stat().st_size
        database.close()
        again = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 20)
        with again.read() as snapshot:
            assert len(snapshot.get("t", b"large") or b"") == 3 << 20
        # A map without room would have to grow for this, and the open snapshot would make it wait.
        with again.read():
            put(again, more="v" * (size // 2))
        again.close()


class TestErrors:
    """A caller decides by the class of an error, an operator by its text."""

    @pytest.mark.parametrize(
        ("error", "expected", "text"),
        [
            (lmdb.CorruptedError("a page"), StorageCorruptError, "lacnode database verify"),
            (MemoryError(), StorageCorruptError, "MemoryError"),
            (lmdb.DiskError("No space left on device"), StorageFullError, "free some disk space"),
            (lmdb.ReadersFullError("no slot"), StorageError, "no slot"),
            (lmdb.Error("Input/output error"), StorageError, "Input/output error"),
        ],
    )
    def test_an_error_of_lmdb_is_translated(
        self, tmp_path: Path, error: Exception, expected: type[StorageError], text: str
    ) -> None:
        found = environment.translate_lmdb_error(tmp_path, error)
        assert type(found) is expected
        assert str(tmp_path) in str(found)
        assert text in str(found)
        assert list(tmp_path.iterdir()) == [], "the probe of the free space is removed"

    def test_a_short_write_on_a_full_disk_is_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        monkeypatch.setattr(Path, "write_bytes", full)
        found = environment.translate_lmdb_error(tmp_path, lmdb.Error("Input/output error"))
        assert type(found) is StorageFullError
