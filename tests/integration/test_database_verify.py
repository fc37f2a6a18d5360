"""`lacnode database verify` on real files: everything that was altered is found and named."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lacnode.chain.chain_store import BODIES, HEADERS, OUTCOMES, STATE, TRANSACTIONS
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.integration.test_damaged_database import flip_bits
from tests.support.chain_genesis import LOGGER_ADDRESS, genesis
from tests.support.chain_network import network
from tests.support.chain_transactions import Offer, transaction

BLOCKS = 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a chain of twelve blocks, and its genesis file beside it."""
    (tmp_path / "genesis.json").write_text(json.dumps(genesis()))
    database = LmdbDatabase(tmp_path / "data", durable=False)
    chain = network(database=database)
    for nonce in range(BLOCKS):
        chain.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=b"\7" * 32))])
    database.close()
    return tmp_path / "data"


def verify(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lacnode", f"--data-path={data}", "database", "verify", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_whole_database_is_whole(data: Path) -> None:
    run = verify(data, "--genesis-file", str(data.parent / "genesis.json"), "--execute", "1", "500")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The database is whole." in run.stdout
    assert f"blocks: {BLOCKS + 1} checked" in run.stdout
    assert f"executed blocks: {BLOCKS} checked" in run.stdout
    assert re.search(r"nodes of the head's state: \d+ checked", run.stdout)


@pytest.mark.parametrize("table", [HEADERS, BODIES, OUTCOMES, STATE, TRANSACTIONS])
def test_a_value_that_fits_its_checksum_and_nothing_else_is_found(data: Path, table: str) -> None:
    """As if the value had been altered before it had a checksum: another row's value under this key."""
    database = LmdbDatabase(data, durable=False)
    with database.write() as batch:
        rows = list(batch.items(table))
        batch.put(table, rows[0][0], rows[-1][1])
    database.close()
    run = verify(data)
    assert run.returncode == 1
    assert f"table {table}" in run.stdout
    assert "downloads the chain" in run.stdout


def test_lost_state_is_found(data: Path) -> None:
    database = LmdbDatabase(data, durable=False)
    root = network(database=database).chain.head.header.state_root
    with database.write() as batch:
        batch.delete(STATE, root)
    database.close()
    run = verify(data)
    assert run.returncode == 1
    assert f"state of block {BLOCKS}, node 0x{root.hex()}: account node is missing or altered" in run.stdout


def test_random_damage_ends_in_a_sentence(data: Path) -> None:
    """Whatever is damaged: the status is 0 or 1, and 1 comes with a next step."""
    file = data / "database" / "data.mdb"
    whole = file.read_bytes()
    for seed in range(3):
        file.write_bytes(whole)
        flip_bits(file, random.Random(seed), 40)
        run = verify(data)
        assert run.returncode == 1, run.stdout + run.stderr
        assert "Next step" in run.stdout + run.stderr


def test_a_running_node_is_in_the_way(data: Path) -> None:
    database = LmdbDatabase(data, durable=False)
    run = verify(data)
    database.close()
    assert run.returncode == 1
    assert "is in use by process" in run.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["verify", "--execute", "3"], "two block numbers"),
        (["verify", "--execute", "3", "2"], "TO is not below FROM"),
        (["check"], "database verify was expected"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, words: list[str], text: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "lacnode", "database", *words], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert run.returncode == 2
    assert text in run.stderr


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    run = verify(tmp_path / "nothing")
    assert run.returncode == 1
    assert "there is no database" in run.stderr
    assert not (tmp_path / "nothing").exists()
