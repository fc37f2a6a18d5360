"""Contracts of flexible groups that never answer: what they cost the comparison of state roots, and the thread apart."""

import math
import time
from collections.abc import Callable

import pytest

from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import CallLimitExceededError
from lacnode.privacy.state.flexible.group_search import LEAST_ANSWER_SECONDS
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.long_execution import FIRST_TRY_SHARE, LATER_TRY_SHARE
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction, LongTransactionWriter
from lacnode.privacy.state.private_store import MarkerPlace
from tests.support.flexible_groups import GROUP, OTHER, Groups
from tests.support.private_nodes import KEY_A, KEY_B


@pytest.fixture
def groups() -> Groups:
    groups = Groups()
    groups.make(KEY_A, KEY_B)
    return groups


@pytest.fixture
def asked(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each question to a contract might have taken. None is answered."""
    seconds: list[float] = []

    def silent(group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf) -> None:
        seconds.append(deadline_seconds - time.monotonic())
        raise CallLimitExceededError("it loops")

    monkeypatch.setattr(groups.b.privacy_controller.groups, "members_at", silent)
    return seconds


def membership_of(groups: Groups) -> Callable[[float], object]:
    """The members as of the head, for a caller that waits until a time."""
    found = GroupMembership(groups.b.privacy_controller._context, groups.b.privacy_controller.groups)
    head = groups.b.node.chain.head.header.number
    return lambda deadline_seconds: found.members_at(GROUP, head, deadline_seconds)


def test_a_contract_is_not_asked_again_at_the_same_state(groups: Groups, asked: list[float]) -> None:
    members = membership_of(groups)
    assert members(math.inf) is None
    assert members(math.inf) is None
    assert len(asked) == 1


def test_a_caller_with_little_time_does_not_make_it_silent(groups: Groups, asked: list[float]) -> None:
    """A member asks about many groups at a time, and the questions share one deadline."""
    members = membership_of(groups)
    for _ in range(2):
        assert members(time.monotonic()) is None
    assert len(asked) == 2


def test_lost_time_leaves_the_next_ones_less(groups: Groups, asked: list[float]) -> None:
    found = GroupMembership(groups.b.privacy_controller._context, groups.b.privacy_controller.groups)
    found._silent.record_silence(OTHER, bytes(32), 100.0)
    assert found.members_at(GROUP, groups.b.node.chain.head.header.number, math.inf) is None
    assert asked[0] <= LEAST_ANSWER_SECONDS


@pytest.mark.parametrize(
    ("is_preferred", "tries", "share"),
    [(True, 0, FIRST_TRY_SHARE), (True, 1, LATER_TRY_SHARE), (False, 0, LATER_TRY_SHARE)],
)
def test_the_thread_apart_works_less_for_what_may_never_end(
    groups: Groups, monkeypatch: pytest.MonkeyPatch, is_preferred: bool, tries: int, share: float
) -> None:
    shares: list[float] = []

    def budget(deadline_seconds: float, share: float) -> ExecutionBudget:
        shares.append(share)
        return ExecutionBudget(deadline_seconds, share)

    monkeypatch.setattr("lacnode.privacy.state.long_execution.ExecutionBudget", budget)
    block = groups.b.node.chain.block_at(1)
    assert block is not None
    with groups.b.node.chain._database.write() as batch:
        place, marker = MarkerPlace(1, 0), block.transactions[0].hash
        LongTransactionWriter(batch).add(LongPrivateTransaction(GROUP, place, marker, tries, is_preferred))
    assert groups.b.privacy_controller.execution.long_execution.step()
    assert shares == [share]
