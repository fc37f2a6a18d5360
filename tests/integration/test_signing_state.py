"""What a validator finds of its own signatures when it starts, on real files (docs/adr/0010)."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.cli.errors import UsageError
from lacnode.cli.sources import collect_settings
from lacnode.consensus.bft.journal import ContradictionError, Journal
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.consensus.ibft2.payloads import PREPARE
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.node.signing_state import open_signing_state
from lacnode.primitives.rlp import RlpError
from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.log_frames import UNMARKED
from lacnode.storage.log_header import HEADER_BYTES
from tests.support.chain_genesis import NOW, genesis
from tests.support.chain_network import network
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.unit.consensus.test_journal import prepared, with_a_false_transaction

OWNER, OTHER = b"\1" * 20, b"\2" * 20


def sign(directory: Path, height: int, *, blocks: int, digest: bytes = bytes(32)) -> None:
    """Run as a validator would: import up to `blocks`, and sign a prepare for each block up to `height`."""
    database = LmdbDatabase(directory)
    spec = parse_genesis(genesis())
    chain = Blockchain(spec, database, PyEvmEngine(spec, DatabaseNodeStore(database)), now=lambda: NOW)
    records = open_signing_state(directory, OWNER, database, IBFT2_ONLY, reset=False)
    journal = Journal.restore(records.records(), IBFT2_ONLY)
    source = network()
    for number in range(1, max(height, blocks) + 1):
        if chain.head.header.number < number <= height and journal.signed_at(number).signed_content(PREPARE, 0) is None:
            records.append(journal.check_and_record(PreparePayload(RoundId(number, 0), digest)))
        block = source.grow()
        if chain.head.header.number < number <= blocks:
            chain.import_block(block)
            journal.forget_final_blocks(number)
    records.close()
    database.close()


def opened(directory: Path, owner: bytes = OWNER, *, reset: bool = False) -> Journal:
    database = LmdbDatabase(directory)
    try:
        records = open_signing_state(directory, owner, database, IBFT2_ONLY, reset=reset)
        journal = Journal.restore(records.records(), IBFT2_ONLY)
        records.close()
        return journal
    finally:
        database.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "node"
    sign(directory, 3, blocks=2)
    return directory


def delete(data: Path, old: Path) -> None:
    (data / "consensus.log").unlink()


def replace_by_older(data: Path, old: Path) -> None:
    shutil.copy(old / "consensus.log", data / "consensus.log")


def replace_by_another_copys(data: Path, old: Path) -> None:
    shutil.rmtree(old / "database")
    (old / "consensus.log").unlink()
    sign(old, 3, blocks=3)
    shutil.copy(old / "consensus.log", data / "consensus.log")


def replace_by_one_that_went_on_elsewhere(data: Path, old: Path) -> None:
    sign(old, 9, blocks=8, digest=b"\1" * 32)
    shutil.copy(old / "consensus.log", data / "consensus.log")


def cut_to_nothing(data: Path, old: Path) -> None:
    log = data / "consensus.log"
    log.write_bytes(log.read_bytes()[:HEADER_BYTES])


def empty(data: Path, old: Path) -> None:
    (data / "consensus.log").write_bytes(b"")


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (delete, "missing"),
        (empty, "missing"),
        (replace_by_older, "older"),
        (replace_by_another_copys, "another copy"),
        (replace_by_one_that_went_on_elsewhere, "not what the database knew"),
        (cut_to_nothing, "cut short"),
    ],
)
def test_a_loss_is_recognised_and_stays_on_record(
    data: Path, tmp_path: Path, lose: Callable[[Path, Path], None], reason: str
) -> None:
    old = tmp_path / "old"
    shutil.copytree(data, old)
    sign(data, 5, blocks=4)
    lose(data, old)
    for _ in range(3):
        journal = opened(data)
        assert reason in (journal.loss_reason or "")
        with pytest.raises(ContradictionError, match="not known"):
            journal.check_and_record(PreparePayload(RoundId(9, 0), bytes(32)))


def test_a_new_directory_an_ordinary_restart_and_an_older_database_are_no_loss(data: Path, tmp_path: Path) -> None:
    assert opened(tmp_path / "new").loss_reason is None
    assert opened(data).loss_reason is None
    old = tmp_path / "old"
    shutil.copytree(data, old)
    sign(data, 5, blocks=4)
    shutil.rmtree(data / "database")
    shutil.copytree(old / "database", data / "database")
    journal = opened(data)
    assert journal.loss_reason is None
    with pytest.raises(ContradictionError):
        journal.check_and_record(PreparePayload(RoundId(5, 0), b"\1" * 32))


def test_a_start_does_not_decode_the_blocks_that_the_database_has(data: Path) -> None:
    """The log of full blocks is long: a start took most of a minute, and a gigabyte."""
    log = ConsensusLog(data / "consensus.log", owner=OWNER)
    log.append(with_a_false_transaction(Journal(IBFT2_ONLY).record_prepared(prepared())))
    log.close()
    with closing(LmdbDatabase(data)) as database:
        open_signing_state(data, OWNER, database, IBFT2_ONLY, reset=False).close()
    shutil.rmtree(data / "database")
    with closing(LmdbDatabase(data)) as database, pytest.raises(RlpError):
        open_signing_state(data, OWNER, database, IBFT2_ONLY, reset=False)


def test_a_database_that_was_deleted_is_no_loss(data: Path) -> None:
    shutil.rmtree(data / "database")
    assert opened(data).loss_reason is None


def test_a_data_directory_of_an_older_version_is_no_loss(data: Path) -> None:
    log = ConsensusLog(data / "consensus.log")
    frames = b"".join(map(UNMARKED.encode, log.records()))
    log.close()
    (data / "consensus.log").write_bytes(frames)
    database = LmdbDatabase(data)
    with database.write() as batch:
        batch.delete("consensus_log", b"position")
    database.close()
    for _ in range(2):
        journal = opened(data)
        assert journal.loss_reason is None
        with pytest.raises(ContradictionError):
            journal.check_and_record(PreparePayload(RoundId(3, 0), b"\1" * 32))


def test_a_chain_without_any_trace_of_a_log_is_a_loss(data: Path) -> None:
    """As an older version leaves it when its log is deleted, and an import of blocks for a validator that was Besu's."""
    (data / "consensus.log").unlink()
    database = LmdbDatabase(data)
    with database.write() as batch:
        batch.delete("consensus_log", b"position")
    database.close()
    assert "missing" in (opened(data).loss_reason or "")


def test_the_log_of_another_key_is_set_aside(data: Path) -> None:
    assert opened(data, OTHER).loss_reason is not None
    assert (data / f"consensus.log.of-0x{OWNER.hex()}").exists()


def test_a_reset_settles_a_loss_once(data: Path) -> None:
    (data / "consensus.log").unlink()
    assert opened(data).loss_reason is not None
    journal = opened(data, reset=True)
    assert journal.loss_reason is None
    journal.check_and_record(PreparePayload(RoundId(3, 0), bytes(32)))
    (data / "consensus.log").unlink()
    assert opened(data).loss_reason is not None


def test_a_reset_is_for_one_start(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("reset-signing-state=true\n")
    with pytest.raises(UsageError, match="for one start"):
        collect_settings({"config-file": str(file)}, {})
    with pytest.raises(UsageError, match="for one start"):
        collect_settings({}, {"BESU_RESET_SIGNING_STATE": "true"})
    assert collect_settings({"reset-signing-state": "true"}, {}).get("reset-signing-state") is True
