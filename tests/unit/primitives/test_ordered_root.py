"""The root of a block's transactions, reckoned once for the same transactions."""

import sys
from itertools import count
from types import FrameType
from typing import Any

from lacnode.primitives import ordered_root as module
from lacnode.primitives.ordered_root import MAX_ROOTS, ordered_root, transactions_root
from lacnode.primitives.transaction import Transaction
from tests.support.p2p_nodes import transaction


def test_the_root_of_the_same_transactions_is_reckoned_once_and_few_are_remembered() -> None:
    lists = [[transaction(number), transaction(100 + number)] for number in range(MAX_ROOTS + 2)]
    for each in lists:
        assert transactions_root(each) == transactions_root(tuple(each)) == ordered_root([one.raw for one in each])
    assert transactions_root(lists[0][::-1]) != transactions_root(lists[0])
    assert len(module._ROOTS) == MAX_ROOTS
    checks: list[int] = []
    transactions_root(lists[-1], lambda: checks.append(1))
    assert checks == []
    transactions_root(lists[1], lambda: checks.append(1))
    assert checks != []


def root_with_another_at(step: int, own: list[Transaction], other: Transaction) -> tuple[bytes, int]:
    """The root of `own`, and how many steps that took. Before one of them the root of `other` is computed, as another
    thread may do. A step is an opcode."""
    steps = count()

    def interrupt(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not transactions_root.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(steps) == step:
            transactions_root([other])
        return interrupt

    tracer = sys.gettrace()
    sys.settrace(interrupt)
    try:
        return transactions_root(own), next(steps)
    finally:
        sys.settrace(tracer)


def test_a_root_of_another_thread_may_come_between_any_two_steps() -> None:
    for number in range(MAX_ROOTS):
        transactions_root([transaction(number)])
    _, steps = root_with_another_at(-1, [transaction(1_000)], transaction(0))
    assert steps > 20
    for step in range(steps):
        own, other = [transaction(2_000 + step)], transaction(3_000 + step)
        root, _ = root_with_another_at(step, own, other)
        assert root == ordered_root([own[0].raw])
        assert len(module._ROOTS) <= MAX_ROOTS
