"""Each start recognises a consensus log that does not belong to the database, or that has lost records."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.log_pairing import find_loss, pair_log, read_known_log_position
from lacnode.storage.memory_database import MemoryDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LmdbDatabase]:
    database = LmdbDatabase(tmp_path / "node", durable=False, initial_map_size=1 << 20)
    yield database
    database.close()


def open_log(path: Path) -> ConsensusLog:
    return ConsensusLog(path, durable=False)


def commit(database: LmdbDatabase) -> None:
    with database.write() as batch:
        batch.put("blocks", b"1", b"a block")


def loss_of(log: ConsensusLog, database: LmdbDatabase) -> str | None:
    return find_loss(log, read_known_log_position(database))


def test_a_database_that_never_had_a_log_loses_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path / "consensus.log")
    assert read_known_log_position(MemoryDatabase()) is None
    assert find_loss(log, None) is None
    log.close()


def test_the_position_is_stored_at_once_and_with_each_commit(tmp_path: Path, database: LmdbDatabase) -> None:
    log = open_log(tmp_path / "consensus.log")
    pair_log(database, log)
    assert read_known_log_position(database) == log.position
    log.append(b"a signature")
    assert read_known_log_position(database) != log.position, "the log was written, the database was not"
    commit(database)
    assert read_known_log_position(database) == log.position
    log.append(b"another one")
    assert loss_of(log, database) is None, "a log that has grown since the last commit is complete"
    log.rewrite([b"what is left"])
    assert loss_of(log, database) is None, "a log that was rewritten since the last commit is complete"
    log.close()


def test_a_new_log_instead_of_the_known_one_is_recognised(tmp_path: Path, database: LmdbDatabase) -> None:
    log = open_log(tmp_path / "consensus.log")
    pair_log(database, log)
    log.close()
    (tmp_path / "consensus.log").unlink()
    again = open_log(tmp_path / "consensus.log")
    assert "does not belong to this database" in str(loss_of(again, database))
    again.close()


def test_an_older_copy_of_the_log_is_recognised(tmp_path: Path, database: LmdbDatabase) -> None:
    path, copy = tmp_path / "consensus.log", tmp_path / "copy"
    log = open_log(path)
    log.append(b"a signature")
    shutil.copy(path, copy)
    log.append(b"another one")
    pair_log(database, log)
    log.close()
    shutil.copy(copy, path)
    older = open_log(path)
    assert loss_of(older, database) == "consensus.log is older than the database, or was cut short"
    older.close()


def test_a_log_that_went_on_in_a_copy_is_recognised(tmp_path: Path, database: LmdbDatabase) -> None:
    path, copy = tmp_path / "consensus.log", tmp_path / "other" / "consensus.log"
    log = open_log(path)
    copy.parent.mkdir()
    shutil.copy(path, copy)
    log.append(b"signed by this node")
    pair_log(database, log)
    elsewhere = open_log(copy)
    elsewhere.append(b"signed by a second node with the same key")
    assert "it went on in another copy" in str(loss_of(elsewhere, database))
    elsewhere.close()
    log.close()


def test_a_log_that_was_cut_after_the_last_commit_is_recognised(tmp_path: Path, database: LmdbDatabase) -> None:
    path = tmp_path / "consensus.log"
    log = open_log(path)
    pair_log(database, log)
    before = log.position.size
    log.append(b"signed after the last commit")
    log.close()
    with path.open("r+b") as file:
        file.truncate(before)
    shorter = open_log(path)
    assert loss_of(shorter, database) == "consensus.log was cut short"
    shorter.close()
