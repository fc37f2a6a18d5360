"""A `data.mdb` that is shorter than its last page: cut short, or left so by LMDB."""

import os
import random
from pathlib import Path

import lmdb
import pytest

from lacnode.storage.free_pages import BrokenFreeListError, FreePages
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.storage_errors import StorageCorruptError

PAGE_BYTES = 4096


def written(directory: Path, batches: int, *, removed: int = 0) -> dict[bytes, bytes]:
    """Make a database of `batches` commits. The last commit also puts `removed` long values and deletes them. Return
    what it holds."""
    rng = random.Random(7)
    kept: dict[bytes, bytes] = {}
    database = LmdbDatabase(directory, durable=False)
    for _ in range(batches):
        rows = {rng.randbytes(32): rng.randbytes(rng.choice((5, 300, 6_000))) for _ in range(40)}
        with database.write() as batch:
            for key, value in rows.items():
                batch.put("t", key, value)
            # What an earlier commit wrote: its pages become free.
            for key in rng.sample(sorted(kept), len(kept) // 4):
                batch.delete("t", key)
                del kept[key]
        kept |= rows
    keys = [rng.randbytes(32) for _ in range(removed)]
    with database.group_commits():
        with database.write() as batch:
            for key in keys:
                batch.put("t", key, bytes(20_000))
        with database.write() as batch:
            for key in keys:
                batch.delete("t", key)
    database.close()
    return kept


def content(directory: Path) -> dict[bytes, bytes]:
    database = LmdbDatabase(directory, durable=False)
    try:
        with database.read() as snapshot:
            return dict(snapshot.items("t"))
    finally:
        database.close()


def last_page(directory: Path) -> int:
    environment = lmdb.open(str(directory / "database"), readonly=True)
    number = int(environment.info()["last_pgno"])
    environment.close()
    return number


@pytest.mark.parametrize("part", [0.95, 0.75, 0.5, 0.25, 0.1])
def test_a_file_that_was_cut_short_is_not_opened(tmp_path: Path, part: float) -> None:
    """LMDB ends the process when it reads such a file from end to end."""
    written(tmp_path, 12)
    file = tmp_path / "database" / "data.mdb"
    whole = file.stat().st_size
    kept = int(whole * part) // PAGE_BYTES * PAGE_BYTES
    os.truncate(file, kept)
    with pytest.raises(StorageCorruptError, match=f"cut short. It has {kept} bytes instead of {whole};.*verify"):
        LmdbDatabase(tmp_path)
    assert file.stat().st_size == kept


@pytest.mark.parametrize(("batches", "removed"), [(1, 1), (12, 10), (12, 200), (60, 200)])
def test_a_file_without_its_last_free_pages_is_whole(tmp_path: Path, batches: int, removed: int) -> None:
    """LMDB does not write pages that one transaction takes and gives back."""
    kept = written(tmp_path, batches, removed=removed)
    file = tmp_path / "database" / "data.mdb"
    assert file.stat().st_size < (last_page(tmp_path) + 1) * PAGE_BYTES
    assert content(tmp_path) == kept
    assert file.stat().st_size == (last_page(tmp_path) + 1) * PAGE_BYTES


def test_a_page_that_is_cut_off_before_the_last_free_ones_is_missed(tmp_path: Path) -> None:
    written(tmp_path, 12, removed=10)
    file = tmp_path / "database" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StorageCorruptError, match="cut short"):
        LmdbDatabase(tmp_path)


def test_a_damaged_list_of_free_pages_ends_in_an_error(tmp_path: Path) -> None:
    """A loop, an absurd length, or bytes that are no list. Damage that leaves a list is not found."""
    written(tmp_path, 12, removed=200)
    file = tmp_path / "database" / "data.mdb"
    whole, rng = file.read_bytes(), random.Random(7)
    # The transaction and the root of the list, as the two meta pages name them.
    metas = [[int.from_bytes(whole[page * PAGE_BYTES + at :][:8], "little") for at in (144, 80)] for page in (0, 1)]
    transaction, root = max(metas)
    broken = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(4):
            data[root * PAGE_BYTES + rng.randrange(10, 80)] = rng.choice((0, 1, 2, 0x7F, 0xFF))
        file.write_bytes(data)
        with file.open("rb") as opened:
            try:
                FreePages(opened.fileno(), PAGE_BYTES, transaction).from_page(0)
            except BrokenFreeListError:
                broken += 1
    assert broken > 100
