"""A second process reads the database of a node that goes on writing, each time as it was at one commit."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.read_only import ReadOnlyDatabase
from lacnode.storage.storage_errors import DamagedValueError, StorageCorruptError, StorageError
from tests.unit.storage.test_database import everything

WRITER = """
import sys
from pathlib import Path
from lacnode.storage.lmdb_database import LmdbDatabase
database = LmdbDatabase(Path(sys.argv[1]), durable=False, initial_map_size=1 << 20)
print("open", flush=True)
for line in sys.stdin:
    table, key, value, size = line.split()
    with database.write() as batch:
        batch.put(table, key.encode(), value.encode() * int(size))
    print("written", flush=True)
"""


class Writer:
    """A node in a process of its own."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(directory)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("open")

    def put(self, table: str, key: str, value: str, size: int = 1) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{table} {key} {value} {size}\n")
        self._process.stdin.flush()
        self._expect("written")

    def close(self) -> None:
        with self._process:
            self._process.kill()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_each_refresh_shows_the_last_commit_with_new_tables_and_a_map_that_has_grown(
    tmp_path: Path, stack: ExitStack
) -> None:
    writer = Writer(tmp_path)
    stack.callback(writer.close)
    writer.put("blocks", "a", "x")
    reader = ReadOnlyDatabase(tmp_path)
    stack.callback(reader.close)
    assert everything(reader, "blocks") == {"a": "x"}
    writer.put("blocks", "b", "y")
    writer.put("receipts", "c", "z")
    assert everything(reader, "blocks") == {"a": "x"}, "all reads until the next refresh are of one commit"
    assert everything(reader, "receipts") == {}
    reader.refresh()
    assert everything(reader, "blocks") == {"a": "x", "b": "y"}
    assert everything(reader, "receipts") == {"c": "z"}
    # Released, because a snapshot that stays open delays the growing of the writer's map.
    reader.close_snapshot()
    writer.put("blocks", "large", "v", 2 << 20)
    reader.refresh()
    assert len(everything(reader, "blocks")["large"]) == 2 << 20


def test_it_writes_nothing(tmp_path: Path) -> None:
    LmdbDatabase(tmp_path, durable=False).close()
    reader = ReadOnlyDatabase(tmp_path)
    for change in (reader.write, reader.group_commits):
        with pytest.raises(StorageError, match="cannot be written"):
            change()
    reader.close()


def test_a_directory_without_a_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=str(tmp_path)):
        ReadOnlyDatabase(tmp_path)


def test_a_damaged_value_is_told_to_the_listener_and_raised(tmp_path: Path) -> None:
    database = LmdbDatabase(tmp_path, durable=False)
    with database.write() as batch:
        batch.put("blocks", b"key", b"a value that is easy to find")
    database.close()
    data = tmp_path / "database" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"easy to find", b"easy to lose"))
    reader, heard = ReadOnlyDatabase(tmp_path), list[DamagedValueError]()
    reader.on_damage(heard.append)
    with reader.read() as snapshot, pytest.raises(DamagedValueError):
        snapshot.get("blocks", b"key")
    assert [error.key for error in heard] == [b"key"]
    reader.close()


def test_a_damaged_name_of_a_table_is_told_as_damage(tmp_path: Path) -> None:
    database = LmdbDatabase(tmp_path, durable=False)
    with database.write() as batch:
        batch.put("easyname", b"key", b"value")
    database.close()
    data = tmp_path / "database" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"easyname", b"\xff" * 8))
    reader = ReadOnlyDatabase(tmp_path)
    with pytest.raises(StorageCorruptError, match="the files are damaged"):
        reader.refresh()
    reader.close()
