"""Which transactions a block takes when time is short: each has its share, and the block has one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from lacnode.chain.transaction_selection import (
    BLOCK_SHARE,
    LAST_BYTES_SHARE,
    LIGHT_SHARE,
    TRANSACTION_SHARE,
    SelectionLimits,
    select_transactions,
)
from lacnode.evm.block_limits import MAX_BLOCK_BYTES, max_block_bytes
from lacnode.evm.budget import (
    UNLIMITED,
    BudgetExceededError,
    ExecutionBudget,
    ExecutionCancelledError,
    SizeExceededError,
)
from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction
from tests.support.chain_transactions import Offer, transaction

GAS_LIMIT = 10_000_000


@dataclass
class Clocked:
    """A block whose transactions take as many seconds of a hand-made clock as their nonce says, in steps of a tenth."""

    now: float = 100.0
    gas_left: int = GAS_LIMIT
    estimated_closing_seconds: float = 0.0
    closing_seconds_of_each: float = 0.0
    taken: list[Transaction] = field(default_factory=list)
    on_add: Callable[[], None] = lambda: None
    processor_share: float = 1.0

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        self.on_add()
        for _ in range(10 * transaction.nonce):
            self.now += 0.1
            budget.check()
        budget.check_time_for(self.closing_seconds_of_each)
        self.estimated_closing_seconds += self.closing_seconds_of_each
        self.taken.append(transaction)
        return Receipt.with_computed_bloom(0, 1, None, 21_000, ())


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> Clocked:
    made = Clocked()
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(time, "thread_time", lambda: made.processor_share * made.now)
    return made


def takes(seconds: int, *, is_expected_slow: bool = False) -> Offer:
    return Offer(transaction(seconds), is_expected_slow=is_expected_slow)


def verdicts(block: Clocked, offers: Sequence[Offer], seconds: float = 40, budget: ExecutionBudget = UNLIMITED) -> list:  # type: ignore[type-arg]
    select_transactions(block, GAS_LIMIT, offers, SelectionLimits(block.now + seconds, 0.8, budget))
    return [offer.verdict for offer in offers]


def test_a_transaction_that_takes_more_than_its_share_is_interrupted_and_the_block_goes_on(block: Clocked) -> None:
    assert TRANSACTION_SHARE * 40 == 8
    offers = [takes(1), takes(9), takes(7), takes(1)]
    assert verdicts(block, offers) == ["included", "interrupted", "included", "included"]
    assert [each.nonce for each in block.taken] == [1, 7, 1]


def test_one_that_others_kept_from_the_processor_is_not_to_blame(block: Clocked) -> None:
    block.processor_share = 0.4
    assert verdicts(block, [takes(9)]) == ["held up"]
    block.processor_share = 0.6
    assert verdicts(block, [takes(9)]) == ["interrupted"]


def test_the_chosen_ones_together_take_no_more_than_the_blocks_share(block: Clocked) -> None:
    assert BLOCK_SHARE * 40 == 20
    offers = [takes(7), takes(7), takes(7), takes(1)]
    assert verdicts(block, offers) == ["included", "included", "skipped", "included"]


def test_the_time_to_close_the_block_is_taken_from_the_blocks_share(block: Clocked) -> None:
    block.closing_seconds_of_each = 5
    assert BLOCK_SHARE * 40 == 20
    assert verdicts(block, [takes(2)] * 2 + [takes(2), takes(0)]) == ["included", "included", "skipped", "included"]


def test_a_transaction_that_closes_too_slowly_is_interrupted_though_it_is_executed_fast(block: Clocked) -> None:
    block.closing_seconds_of_each = TRANSACTION_SHARE * 40 + 0.5
    assert verdicts(block, [takes(0)]) == ["interrupted"]
    assert block.taken == []


def test_one_that_needs_too_much_memory_is_interrupted_however_fast_it_does(block: Clocked) -> None:
    def exceed() -> None:
        raise error

    block.on_add = exceed
    error: BudgetExceededError = SizeExceededError("it needs more memory")
    assert verdicts(block, [takes(1), takes(1, is_expected_slow=True)]) == ["interrupted", None]
    error = BudgetExceededError("the block has no place for its logs")
    assert verdicts(block, [takes(1), takes(1, is_expected_slow=True)]) == ["skipped", None]


def test_nothing_is_begun_after_the_deadline(block: Clocked) -> None:
    offers = [takes(9), takes(9), takes(9), takes(9), takes(9), takes(1)]
    assert verdicts(block, offers) == ["interrupted"] * 4 + ["skipped", None]
    assert block.now < 100 + 41


def test_of_those_that_are_offered_last_one_is_interrupted_and_no_more(block: Clocked) -> None:
    offers = [takes(1), takes(25, is_expected_slow=True), takes(1, is_expected_slow=True)]
    assert verdicts(block, offers) == ["included", "interrupted", None]
    offers = [takes(9), takes(2), takes(1, is_expected_slow=True)]
    assert verdicts(block, offers) == ["interrupted", "included", None]


def test_those_that_are_offered_last_have_one_share_together(block: Clocked) -> None:
    offers = [takes(2, is_expected_slow=True), takes(3, is_expected_slow=True)]
    assert verdicts(block, offers) == ["included", "included"]
    offers = [
        takes(7),
        takes(7, is_expected_slow=True),
        takes(2, is_expected_slow=True),
        takes(1, is_expected_slow=True),
    ]
    assert verdicts(block, offers) == ["included", "included", "skipped", None]


def test_light_ones_that_are_offered_last_may_use_the_rest_of_the_blocks_time(block: Clocked) -> None:
    assert (BLOCK_SHARE * 400, TRANSACTION_SHARE * 400, LIGHT_SHARE * 400) == (200, 80, 8)
    lights = [takes(7, is_expected_slow=True) for _ in range(20)]
    assert (
        verdicts(block, [takes(79, is_expected_slow=True), *lights], seconds=400)
        == ["included"] * 18 + ["skipped"] + [None] * 2
    )
    heavier = [takes(7, is_expected_slow=True), takes(9, is_expected_slow=True), takes(1, is_expected_slow=True)]
    assert verdicts(block, [takes(79, is_expected_slow=True), *heavier], 400) == [
        "included",
        "included",
        "skipped",
        None,
    ]
    # One that took too long ends it, before any other that may.
    assert verdicts(block, [takes(81), takes(7), takes(7, is_expected_slow=True)], 400) == [
        "interrupted",
        "included",
        None,
    ]


def test_a_selection_that_is_cancelled_ends_at_once(block: Clocked) -> None:
    budget = ExecutionBudget()
    block.on_add = budget.cancel
    offers = [takes(1), takes(1)]
    with pytest.raises(ExecutionCancelledError):
        verdicts(block, offers, budget=budget)
    assert [offer.verdict for offer in offers] == [None, None]


def long(size: int, *, is_expected_slow: bool = False) -> Offer:
    return Offer(replace(transaction(0), raw=bytes(size)), is_expected_slow=is_expected_slow)


def test_a_block_has_no_more_bytes_than_fit_a_message(block: Clocked) -> None:
    offers = [long(MAX_BLOCK_BYTES // 2), long(MAX_BLOCK_BYTES // 2 + 1), long(MAX_BLOCK_BYTES // 2), long(1)]
    assert verdicts(block, offers) == ["included", "skipped", "included", "skipped"]
    assert sum(len(each.raw) for each in block.taken) == MAX_BLOCK_BYTES


def test_a_block_has_no_more_bytes_than_fit_its_period_but_a_long_transaction_may_have_one_for_itself(
    block: Clocked,
) -> None:
    limits = SelectionLimits(block.now + 40, max_bytes=1_000)
    offers = [long(600), long(500), long(400), long(1)]
    select_transactions(block, GAS_LIMIT, offers, limits)
    assert [offer.verdict for offer in offers] == ["included", "skipped", "included", "skipped"]
    offers = [long(5_000), long(1)]
    select_transactions(block, GAS_LIMIT, offers, limits)
    assert [offer.verdict for offer in offers] == ["included", "skipped"]


def test_those_that_are_offered_last_have_a_part_of_the_bytes_and_the_first_of_them_may_be_longer(
    block: Clocked,
) -> None:
    assert LAST_BYTES_SHARE * 1_000 == 250
    limits = SelectionLimits(block.now + 40, max_bytes=1_000)

    def verdicts_of(*offers: Offer) -> list[object]:
        select_transactions(block, GAS_LIMIT, offers, limits)
        return [offer.verdict for offer in offers]

    lasts = [
        long(100, is_expected_slow=True),
        long(200, is_expected_slow=True),
        long(150, is_expected_slow=True),
        long(1, is_expected_slow=True),
    ]
    assert verdicts_of(long(500), *lasts) == ["included", "included", "skipped", "included", "skipped"]
    assert verdicts_of(long(400), long(600, is_expected_slow=True), long(1, is_expected_slow=True)) == [
        "included",
        "included",
        "skipped",
    ]


def test_longer_periods_have_more_bytes_until_the_message_is_full() -> None:
    assert [max_block_bytes(seconds) for seconds in (0.2, 1, 2, 5, 60)] == [
        2**20,
        2**20,
        2 * 2**20,
        5 * 2**20,
        8 * 2**20,
    ]


def test_a_transaction_that_fits_no_block_is_dropped(block: Clocked) -> None:
    assert verdicts(block, [long(MAX_BLOCK_BYTES + 1)]) == [RejectionReason.TX_TOO_LARGE]
    assert block.taken == []


def test_a_block_ends_when_its_gas_is_used_and_the_first_transaction_may_use_more(block: Clocked) -> None:
    def use_gas() -> None:
        block.gas_left -= 400_000

    block.on_add = use_gas
    offered = [Offer(transaction(0)) for _ in range(5)]
    for max_gas, expected in ((1, 1), (800_000, 2), (900_000, 3), (None, 5)):
        block.gas_left = GAS_LIMIT
        limits = SelectionLimits(block.now + 10, max_gas=max_gas)
        assert len(select_transactions(block, GAS_LIMIT, offered, limits)) == expected
