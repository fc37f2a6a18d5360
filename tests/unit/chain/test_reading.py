"""Logs and receipts of stored blocks, also read while the chain grows."""

import threading
from pathlib import Path

import pytest

from lacnode.chain import chain_store
from lacnode.chain.log_filter import LogFilter
from lacnode.primitives.receipt import Log
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.support.chain_genesis import (
    LOGGER_ADDRESS,
    PAYER,
    STRANGER,
    TOPIC,
)
from tests.support.chain_network import network
from tests.support.chain_transactions import Offer, transaction


class TestLogs:
    def test_are_found_by_range_address_and_topic(self) -> None:
        net = network()
        for nonce in range(3):
            net.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=bytes([nonce]) * 32))])
            net.grow()
        wanted = LogFilter((LOGGER_ADDRESS,), ((TOPIC,),))
        found = list(net.chain.logs(0, 100, wanted))
        assert [(log.block_number, log.log.data[:1], log.log_index) for log in found] == [
            (1, b"\0", 0),
            (3, b"\1", 0),
            (5, b"\2", 0),
        ]
        assert [log.block_number for log in net.chain.logs(2, 4, LogFilter())] == [3]
        assert list(net.chain.logs(0, 100, LogFilter((STRANGER.address,)))) == []
        assert net.chain.logs_of_block(net.chain.hash_at(3) or b"", wanted) == (found[1],)
        assert net.chain.logs_of_block(bytes(32), wanted) == ()

    def test_are_decoded_only_of_a_block_whose_bloom_may_match(self, monkeypatch: pytest.MonkeyPatch) -> None:
        net, decoded = network(), list[bytes]()
        net.grow([Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))])
        hash_ = net.chain.head.hash
        for strange in (LogFilter((STRANGER.address,)), LogFilter((), ((b"\x77" * 32,),))):
            assert net.chain.logs_of_block(hash_, strange, decoded.append) == ()
            assert list(net.chain.logs(0, 100, strange, check_block=decoded.append)) == []
        with monkeypatch.context() as patched:
            patched.setattr(chain_store, "decode_receipt_records", None)
            assert net.chain.logs_of_block(hash_, LogFilter((STRANGER.address,))) == ()
        assert decoded == []
        assert len(net.chain.logs_of_block(hash_, LogFilter(), decoded.append)) == 1
        assert len(list(net.chain.logs(0, 100, LogFilter(), check_block=decoded.append))) == 1
        assert decoded == [hash_] * 2


def test_encoded_receipts_are_read_without_decoding_their_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers ask for them. A block may have a million logs."""
    net = network()
    net.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=bytes(32))) for nonce in range(2)])
    hash_ = net.chain.head.hash
    records = net.chain.receipt_records_of(hash_)
    assert records is not None
    monkeypatch.delattr(Log, "from_item")
    assert net.chain.encoded_receipts_of(hash_) == tuple(record.receipt.encode() for record in records)
    assert net.chain.encoded_receipts_of(bytes(32)) is None


def test_readers_in_other_threads_see_whole_blocks_while_the_database_grows(tmp_path: Path) -> None:
    database = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 18)
    ahead, behind = network(), network(database=database)
    blocks = [ahead.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=b"\7" * 32))]) for nonce in range(60)]
    done, troubles = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            head = behind.chain.head
            block = behind.chain.block_of(head.hash)
            logs = list(behind.chain.logs(0, head.header.number, LogFilter()))
            balance = behind.chain.state_at(head.header).balance(PAYER.address)
            if block is None or len(logs) != head.header.number or not balance:
                troubles.append(f"at block {head.header.number}: {len(logs)} logs, balance {balance}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for block in blocks:
        behind.chain.import_block(block)
    done.set()
    for reader in readers:
        reader.join(30)
    database.close()
    assert not troubles
    assert behind.chain.head == ahead.chain.head
