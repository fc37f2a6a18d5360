"""The chain that Besu made (LACNet's local network, 118 blocks) through the whole import, and every way to spoil it."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lacnode.chain.block_file import (
    BlockFileError,
    ExportRangeError,
    ImportReport,
    ImportStoppedError,
    export_blocks,
    import_blocks,
)
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import STATE, DatabaseNodeStore
from lacnode.chainspec.genesis import load_genesis
from lacnode.primitives.block import Block
from lacnode.storage.database import Database
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.engines import engine

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "lacnet-local"
BLOCKS = DATA / "blocks-0-118.rlp"
TABLES = ("headers", "bodies", "outcomes", "numbers", "transactions", "blooms", "votes", "state", "meta")

pytestmark = [
    pytest.mark.skipif(not BLOCKS.exists(), reason="the real chain (shared/data/lacnet-local) is not here"),
    pytest.mark.usefixtures("each_engine"),
]


def opened(database: Database) -> Blockchain:
    spec = load_genesis(DATA / "genesis.json")
    return Blockchain(spec, database, engine(spec, DatabaseNodeStore(database)))


def encoded_blocks() -> list[bytes]:
    """The blocks of the file as they stand there."""
    data, blocks, position = BLOCKS.read_bytes(), [], 0
    while position < len(data):
        width = data[position] - 0xF7
        length = int.from_bytes(data[position + 1 : position + 1 + width])
        end = position + 1 + width + length
        blocks.append(data[position:end])
        position = end
    return blocks


def content(database: Database) -> dict[str, list[tuple[bytes, bytes]]]:
    with database.read() as snapshot:
        return {table: list(snapshot.items(table)) for table in TABLES}


@pytest.fixture(scope="module")
def imported() -> Blockchain:
    chain = opened(MemoryDatabase())
    assert import_blocks(chain, BLOCKS) == ImportReport(imported=118, skipped=1)
    return chain


class TestWholeChain:
    def test_ends_where_besu_ended(self, imported: Blockchain) -> None:
        expected = json.loads((DATA / "expected.json").read_text())
        assert imported.genesis_hash.hex() == expected["genesis_hash"][2:]
        assert imported.genesis.header.state_root.hex() == expected["genesis_state_root"][2:]
        assert imported.head.header.number == expected["head_number"]
        assert imported.head.hash.hex() == expected["head_hash"][2:]
        assert imported.head.header.state_root.hex() == expected["head_state_root"][2:]
        assert imported.head.total_difficulty == 119
        assert [a.hex() for a in imported.validators_after(imported.head.header)] == [expected["validator"][2:]]

    def test_finds_every_transaction_again(self, imported: Blockchain) -> None:
        count = 0
        for number in range(119):
            block = imported.block_at(number)
            assert block is not None
            receipt_records = imported.receipt_records_of(imported.hash_at(number) or b"")
            assert receipt_records is not None
            for index, transaction in enumerate(block.transactions):
                count += 1
                place = imported.transaction_location(transaction.hash)
                assert place is not None
                assert (place.number, place.index, place.block_hash) == (number, index, imported.hash_at(number))
            assert sum(outcome.gas_used for outcome in receipt_records) == block.header.gas_used
        assert count == 12

    def test_exports_byte_for_byte_what_was_imported(self, imported: Blockchain, tmp_path: Path) -> None:
        file = tmp_path / "blocks"
        file.write_bytes(b"old content")
        assert export_blocks(imported, file) == 119
        assert file.read_bytes() == BLOCKS.read_bytes()

    def test_exports_a_range_after_what_is_there(self, imported: Blockchain, tmp_path: Path) -> None:
        file = tmp_path / "blocks"
        assert export_blocks(imported, file, end=3) == 3
        assert export_blocks(imported, file, start=3, end=5) == 2
        assert export_blocks(imported, file, start=5, end=500) == 114
        assert file.read_bytes() == BLOCKS.read_bytes()

    def test_imports_a_second_time_without_effect(self, imported: Blockchain) -> None:
        assert import_blocks(imported, BLOCKS) == ImportReport(imported=0, skipped=119)


class TestRanges:
    def test_imports_up_to_an_end_and_on_from_a_start(self) -> None:
        chain = opened(MemoryDatabase())
        assert import_blocks(chain, BLOCKS, end=10).imported == 9
        seen: list[int] = []
        assert import_blocks(chain, BLOCKS, start=5, end=13, progress=seen.append).imported == 3
        assert seen == [10, 11, 12]
        with pytest.raises(ImportStoppedError) as stopped:
            import_blocks(chain, BLOCKS, start=20)
        assert stopped.value.rule == "unknown-parent"
        assert stopped.value.number == 20


class TestSpoiltFiles:
    def test_any_flipped_byte_stops_the_import_at_its_block(self, tmp_path: Path) -> None:
        """Over all 119 blocks, a seeded choice of bytes of each and of bits to flip; nothing of the block stays."""
        choice = random.Random(20_24_01)
        blocks = encoded_blocks()
        database = MemoryDatabase()
        chain = opened(database)
        rules: set[str] = set()
        for number, data in enumerate(blocks):
            before = content(database)
            busy = bool(Block.decode(data).transactions)
            for position in choice.sample(range(len(data)), 60 if busy else 8):
                spoilt = bytearray(data)
                spoilt[position] ^= 1 << choice.randrange(8)
                stopped = stops(chain, tmp_path, blocks[max(0, number - 1) : number], bytes(spoilt))
                assert stopped.number == number or not number, f"bit flip at byte {position}: {stopped}"
                assert f"block {stopped.number}," in str(stopped)
                rules.add(stopped.rule)
            assert content(database) == before
            import_blocks(chain, written(tmp_path, data))
        assert chain.head.header.number == 118
        assert len(rules) > 8

    @pytest.mark.parametrize(
        ("name", "found", "replaced", "rules"),
        [
            ("seal", -60, b"", {"commit-seals", "extra-data"}),
            ("length of the block", 1, b"", {"malformed"}),
            ("length of the header", 4, b"", {"malformed"}),
        ],
    )
    def test_named_places(self, tmp_path: Path, name: str, found: int, replaced: bytes, rules: set[str]) -> None:
        blocks = encoded_blocks()
        chain = opened(MemoryDatabase())
        block = Block.decode(blocks[1])
        spoilt = bytearray(blocks[1])
        if name == "seal":
            extra_end = blocks[1].index(block.header.extra_data) + len(block.header.extra_data)
            found += extra_end
        spoilt[found] ^= 1
        assert stops(chain, tmp_path, blocks[:1], bytes(spoilt)).rule in rules

    def test_a_length_that_lies_allocates_nothing(self, tmp_path: Path) -> None:
        chain = opened(MemoryDatabase())
        for prefix in (b"\xff" + b"\xff" * 8, b"\xfb\x7f\xff\xff\xff", b"\xf9\x10", b"\x80", b"text"):
            stopped = stops(chain, tmp_path, [], prefix)
            assert stopped.rule == "malformed"

    def test_the_last_block_cut_short(self, tmp_path: Path) -> None:
        chain = opened(MemoryDatabase())
        blocks = encoded_blocks()
        stopped = stops(chain, tmp_path, blocks[:4], blocks[4][:-1])
        assert (stopped.number, stopped.rule, stopped.offset) == (4, "malformed", sum(map(len, blocks[:4])))
        assert chain.head.header.number == 3

    def test_another_networks_genesis(self, tmp_path: Path) -> None:
        chain = opened(MemoryDatabase())
        other = Block.decode(encoded_blocks()[0])
        other = other.with_header(other.header.with_changes(timestamp=1))
        assert stops(chain, tmp_path, [], other.encode()).rule == "genesis"

    def test_no_file(self, tmp_path: Path) -> None:
        chain = opened(MemoryDatabase())
        with pytest.raises(BlockFileError, match="Could not find file to import"):
            import_blocks(chain, tmp_path / "absent")
        with pytest.raises(BlockFileError, match="not a regular file"):
            import_blocks(chain, tmp_path)

    def test_ranges_that_make_no_sense(self, imported: Blockchain, tmp_path: Path) -> None:
        for start, end, text in (
            (-1, None, r"Parameter --start-block \(-1\) must be greater than or equal to zero\."),
            (None, -2, r"Parameter --end-block \(-2\) must be greater than or equal to zero\."),
            (5, 5, r"Parameter --end-block \(5\) must be greater start block \(5\)\."),
        ):
            with pytest.raises(ExportRangeError, match=text):
                export_blocks(imported, tmp_path / "blocks", start=start, end=end)
        with pytest.raises(BlockFileError, match=r"An error occurred while exporting blocks\."):
            export_blocks(imported, tmp_path)


def written(directory: Path, data: bytes) -> Path:
    path = directory / "blocks.rlp"
    path.write_bytes(data)
    return path


def stops(chain: Blockchain, directory: Path, good: list[bytes], bad: bytes) -> ImportStoppedError:
    with pytest.raises(ImportStoppedError) as stopped:
        import_blocks(chain, written(directory, b"".join(good) + bad))
    return stopped.value


IMPORTER = """
import sys
from pathlib import Path
from lacnode.chain.block_file import import_blocks
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import load_genesis
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.storage.lmdb_database import LmdbDatabase
data, directory, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
spec = load_genesis(data / "genesis.json")
database = LmdbDatabase(directory)
chain = Blockchain(spec, database, PyEvmEngine(spec, DatabaseNodeStore(database)))
print("ready", flush=True)
blocks = data / "blocks-0-118.rlp"
if mode == "bulk":
    import_blocks(chain, blocks, progress=lambda number: print(number, flush=True))
else:
    for number in range(chain.head.header.number + 1, 119):
        import_blocks(chain, blocks, start=number, end=number + 1)
        print(number, flush=True)
database.close()
"""


class TestKilled:
    @pytest.mark.parametrize("mode", ["bulk", "one by one"])
    def test_a_killed_import_leaves_whole_blocks_and_goes_on(self, tmp_path: Path, mode: str) -> None:
        choice = random.Random(mode)
        heads = [killed_import(tmp_path / "node", mode, choice.randrange(1, 40)) for _ in range(4)]
        assert heads == sorted(heads)
        database = LmdbDatabase(tmp_path / "node")
        chain = opened(database)
        import_blocks(chain, BLOCKS)
        export_blocks(chain, tmp_path / "exported")
        database.close()
        assert (tmp_path / "exported").read_bytes() == BLOCKS.read_bytes()


def killed_import(directory: Path, mode: str, after: int) -> int:
    """Import in a process that is killed `after` that many blocks; the head it left, having checked what is there."""
    acknowledged = 0
    for line in lines_until_killed(directory, mode, after):
        acknowledged = int(line)
    database = LmdbDatabase(directory)
    chain = opened(database)
    head = chain.head.header.number
    if mode != "bulk":
        assert head >= acknowledged
    with database.read() as snapshot:
        for number in range(head + 1):
            hash_ = chain.hash_at(number)
            assert hash_ is not None
            block = chain.block_of(hash_)
            assert block is not None
            assert snapshot.get(STATE, block.header.state_root) is not None
            assert len(chain.encoded_receipts_of(hash_) or ()) == len(block.transactions)
    assert chain.hash_at(head + 1) is None
    database.close()
    return head


def lines_until_killed(directory: Path, mode: str, after: int) -> Iterator[str]:
    command = [sys.executable, "-c", IMPORTER, str(DATA), str(directory), mode]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _, line in zip(range(after), process.stdout, strict=False):
            yield line
        process.send_signal(signal.SIGKILL)
