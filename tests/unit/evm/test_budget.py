"""Budgets of executions: deadlines, cancellation, and what belongs together."""

import math
import threading
import time

import pytest

from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget, ExecutionCancelledError, SizeLimits


def past() -> float:
    return time.monotonic() - 1


def test_a_budget_without_a_deadline_lets_an_execution_go_on() -> None:
    ExecutionBudget().check()
    UNLIMITED.check()


def test_a_deadline_that_has_passed_is_exceeded() -> None:
    with pytest.raises(BudgetExceededError):
        ExecutionBudget(past()).check()


def test_cancellation_reaches_an_execution_in_another_thread() -> None:
    budget = ExecutionBudget()
    ended: list[BaseException] = []

    def execute() -> None:
        try:
            while True:
                budget.check()
        except ExecutionCancelledError as error:
            ended.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    budget.cancel()
    thread.join(10)
    assert len(ended) == 1


def test_of_two_deadlines_the_earlier_one_counts() -> None:
    late = time.monotonic() + 3600
    with pytest.raises(BudgetExceededError):
        ExecutionBudget(past()).with_deadline(late).check()
    with pytest.raises(BudgetExceededError):
        ExecutionBudget(late).with_deadline(past()).check()
    with pytest.raises(BudgetExceededError):
        UNLIMITED.with_deadline(past()).check()
    assert ExecutionBudget(late).joined_with(ExecutionBudget(late + 1)).deadline_seconds == late


def test_a_budget_with_another_deadline_shares_the_cancellation() -> None:
    budget = ExecutionBudget()
    derived = budget.with_deadline(math.inf)
    budget.cancel()
    assert derived.is_cancelled
    with pytest.raises(ExecutionCancelledError):
        derived.check()


def test_a_joined_budget_is_cancelled_by_either() -> None:
    for which in (0, 1):
        pair = (ExecutionBudget(), ExecutionBudget())
        joined = pair[0].joined_with(pair[1])
        pair[which].cancel()
        assert joined.is_cancelled
        assert not pair[1 - which].is_cancelled


def test_the_unlimited_budget_cannot_be_cancelled_but_what_is_made_of_it_can() -> None:
    with pytest.raises(ValueError, match="unlimited"):
        UNLIMITED.cancel()
    derived = UNLIMITED.with_deadline(math.inf)
    derived.cancel()
    assert derived.is_cancelled
    UNLIMITED.joined_with(ExecutionBudget()).cancel()
    UNLIMITED.check()


def test_sizes_belong_to_every_budget_that_is_made_of_one() -> None:
    sizes = SizeLimits(memory_bytes=1, log_bytes=2)
    first = ExecutionBudget(share=0.5)
    bounded = first.with_sizes(sizes)
    made = (bounded.with_deadline(0), bounded.joined_with(UNLIMITED), UNLIMITED.joined_with(bounded))
    assert [each.sizes for each in (bounded, *made)] == [sizes] * 4
    assert [each.share for each in (bounded, *made)] == [0.5] * 4
    assert (first.sizes, UNLIMITED.sizes) == (None, None)
    first.cancel()
    assert all(each.is_cancelled for each in (bounded, *made))
