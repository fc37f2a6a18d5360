"""Bits that the disk changed: what is read is what was written, or it is named as damaged.

Each trial reads in a process of its own, because LMDB can crash on damaged pages. `python -m
tests.integration.test_damaged_database 200` makes 200 trials, the test a handful.
"""

import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from lacnode.storage.lmdb_database import LmdbDatabase

ROWS = 600
READER = """
import random, sys
from pathlib import Path
from lacnode.storage.storage_errors import StorageCorruptError, StorageError
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.integration.test_damaged_database import TABLES, rows

outcomes = set()
try:
    database = LmdbDatabase(Path(sys.argv[1]))
    for table in TABLES:
        for key, value in rows(table).items():
            with database.read() as snapshot:
                try:
                    found = snapshot.get(table, key)
                    outcomes.add("missing" if found is None else "same" if found == value else "altered")
                except StorageCorruptError as error:
                    assert "lacnode database verify" in str(error) and sys.argv[1] in str(error)
                    outcomes.add("named")
        with database.read() as snapshot:
            try:
                if any(rows(table).get(key) != value for key, value in snapshot.items(table)):
                    outcomes.add("altered")
            except StorageCorruptError:
                outcomes.add("named")
except StorageError:
    outcomes.add("named")
print(*outcomes)
"""
TABLES = ("headers", "state", "numbers")


def rows(table: str) -> dict[bytes, bytes]:
    """What `table` holds: keys like hashes or like numbers, values of sizes as in a chain, some on overflow pages."""
    rng = random.Random(table)
    if table == "numbers":
        return {number.to_bytes(8): rng.randbytes(32) for number in range(ROWS)}
    return {rng.randbytes(32): rng.randbytes(rng.choice((70, 532, 650, 5_000))) for _ in range(ROWS)}


def make_database(directory: Path) -> None:
    database = LmdbDatabase(directory, durable=False)
    for table in TABLES:
        with database.write() as batch:
            for key, value in rows(table).items():
                batch.put(table, key, value)
    database.close()


def flip_bits(file: Path, rng: random.Random, bits: int) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(bits):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def trial(whole: Path, directory: Path, rng: random.Random, bits: int) -> set[str]:
    """What reading everything came to after `bits` random bits of a copy of `whole` were flipped."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(whole, directory)
    flip_bits(directory / "database" / "data.mdb", rng, bits)
    run = subprocess.run([sys.executable, "-c", READER, directory], capture_output=True, text=True, timeout=120)
    if run.returncode < 0:
        return {f"killed by signal {-run.returncode}"}
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_no_flipped_bit_gives_another_value(tmp_path: Path) -> None:
    make_database(tmp_path / "whole")
    outcomes: Counter[str] = Counter()
    for seed in range(6):
        outcomes.update(trial(tmp_path / "whole", tmp_path / "copy", random.Random(seed), 60))
    assert outcomes["named"] > 0
    assert outcomes["altered"] == 0, outcomes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        make_database(Path(temporary) / "whole")
        counted: Counter[str] = Counter()
        for number in range(int(sys.argv[1])):
            counted.update(trial(Path(temporary) / "whole", Path(temporary) / "copy", random.Random(number), 60))
        print(dict(counted))
