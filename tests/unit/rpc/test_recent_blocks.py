"""Decoded blocks that are kept for answers: as many as their bytes allow."""

from dataclasses import replace
from typing import cast

import pytest

from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.receipt_record import ReceiptRecord
from lacnode.primitives.receipt import Log, Receipt
from lacnode.rpc.recent_blocks import RecentBlocks
from tests.support.chain_genesis import PAYER
from tests.support.chain_transactions import transaction

MEGABYTE = 2**20


class Stored:
    """Blocks whose one transaction has a log or data of one megabyte; counts how often one is read."""

    def __init__(self) -> None:
        self.reads = 0

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...]:
        self.reads += 1
        receipt = Receipt.with_computed_bloom(0, 1, None, 21_000, (Log(bytes(20), (), bytes(MEGABYTE)),))
        return (ReceiptRecord(PAYER.address, receipt, 21_000, None, None),)

    def block_of(self, hash_: bytes) -> object:
        self.reads += 1
        return Body((replace(transaction(0), raw=bytes(MEGABYTE)),))


class Body:
    def __init__(self, transactions: tuple[object, ...]) -> None:
        self.transactions = transactions


@pytest.mark.parametrize("kind", ["load_receipt_records", "load_block"])
def test_only_so_many_bytes_are_kept(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.rpc.recent_blocks.KEPT_BYTES", 3 * MEGABYTE)
    stored = Stored()
    read = getattr(RecentBlocks(cast(ChainHistory, stored)), kind)
    first, *others = [bytes([number]) * 32 for number in range(3)]
    for hash_ in (first, others[0], first):
        read(hash_)
    assert stored.reads == 2
    read(others[1])
    read(others[0])
    assert stored.reads == 4, "the block that was asked for longest ago was not forgotten"


def test_the_last_block_is_kept_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.rpc.recent_blocks.KEPT_BYTES", 1)
    stored = Stored()
    blocks = RecentBlocks(cast(ChainHistory, stored))
    for _ in range(2):
        blocks.load_receipt_records(bytes(32))
    assert stored.reads == 1
