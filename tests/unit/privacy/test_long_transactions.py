"""Private transactions that take long: other groups and blocks go on, their own group waits, and all members end alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import BudgetExceededError, ExecutionBudget, ExecutionCancelledError
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.state.time_slices import (
    MAX_CARRIED_OUT,
    MIN_SLICE_SECONDS,
    SETTLED_CHANGES,
    SHORT_SLICE_SECONDS,
    SLICE_SECONDS,
    GroupSlices,
    TimeSlices,
)
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    LOOP,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import RICH, signed
from tests.unit.privacy.test_execution import receipt_of

HONEST, HOSTILE = legacy_group_id(KEY_A, (KEY_B,)), legacy_group_id(KEY_C, (KEY_B,))
HEAVY = bytes.fromhex("611fff" + "5b" + "600190038060035700")
"""Ends after two hundred thousand gas: more than a slice has here, less than a block."""

HOARDING = bytes.fromhex("611fff" + "5b" + "80600055" + "600190038060035700")
"""Writes one slot eight thousand times. Each write can be undone."""


class _Looks:
    """A cancellation that ends the execution at a number of looks, whatever the machine does meanwhile."""

    def __init__(self, left: int) -> None:
        self._left = left

    @property
    def is_set(self) -> bool:
        self._left -= 1
        if self._left < 0:
            raise BudgetExceededError("a slice of the test")
        return False


def short_budget(looks: int = 10) -> ExecutionBudget:
    """A hundred thousand gas, for the most part."""
    budget = ExecutionBudget()
    budget._cancellations = (_Looks(looks),)  # type: ignore[assignment]
    return budget


class ShortSlices(TimeSlices):
    @contextmanager
    def slice(self, *_: float) -> Iterator[ExecutionBudget]:
        yield short_budget()


class LostSlices(TimeSlices):
    """As after transactions that did not end in theirs."""

    def recently_lost_seconds(self) -> float:
        return SLICE_SECONDS


@pytest.fixture
def stage() -> PrivateTestNetwork:
    """B has short slices; A and C take what they need."""
    stage = PrivateTestNetwork()
    stage.b.privacy_controller.execution.processor._slices = ShortSlices()
    return stage


def follow(member: Member) -> None:
    """Execute in line alone."""
    while member.privacy_controller.execution.processor.step() or member.privacy_controller.execution.repair.step():
        pass


def hostile(
    stage: PrivateTestNetwork, data: bytes, nonce: int = 0, to: bytes | None = None, key: NodeKey = BOB
) -> bytes:
    return stage.c.send(private(key, nonce, to=to, data=data, private_from=KEY_C, private_for=[KEY_B]))


def mine(stage: PrivateTestNetwork) -> None:
    stage.mine(work=False)
    stage.a.work()
    stage.c.work()
    follow(stage.b)


def late(stage: PrivateTestNetwork) -> dict[bytes, ReceivedPayload]:
    """Mine what was sent while B's manager has none of it; what it is to be given later."""
    payloads = dict(stage.b.manager.payloads)
    stage.b.manager.payloads.clear()
    mine(stage)
    return payloads


def arrive(stage: PrivateTestNetwork, payloads: dict[bytes, ReceivedPayload]) -> None:
    stage.b.manager.payloads.update(payloads)
    for key in payloads:
        assert stage.b.privacy_controller.execution.repair.make_due(key)


def condition(member: Member, group: bytes) -> tuple[GroupCondition, bool]:
    (status,) = [status for status in member.privacy_controller.statuses.all() if status.group_id == group]
    return status.condition, status.is_executing


def is_pending(member: Member, marker: bytes) -> bool:
    found = member.privacy_controller.find_transaction(marker)
    assert found is not None
    return member.privacy_controller.receipts.find_receipt(found) is None


class TestEndless:
    @pytest.fixture(autouse=True)
    def bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that the endless one ends soon."""
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_WORK_GAS", 300_000)

    def test_other_groups_and_blocks_go_on(self, stage: PrivateTestNetwork) -> None:
        endless = hostile(stage, LOOP)
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        mine(stage)
        later = stage.a.send(private(ALICE, 1, to=private_contract_address(ALICE.address, 0, HONEST), data=word(5)))
        mine(stage)
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 2
        assert stage.b.root(HONEST) == stage.a.root(HONEST) != EMPTY_TRIE_ROOT
        assert receipt_of(stage.b, later) == receipt_of(stage.a, later)
        assert condition(stage.b, HONEST) == (GroupCondition.CURRENT, False)
        assert condition(stage.b, HOSTILE) == (GroupCondition.WAITING, True)
        assert is_pending(stage.b, endless)

    def test_it_fails_at_every_member_in_the_end(self, stage: PrivateTestNetwork) -> None:
        endless = hostile(stage, LOOP)
        mine(stage)
        assert receipt_of(stage.b, endless) is None
        stage.b.work()
        assert receipt_of(stage.b, endless) == receipt_of(stage.c, endless) == PrivateReceipt(PrivateStatus.FAILED)
        assert condition(stage.b, HOSTILE) == (GroupCondition.CURRENT, False)

    def test_what_is_not_finished_in_its_time_is_tried_again_with_more(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 0.001)
        endless = hostile(stage, LOOP)
        mine(stage)
        assert stage.b.privacy_controller.execution.long_execution.step()
        with stage.b.node.chain._database.read() as snapshot:
            (long,) = LongTransactionReader(snapshot).transactions_of_group(HOSTILE)
        assert long.tries == 1
        stage.b.work()
        assert receipt_of(stage.b, endless) == PrivateReceipt(PrivateStatus.FAILED)

    def test_stopping_loses_nothing(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        endless = hostile(stage, LOOP)
        mine(stage)
        privacy_controller = stage.b.privacy_controller
        with monkeypatch.context() as patched:
            patched.setattr("lacnode.evm.budget.ExecutionBudget.check", _cancelled)
            with pytest.raises(ExecutionCancelledError):
                privacy_controller.execution.long_execution.step()
        assert receipt_of(stage.b, endless) is None
        again = stage.b.reopen()
        assert again.execution.processor.progress.last_executed_block == 1
        while again.execution.long_execution.step():
            pass
        assert receipt_of(stage.b, endless) == PrivateReceipt(PrivateStatus.FAILED)


def _cancelled(budget: ExecutionBudget) -> None:
    raise ExecutionCancelledError("stop")


class TestHeavy:
    def test_later_ones_of_its_group_wait_and_follow_in_order(self, stage: PrivateTestNetwork) -> None:
        keeper = private_contract_address(BOB.address, 1, HOSTILE)
        heavy = hostile(stage, HEAVY)
        mine(stage)
        followers = [hostile(stage, deploying(KEEPER), 1)]
        mine(stage)
        followers.append(hostile(stage, word(7), 2, keeper))
        mine(stage)
        assert all(is_pending(stage.b, marker) for marker in (heavy, *followers))
        assert stage.b.root(HOSTILE) == EMPTY_TRIE_ROOT
        stage.b.work()
        assert receipt_of(stage.b, heavy) == PrivateReceipt(PrivateStatus.SUCCESSFUL)
        for marker in followers:
            assert receipt_of(stage.b, marker) == receipt_of(stage.c, marker) != None  # noqa: E711
        assert [stage.b.root(HOSTILE, number) for number in range(4)] == [
            stage.c.root(HOSTILE, number) for number in range(4)
        ]

    def test_a_late_payload_before_it_comes_before_it(self, stage: PrivateTestNetwork) -> None:
        keeper = private_contract_address(BOB.address, 0, HOSTILE)
        first = hostile(stage, deploying(KEEPER))
        lost = stage.b.manager.payloads.popitem()
        mine(stage)
        hostile(stage, HEAVY, key=ALICE)
        mine(stage)
        stage.b.manager.payloads[lost[0]] = lost[1]
        assert stage.b.privacy_controller.execution.repair.make_due(lost[0])
        follow(stage.b)
        assert is_pending(stage.b, first), "its group waits for the heavy one, which only one thread executes"
        hostile(stage, word(3), 1, keeper)
        mine(stage)
        stage.b.work()
        assert stage.b.root(HOSTILE) == stage.c.root(HOSTILE) != EMPTY_TRIE_ROOT
        assert receipt_of(stage.b, first) == receipt_of(stage.c, first)

    def test_a_late_payload_that_takes_long_is_left_to_the_other_thread(self, stage: PrivateTestNetwork) -> None:
        heavy = hostile(stage, HEAVY)
        lost = stage.b.manager.payloads.popitem()
        mine(stage)
        stage.b.manager.payloads[lost[0]] = lost[1]
        assert stage.b.privacy_controller.execution.repair.make_due(lost[0])
        follow(stage.b)
        assert is_pending(stage.b, heavy)
        assert condition(stage.b, HOSTILE) == (GroupCondition.WAITING, True)
        stage.b.work()
        assert receipt_of(stage.b, heavy) == PrivateReceipt(PrivateStatus.SUCCESSFUL)

    def test_late_payloads_of_new_groups_are_executed_apart_while_time_is_lost(self, stage: PrivateTestNetwork) -> None:
        """Anybody may send a hundred markers first, and all their endless payloads later."""
        stage.b.privacy_controller.execution.processor._slices = LostSlices()
        sent = hostile(stage, deploying(KEEPER))
        arrive(stage, late(stage))
        follow(stage.b)
        assert is_pending(stage.b, sent)
        stage.b.work()
        assert stage.b.root(HOSTILE) == stage.c.root(HOSTILE) != EMPTY_TRIE_ROOT

    def test_new_blocks_go_before_late_payloads(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.payload_repair.REPAIR_STEP_SECONDS", -1.0)
        sent = [hostile(stage, deploying(KEEPER), nonce) for nonce in range(2)]
        payloads = late(stage)
        arrive(stage, payloads)
        assert stage.b.privacy_controller.execution.repair.step(), "there may be more"
        assert sorted(is_pending(stage.b, marker) for marker in sent) == [False, True]
        follow(stage.b)
        assert stage.b.root(HOSTILE) == stage.c.root(HOSTILE)

    def test_public_transactions_before_the_marker_are_bounded_too(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TimeSlices, "public_budget", lambda _: short_budget())
        stage.a.node.send(signed(RICH, 0, to=None, data=HEAVY, gas=5_000_000))
        marker = stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine(work=False)
        index = stage.a.node.chain.transaction_location(marker)
        assert index is not None
        assert index.index == 1
        follow(stage.b)
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 1
        assert is_pending(stage.b, marker)
        stage.b.work()
        stage.a.work()
        assert receipt_of(stage.b, marker) == receipt_of(stage.a, marker)

    def test_a_lost_payload_lets_its_group_go_on(self, stage: PrivateTestNetwork) -> None:
        """It is asked for like any other that is not there."""
        heavy = hostile(stage, HEAVY)
        mine(stage)
        lost = stage.b.manager.payloads.popitem()
        stage.b.work()
        assert condition_or_none(stage.b, HOSTILE) is None
        stage.b.manager.payloads[lost[0]] = lost[1]
        stage.b.privacy_controller.execution.repair.make_all_due()
        stage.b.work()
        assert receipt_of(stage.b, heavy) == PrivateReceipt(PrivateStatus.SUCCESSFUL)


def test_one_that_holds_too_much_memory_fails_at_every_member_also_after_a_slice(
    stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_PRIVATE_MEMORY_BYTES", 2**18)
    hoarding = hostile(stage, HOARDING)
    mine(stage)
    assert is_pending(stage.b, hoarding)
    stage.b.work()
    assert receipt_of(stage.b, hoarding) == receipt_of(stage.c, hoarding) == PrivateReceipt(PrivateStatus.FAILED)
    assert condition(stage.b, HOSTILE) == (GroupCondition.CURRENT, False)


def condition_or_none(member: Member, group: bytes) -> GroupCondition | None:
    return next(
        (status.condition for status in member.privacy_controller.statuses.all() if status.group_id == group), None
    )


@dataclass
class _Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _lost(seconds: float) -> TimeSlices:
    """Slices after so much lost time."""
    clock = _Clock()
    slices = TimeSlices(clock)
    lose(slices, clock, seconds)
    return slices


def lose(slices: TimeSlices, clock: _Clock, seconds: float) -> None:
    """Have an execution take its slice in vain."""

    def executed() -> None:
        clock.now += seconds
        raise BudgetExceededError

    with pytest.raises(BudgetExceededError), slices.slice():
        executed()


def lose_slice(slices: GroupSlices, clock: _Clock, sender: bytes, group: bytes = HOSTILE) -> float:
    """Have a transaction of a sender take its whole slice in vain. The seconds of the slice."""
    before = clock.now

    def executed(budget: ExecutionBudget) -> None:
        clock.now = budget.deadline_seconds
        raise BudgetExceededError

    with pytest.raises(BudgetExceededError), slices.slice(group, sender) as budget:
        executed(budget)
    return clock.now - before


def test_lost_time_shortens_the_next_slices_and_is_forgiven() -> None:
    clock = _Clock()
    slices = TimeSlices(clock)

    def next_slice() -> float:
        with slices.slice() as budget:
            return budget.deadline_seconds - clock.now

    assert next_slice() == SLICE_SECONDS
    lose(slices, clock, SLICE_SECONDS)
    assert next_slice() == MIN_SLICE_SECONDS
    clock.now += 3600
    assert next_slice() == SLICE_SECONDS


@dataclass
class Prior:
    """What was executed before: the blocks that changed each group, those that wait, and the senders that are known."""

    changes: dict[bytes, int]
    waiting: set[bytes] = field(default_factory=set)
    known: set[bytes] = field(default_factory=set)
    own: set[bytes] = field(default_factory=set)

    def is_waiting(self, group_id: bytes) -> bool:
        return group_id in self.waiting

    def count_changes(self, group_id: bytes, at_most: int) -> int:
        return min(at_most, self.changes.get(group_id, 0))

    def is_own_or_punctual_sender(self, private_from: bytes) -> bool:
        return private_from in self.known | self.own

    def is_own_key(self, private_from: bytes) -> bool:
        return private_from in self.own


class TestWhoHasASlice:
    def test_a_group_that_waits_has_none(self) -> None:
        slices = GroupSlices(TimeSlices(), Prior({}, waiting={HOSTILE}), is_behind=False)
        assert not slices.admits(HOSTILE, KEY_C)
        assert slices.admits(HONEST, KEY_A)
        slices.hold_group(HONEST)
        assert not slices.admits(HONEST, KEY_A)

    def test_after_a_lost_slice_in_the_block_a_new_group_has_none(self) -> None:
        """However many groups strangers make, one block loses one slice to them."""
        prior = Prior({HONEST: SETTLED_CHANGES, HOSTILE: SETTLED_CHANGES - 1}, known={KEY_A, KEY_C})
        slices, other = GroupSlices(TimeSlices(), prior, is_behind=False), bytes(32)
        assert slices.admits(HOSTILE, KEY_C)
        with pytest.raises(BudgetExceededError), slices.slice(other, KEY_C):
            raise BudgetExceededError
        assert not slices.admits(HOSTILE, KEY_C)
        assert slices.admits(HONEST, KEY_A)

    def test_the_more_time_is_lost_the_more_a_group_must_have_carried_out(self) -> None:
        prior = Prior({HONEST: 5, HOSTILE: 1})
        for lost, admitted in ((0.0, [True, True]), (0.5, [True, True]), (1.0, [True, False]), (3.0, [False, False])):
            slices = GroupSlices(_lost(lost), prior, is_behind=False)
            assert [slices.admits(group, KEY_C) for group in (HONEST, HOSTILE)] == admitted
        assert not GroupSlices(_lost(SHORT_SLICE_SECONDS), Prior({}), is_behind=False).admits(HONEST, KEY_A)

    def test_a_known_sender_has_one_in_a_new_group(self) -> None:
        slices = GroupSlices(_lost(0.9), Prior({}, known={KEY_A}), is_behind=False)
        assert slices.admits(HONEST, KEY_A)
        assert not slices.admits(HONEST, KEY_C)

    def test_senders_that_became_known_for_it_have_no_more_than_a_second_in_new_groups(self) -> None:
        """Each sent one cheap transaction before its endless ones. An own key goes on."""
        clock, prior = _Clock(), Prior({HONEST: MAX_CARRIED_OUT}, own={KEY_A})
        time_slices, lost = TimeSlices(clock), 0.0
        for number in range(100):
            slices = GroupSlices(time_slices, prior, is_behind=False)  # of a block of its own
            sender, group = bytes([1, number]) * 16, bytes([2, number]) * 16
            prior.known.add(sender)
            if slices.admits(group, sender):
                lost += lose_slice(slices, clock, sender, group)
        assert lost <= SLICE_SECONDS
        assert slices.admits(HONEST, KEY_C), "a group with a history"
        assert slices.admits(HOSTILE, KEY_A), "an own key"

    def test_of_a_stranger_is_short(self) -> None:
        clock = _Clock()
        prior = Prior({HONEST: SETTLED_CHANGES, HOSTILE: SETTLED_CHANGES - 1}, known={KEY_A, KEY_C})
        slices = GroupSlices(TimeSlices(clock), prior, is_behind=False)
        for sender, group, seconds in (
            (KEY_B, HONEST, SHORT_SLICE_SECONDS),
            (KEY_C, HOSTILE, SHORT_SLICE_SECONDS),
            (KEY_A, HONEST, SLICE_SECONDS),
        ):
            assert lose_slice(slices, clock, sender, group) == seconds
            clock.now += 3600

    def test_what_changes_nothing_counts_to_its_group(self) -> None:
        """Each of them ends in its slice, and all together would stop the others."""
        clock, prior = _Clock(), Prior({HONEST: 6, HOSTILE: 1}, known={KEY_A, KEY_C})
        time_slices = TimeSlices(clock)
        slices = GroupSlices(time_slices, prior, is_behind=True)
        for _ in range(30):
            slices.count_use(HONEST, 0.05, has_changed=True)
            slices.count_use(HOSTILE, 0.09, has_changed=False)
        assert slices.admits(HONEST, KEY_A)
        assert not slices.admits(HOSTILE, KEY_C)
        assert not GroupSlices(time_slices, prior, is_behind=False).admits(HOSTILE, KEY_C), (
            "others are in the same block"
        )
        clock.now += 60
        assert slices.admits(HOSTILE, KEY_C)

    def test_what_takes_long_and_changes_the_state_counts_while_blocks_wait(self) -> None:
        time_slices = TimeSlices(_Clock())
        prior = Prior({HONEST: 1}, known={KEY_A})
        GroupSlices(time_slices, prior, is_behind=False).count_use(HONEST, 5.0, has_changed=True)
        assert not GroupSlices(time_slices, prior, is_behind=True).admits(HONEST, KEY_A)
        assert GroupSlices(time_slices, prior, is_behind=False).admits(HONEST, KEY_A), "nothing waits for it"

    def test_what_strangers_have_executed_in_vain_keeps_no_group_with_a_history_waiting(self) -> None:
        """Markers of payloads that fail each time, in many groups."""
        slices = GroupSlices(TimeSlices(_Clock()), Prior({HONEST: 4}), is_behind=False)
        taken = 0
        for number in range(100):
            if slices.admits(bytes([number]) * 32, KEY_C):
                slices.count_use(bytes([number]) * 32, 0.2, has_changed=False)
                taken += 1
        assert taken <= SHORT_SLICE_SECONDS / 0.2 + 1
        assert slices.admits(HONEST, KEY_A)

    def test_many_groups_share_what_one_may_take(self) -> None:
        clock, prior = _Clock(), Prior({})
        slices = GroupSlices(TimeSlices(clock), prior, is_behind=True)
        groups = [number.to_bytes(32) for number in range(100)]
        prior.changes = dict.fromkeys(groups, 1)
        for _ in range(30):
            for group in groups:
                if slices.admits(group, KEY_C):
                    slices.count_use(group, 1.0, has_changed=False)
        assert slices.slices.use.total() < 3 * SLICE_SECONDS
