"""The root of a block's transactions, reckoned once for the same transactions."""

from lacnode.primitives import ordered_root as module
from lacnode.primitives.ordered_root import MAX_ROOTS, ordered_root, transactions_root
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
