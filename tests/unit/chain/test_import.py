"""Blocks that become the head: once, with a database that is full, in bulk, and with listeners."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lacnode.chain.blockchain import NewHead
from lacnode.crypto.secp256k1 import recover_address, recover_sender
from lacnode.primitives.block import Block
from lacnode.storage.database import Batch
from lacnode.storage.environment import Environment
from lacnode.storage.layers import Layer
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.storage.storage_errors import StorageFullError
from tests.support.chain_genesis import LOGGER_ADDRESS, PAYER, TOPIC
from tests.support.chain_network import network, sealed
from tests.support.chain_transactions import Offer, transaction
from tests.support.ibft2_blocks import with_seals


class TestImport:
    def test_a_sender_is_recovered_once_from_the_pool_to_the_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        recovered = list[bytes]()

        def counted(digest: bytes, signature: bytes) -> bytes:
            recovered.append(digest)
            return recover_address(digest, signature)

        monkeypatch.setattr("lacnode.crypto.secp256k1.recover_address", counted)
        sent = [transaction(nonce, data=b"recovered once") for nonce in range(3)]
        assert [recover_sender(each) for each in sent] == [PAYER.address] * 3
        assert recovered == [each.signing_hash() for each in sent]
        net = network()
        block = Block.decode(net.build([Offer(each) for each in sent]).encode())
        net.chain.check_proposal(block)
        assert net.chain.import_block(sealed(block, net.chain))
        late = network()
        assert late.chain.import_block(sealed(block, late.chain))
        assert len(recovered) == 3

    def test_a_known_block_is_no_news(self) -> None:
        net = network()
        block = net.grow()
        assert not net.chain.import_block(block)
        assert not net.chain.import_block(with_seals(block, ()))
        assert len(net.heads) == 1


class TestListeners:
    def test_hear_of_a_head_they_can_read(self) -> None:
        net = network()
        seen = []

        def listener(news: NewHead) -> None:
            seen.append((news.hash, net.chain.head.hash, net.chain.block_of(news.hash) == news.block))

        def failing(news: NewHead) -> None:
            raise RuntimeError("a listener's own trouble")

        net.chain.on_head(failing)
        net.chain.on_head(listener)
        net.grow([Offer(transaction(0, LOGGER_ADDRESS, data=b"\x07" * 32))])
        assert seen == [(net.chain.head.hash, net.chain.head.hash, True)]
        assert [log.log.topics for log in net.heads[0].logs] == [(TOPIC,)]
        assert net.heads[0].receipt_records[0].sender == PAYER.address


class FullDatabase(MemoryDatabase):
    """Has no room for a batch when told so."""

    full = False

    @contextmanager
    def write(self) -> Iterator[Batch]:
        with super().write() as batch:
            yield batch
            if self.full:
                raise StorageFullError("no space left")


def test_a_full_disk_leaves_the_head_where_it_was_and_the_block_can_come_again() -> None:
    database = FullDatabase()
    net = network(database=database)
    block = sealed(net.build([Offer(transaction(0))]), net.chain)
    database.full = True
    with pytest.raises(StorageFullError):
        net.chain.import_block(block)
    assert net.chain.head.header.number == 0
    assert not net.heads
    assert net.chain.hash_at(1) is None
    database.full = False
    assert net.chain.import_block(block)
    assert net.chain.transaction_location(block.transactions[0].hash) is not None


def test_bulk_import_shows_each_block_at_once() -> None:
    ahead, behind = network(), network()
    blocks = [ahead.grow() for _ in range(5)]
    with behind.chain.bulk_import():
        for block in blocks:
            behind.chain.import_block(block)
            assert behind.chain.block_at(block.number) == block
    assert behind.chain.head == ahead.chain.head


def test_a_bulk_import_that_cannot_be_written_takes_its_blocks_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = LmdbDatabase(tmp_path, durable=False)
    ahead, behind = network(), network(database=database)
    blocks = [ahead.grow() for _ in range(3)]

    def failing(environment: Environment, layers: Sequence[Layer]) -> None:
        raise StorageFullError("no space left")

    def import_all() -> None:
        with behind.chain.bulk_import():
            for block in blocks:
                behind.chain.import_block(block)

    with monkeypatch.context() as patch:
        patch.setattr(Environment, "write", failing)
        with pytest.raises(StorageFullError):
            import_all()
    assert behind.chain.head.header.number == 0
    assert behind.chain.hash_at(1) is None
    import_all()
    assert behind.chain.head == ahead.chain.head
    database.close()
