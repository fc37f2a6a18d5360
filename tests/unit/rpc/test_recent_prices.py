"""The prices of the last blocks: what a call reads, and that no other call waits for it."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lacnode.chain.blockchain import NewHead
from lacnode.chain.chain_history import ChainHistory
from lacnode.rpc.recent_prices import MAX_BLOCK_PRICES, RecentPrices, price_at_percentile

BLOCKS = 4
HEAD = 9


def block(*prices: int) -> Any:
    return SimpleNamespace(transactions=[SimpleNamespace(gas_price=price) for price in prices])


class Stored:
    """A chain in which block n has one transaction of price n. It notes which blocks are read."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.is_read = threading.Event()

    def block_at(self, number: int) -> Any:
        self.read.append(number)
        self.is_read.set()
        assert self.may_read.wait(60)
        return block(number)


def prices_of(stored: Stored) -> RecentPrices:
    return RecentPrices(cast(ChainHistory, stored), BLOCKS)


def imported(number: int, *prices: int) -> NewHead:
    return cast(NewHead, SimpleNamespace(header=SimpleNamespace(number=number), block=block(*prices)))


def test_a_block_is_read_once() -> None:
    stored = Stored()
    recent = prices_of(stored)
    for _ in range(3):
        assert sorted(recent.count_prices(HEAD).gas_prices) == [6, 7, 8, 9]
    assert sorted(recent.count_prices(HEAD + 1).gas_prices) == [7, 8, 9, 10]
    assert stored.read == [9, 8, 7, 6, 10]


def test_a_call_reads_for_a_bounded_time_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: blocks are full when the node starts. Decoding all of them takes most of a minute."""
    monkeypatch.setattr("lacnode.rpc.recent_prices.READ_SECONDS", -1.0)
    stored = Stored()
    recent = prices_of(stored)
    counted = [sorted(recent.count_prices(HEAD).gas_prices) for _ in range(BLOCKS + 1)]
    assert counted == [[9], [8, 9], [7, 8, 9], [6, 7, 8, 9], [6, 7, 8, 9]]
    assert stored.read == [9, 8, 7, 6]


def test_no_call_waits_for_one_that_reads() -> None:
    stored = Stored()
    recent = prices_of(stored)
    stored.may_read.clear()
    reading = threading.Thread(target=recent.count_prices, args=(HEAD,))
    reading.start()
    try:
        assert stored.is_read.wait(60)
        assert not recent.count_prices(HEAD).gas_prices
        recent.block_imported(imported(HEAD + 1, 5))
        assert list(recent.count_prices(HEAD + 1).gas_prices) == [5]
        assert stored.read == [HEAD]
    finally:
        stored.may_read.set()
        reading.join()


def test_imported_blocks_are_not_read_and_old_ones_are_dropped() -> None:
    stored = Stored()
    recent = prices_of(stored)
    for number in range(20):
        recent.block_imported(imported(number, number, number))
    assert recent.count_prices(19).gas_prices == dict.fromkeys(range(16, 20), 2)
    assert (stored.read, len(recent._counts)) == ([], BLOCKS)


def test_a_block_with_many_prices_takes_little_memory_and_gives_about_the_same_price() -> None:
    recent = prices_of(Stored())
    for number in range(BLOCKS):
        recent.block_imported(imported(number, *range(10_000)))
    counts = recent.count_prices(BLOCKS - 1).gas_prices
    assert len(counts) <= MAX_BLOCK_PRICES
    assert counts.total() == BLOCKS * 10_000
    assert price_at_percentile(counts, 50) == pytest.approx(5_000, abs=40)
