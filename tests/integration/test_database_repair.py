"""Damaged values of a running node: named, never used, and put back where they can be proven."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import trio

from lacnode.chain.block_repair import BlockRepair, RepairNotProvenError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import BODIES, HEADERS, NUMBERS, OUTCOMES, STATE
from lacnode.node.database_repair import DatabaseRepair
from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.storage_errors import DamagedValueError
from lacnode.workers.worker import ThreadWorker
from tests.support.chain_genesis import LOGGER_ADDRESS
from tests.support.chain_network import Network, network
from tests.support.chain_transactions import Offer, transaction
from tests.support.ibft2_blocks import with_seals

DEADLINE = 20.0
DAMAGED = 3


@dataclass
class KnowingPeer:
    """A peer that has the chain. What it gives may be another block's."""

    chain: Blockchain
    offset: int = 0

    def __post_init__(self) -> None:
        self.requests = self

    async def request_headers(self, start: bytes, limit: int) -> Sequence[BlockHeader]:
        return [self._block(start).header]

    async def request_bodies(self, hashes: Sequence[bytes]) -> Sequence[BlockBody]:
        return [self._block(hashes[0]).body]

    def _block(self, hash_: bytes) -> Block:
        header = self.chain.header_of(hash_)
        assert header is not None
        block = self.chain.block_at(header.number + self.offset)
        assert block is not None
        return block


def grown(directory: Path) -> Network:
    """A chain on disk, closed again."""
    database = LmdbDatabase(directory, durable=False)
    chain = network(database=database)
    for nonce in range(6):
        chain.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=bytes([nonce]) * 32))])
    database.close()
    return chain


def stored_value(directory: Path, table: str, key: bytes) -> bytes:
    database = LmdbDatabase(directory, durable=False)
    with database.read() as snapshot:
        value = snapshot.get(table, key)
    database.close()
    assert value is not None
    return value


def damage(directory: Path, table: str, key: bytes) -> None:
    """Alter one bit of a value in the file, everywhere it stands."""
    value = stored_value(directory, table, key)
    file = directory / "database" / "data.mdb"
    data = file.read_bytes()
    place = data.find(key + value)
    assert place >= 0
    while place >= 0:
        altered = place + len(key) + len(value) // 2
        data = data[:altered] + bytes([data[altered] ^ 4]) + data[altered + 1 :]
        place = data.find(key + value, altered)
    file.write_bytes(data)


class Repairing:
    """The damaged chain, with the repair of a node around it."""

    def __init__(self, directory: Path, peers: Sequence[KnowingPeer]) -> None:
        self.database = LmdbDatabase(directory, durable=False)
        self.chain = network(database=self.database).chain
        self.repair = DatabaseRepair(
            BlockRepair(self.chain, self.database), lambda: cast("Sequence[Peer]", peers), ThreadWorker()
        )

    async def read_until_whole(self, table: str, key: bytes) -> bytes:
        """The value, asked for until it is back; the first answer must be an error."""
        token = trio.lowlevel.current_trio_token()
        self.database.on_damage(lambda error: token.run_sync_soon(self.repair.report_damage, error))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.repair.run)
            with trio.fail_after(DEADLINE):
                with pytest.raises(DamagedValueError, match=f"table {table}"):
                    self._read(table, key)
                while True:
                    await trio.sleep(0.02)
                    try:
                        value = self._read(table, key)
                    except DamagedValueError:
                        continue
                    nursery.cancel_scope.cancel()
                    return value

    def _read(self, table: str, key: bytes) -> bytes:
        with self.database.read() as snapshot:
            value = snapshot.get(table, key)
        assert value is not None
        return value


@pytest.mark.parametrize("table", [HEADERS, BODIES, OUTCOMES, NUMBERS])
async def test_a_damaged_part_of_a_block_comes_back(tmp_path: Path, table: str) -> None:
    source = grown(tmp_path / "node")
    shutil.copytree(tmp_path / "node", tmp_path / "peer")
    with_chain = network(database=LmdbDatabase(tmp_path / "peer", durable=False))
    hash_ = with_chain.chain.hash_at(DAMAGED)
    assert hash_ is not None
    key = DAMAGED.to_bytes(8) if table == NUMBERS else hash_
    before = stored_value(tmp_path / "node", table, key)
    damage(tmp_path / "node", table, key)
    peers = [KnowingPeer(with_chain.chain, offset=1), KnowingPeer(with_chain.chain)]
    repairing = Repairing(tmp_path / "node", peers)
    assert await repairing.read_until_whole(table, key) == before
    assert repairing.chain.block_at(DAMAGED) == with_chain.chain.block_at(DAMAGED)
    repairing.database.close()
    with_chain.database.close()
    assert source.chain.head.header.number > DAMAGED


def test_what_is_not_proven_is_not_stored(tmp_path: Path) -> None:
    database = LmdbDatabase(tmp_path, durable=False)
    chain = network(database=database)
    for nonce in range(3):
        chain.grow([Offer(transaction(nonce))])
    block, other = chain.chain.block_at(2), chain.chain.block_at(1)
    hash_ = chain.chain.hash_at(2)
    assert block is not None
    assert other is not None
    assert hash_ is not None
    repair = BlockRepair(chain.chain, database)
    with pytest.raises(RepairNotProvenError, match="another hash"):
        repair.store_header(hash_, other.header)
    with pytest.raises(RepairNotProvenError, match="seal"):
        repair.store_header(hash_, with_seals(block, ()).header)
    with pytest.raises(RepairNotProvenError, match="roots"):
        repair.store_body(hash_, other.body)
    with pytest.raises(RepairNotProvenError, match="parts"):
        repair.store_body(hash_, replace(block.body, withdrawals=(b"",)))
    with pytest.raises(RepairNotProvenError, match="cannot be put back"):
        repair.recompute_value(STATE, bytes(32))
    repair.store_header(hash_, block.header)
    repair.store_body(hash_, block.body)
    database.close()
