"""The parts of the chain that need no chain: gas limit votes, log filters, stored forms, tables."""

import pytest

from lacnode.chain.chain_store import StoredChain, write_head_block
from lacnode.chain.gas_limit import next_gas_limit
from lacnode.chain.log_filter import LogFilter
from lacnode.chain.receipt_record import (
    ReceiptRecord,
    decode_receipt_records,
    encode_receipt_records,
    logs_with_metadata,
)
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.rlp import MAX_LISTS
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.storage.memory_database import MemoryDatabase

A, B = b"\xaa" * 20, b"\xbb" * 20
T1, T2, T3 = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


class TestGasLimit:
    def test_stays_without_a_target(self) -> None:
        assert next_gas_limit(350_000_000, None) == 350_000_000

    @pytest.mark.parametrize(
        ("parent", "target", "expected"),
        [
            (350_000_000, 400_000_000, 350_341_795),
            (350_000_000, 300_000_000, 349_658_205),
            (350_000_000, 350_000_100, 350_000_100),
            (102_400, 200_000, 102_499),  # less than a 1024th of the parent's, strictly
            (102_400, 5_000, 102_301),
            (5_000, 6_000, 5_003),
            (1_000, 2_000, 1_000),
        ],
    )
    def test_takes_a_legal_step_towards_the_target(self, parent: int, target: int, expected: int) -> None:
        assert next_gas_limit(parent, target) == expected

    def test_stays_at_the_target_of_three_whatever_a_fourth_proposer_does(self) -> None:
        """Attack: one proposer of four takes the largest step down that the header rule allows, at each of its turns."""
        target = limit = 350_000_000
        for height in range(400):
            is_faulty = height % 4 == 0
            limit = next_gas_limit(limit, 5_000 if is_faulty else target)
        assert limit == target

    def test_doubles_where_the_base_fee_begins(self) -> None:
        assert next_gas_limit(10_000_000, None, base_fee_begins=True) == 20_000_000


class TestLogFilter:
    LOG = Log(A, (T1, T2), b"")

    @pytest.mark.parametrize(
        ("wanted", "matches"),
        [
            (LogFilter(), True),
            (LogFilter(addresses=(A,)), True),
            (LogFilter(addresses=(B, A)), True),
            (LogFilter(addresses=(B,)), False),
            (LogFilter(topics=((T1,),)), True),
            (LogFilter(topics=((T2,),)), False),
            (LogFilter(topics=((), (T2,))), True),
            (LogFilter(topics=((T3, T1), (T3, T2))), True),
            (LogFilter(topics=((T1,), (T3,))), False),
            (LogFilter(topics=((), (), ())), False),
            (LogFilter(topics=((), ())), True),
        ],
    )
    def test_asks_for_positions_and_alternatives(self, wanted: LogFilter, matches: bool) -> None:
        assert wanted.matches(self.LOG) is matches
        bloom = Receipt.with_computed_bloom(0, 1, None, 21_000, (self.LOG,)).logs_bloom
        assert wanted.to_bloom_test().passes(bloom) or not matches

    def test_a_log_is_not_compared_with_thousands_of_addresses_and_topics(self) -> None:
        compared: list[bytes] = []

        class Item(bytes):
            def __eq__(self, other: object) -> bool:
                compared.append(self)
                return super().__eq__(other)

            __hash__ = bytes.__hash__

        others = tuple(Item(number.to_bytes(20)) for number in range(1_000))
        assert not LogFilter(addresses=others).matches(self.LOG)
        assert LogFilter(topics=((*others, T1),)).matches(self.LOG)
        assert len(compared) < 100

    def test_a_bloom_without_the_item_is_passed_over(self) -> None:
        bloom = Receipt.with_computed_bloom(0, 1, None, 21_000, (Log(B, (T3,), b""),)).logs_bloom
        assert not LogFilter(addresses=(A,)).to_bloom_test().passes(bloom)
        assert not LogFilter(topics=((), (T1,))).to_bloom_test().passes(bloom)


OUTCOMES = (
    ReceiptRecord(
        A, Receipt.with_computed_bloom(0, 1, None, 21_000, (Log(A, (T1,), b"x"), Log(B, (), b""))), 21_000, None, None
    ),
    ReceiptRecord(B, Receipt.with_computed_bloom(2, 0, None, 90_000, ()), 69_000, A, b""),
    ReceiptRecord(B, Receipt.with_computed_bloom(0, None, T1, 90_000, (Log(B, (T2,), b"y"),)), 0, None, b"reason"),
)


@pytest.mark.parametrize("type_", [0, 2])
def test_a_block_with_more_logs_than_a_message_has_items_is_read_again(type_: int) -> None:
    logs = (Log(A, (), b""),) * (MAX_LISTS // 2 + 1)
    receipt = Receipt(type_, 1, None, 350_000_000, EMPTY_BLOOM, logs)
    receipt_records = (ReceiptRecord(A, receipt, 350_000_000, None, None),)
    assert len(decode_receipt_records(encode_receipt_records(receipt_records))[0].receipt.logs) == len(logs)
    private = PrivateReceipt(PrivateStatus.SUCCESSFUL, logs)
    assert len(PrivateReceipt.decode(private.encode()).logs) == len(logs)


def test_outcomes_come_back_as_they_were_stored() -> None:
    assert decode_receipt_records(encode_receipt_records(OUTCOMES)) == OUTCOMES
    assert decode_receipt_records(encode_receipt_records(())) == ()


EXTRA = encode_extra_data(ExtraData(bytes(32), (A,)))


def header(number: int, bloom: bytes) -> BlockHeader:
    return BlockHeader(
        T1, T1, A, T1, T1, T1, bloom, 1, number, 10_000_000, 0, 1_700_000_000 + number, EXTRA, T1, bytes(8)
    )


class TestTables:
    def test_what_was_never_stored_is_not_there(self) -> None:
        with MemoryDatabase().read() as snapshot:
            chain = StoredChain(snapshot)
            assert chain.head_hash() is None
            assert chain.hash_at(0) is None
            assert chain.hash_at(-1) is None
            assert chain.hash_at(1 << 64) is None
            assert chain.block_of(T1) is None
            assert chain.block_of(b"") is None
            assert not chain.has(b"")
            assert chain.receipt_records_of(T1) is None
            assert chain.location_of(T1) is None

    def test_only_blocks_with_logs_are_looked_at_for_logs(self) -> None:
        database = MemoryDatabase()
        some = b"\1" * 256
        for number, bloom in enumerate([EMPTY_BLOOM, some, EMPTY_BLOOM, some, some, EMPTY_BLOOM]):
            with database.write() as batch:
                write_head_block(
                    batch, Block(header(number, bloom), BlockBody()), bytes([number]) * 32, (), has_vote=False
                )
        with database.read() as snapshot:
            chain = StoredChain(snapshot)
            assert [number for number, _ in chain.blooms_of_blocks_with_logs(0, 10)] == [1, 3, 4]
            assert [number for number, _ in chain.blooms_of_blocks_with_logs(2, 3)] == [3]
            assert [number for number, _ in chain.blooms_of_blocks_with_logs(5, 4)] == []
            assert chain.head_hash() == b"\5" * 32
            assert chain.header_of(b"\3" * 32) == header(3, some)


def test_logs_are_numbered_through_the_block() -> None:
    assert [log.log_index for log in logs_with_metadata(7, T3, 1, (), ())] == []
