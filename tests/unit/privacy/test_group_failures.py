"""An error that the code does not expect, in the work for one group: the other groups do not notice it."""

from collections.abc import Callable

import pytest

from lacnode.evm.budget import UNLIMITED, ExecutionBudget, ExecutionCancelledError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.flexible.group_contracts import decode_members
from lacnode.privacy.state.group_failures import MAX_LOGGED_FAILURES, GroupFailures
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.group_statuses import GroupCondition, GroupStatuses
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction, LongTransactionWriter
from lacnode.privacy.state.payload_reader import PayloadReader
from lacnode.privacy.state.private_store import MarkerPlace
from lacnode.privacy.state.private_transaction import legacy_group_id
from lacnode.privacy.state.public_block import PublicBlockExecution
from lacnode.storage.storage_errors import DamagedValueError, StorageFullError
from tests.support.flexible_groups import GROUP, OTHER, Groups, b64, found
from tests.support.logs import captured_logs
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEY_A,
    KEY_B,
    KEY_C,
    PrivateTestNetwork,
    deploying,
    private,
)
from tests.support.root_comparison import Comparison

BAD, GOOD = legacy_group_id(KEY_A, (KEY_B,)), legacy_group_id(KEY_A, (KEY_B, KEY_C))


class StrangeError(Exception):
    """What no code expects."""


def failing_for(function: Callable[..., object], group: bytes) -> Callable[..., object]:
    """`function`, which fails if `group` is one of its arguments."""

    def called(*arguments: object, **options: object) -> object:
        if group in arguments or group in options.values():
            raise StrangeError("only this group")
        return function(*arguments, **options)

    return called


@pytest.fixture
def network() -> PrivateTestNetwork:
    """A has sent something to two groups, and both have a state at B."""
    network = PrivateTestNetwork()
    for others in ((KEY_B,), (KEY_B, KEY_C)):
        network.a.send(private(ALICE, data=deploying(b"\0"), private_for=others))
    network.mine()
    return network


def count(network: PrivateTestNetwork) -> int:
    return network.b.privacy_controller.statuses.health().failures


class TestFailures:
    def test_is_logged_once_and_counted_each_time(self) -> None:
        failures = GroupFailures()
        with captured_logs() as logs:
            for _ in range(3):
                failures.record_or_reraise(BAD, "work", StrangeError())
        assert [entry["group"] for entry in logs] == [b64(BAD)]
        assert failures.count == 3

    def test_any_number_of_groups_has_few_lines(self) -> None:
        failures = GroupFailures()
        with captured_logs() as logs:
            for number in range(2 * MAX_LOGGED_FAILURES):
                failures.record_or_reraise(number.to_bytes(32), "work", StrangeError())
        assert len(logs) == 1

    @pytest.mark.parametrize(
        "error", [ExecutionCancelledError(), StorageFullError("full"), DamagedValueError("state", b"key")], ids=repr
    )
    def test_an_error_of_the_node_is_raised(self, error: Exception) -> None:
        failures = GroupFailures()
        with pytest.raises(type(error)):
            failures.record_or_reraise(BAD, "work", error)
        assert not failures.count

    def test_a_damaged_value_of_a_private_table_is_its_groups(self) -> None:
        failures = GroupFailures()
        failures.record_or_reraise(BAD, "work", DamagedValueError("private_state", b"key"))
        assert failures.count == 1


class TestSearches:
    def test_a_broken_contract_hides_its_group_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        groups = Groups()
        groups.make(KEY_A, KEY_B)
        groups.make(KEY_A, KEY_B, group=OTHER)
        search = groups.b.privacy_controller.groups._search  # type: ignore[attr-defined]
        monkeypatch.setattr(search, "_find", failing_for(search._find, GROUP))
        assert [group["privacyGroupId"] for group in found(groups.b, KEY_A)] == [b64(OTHER)]
        assert [group["privacyGroupId"] for group in found(groups.b, KEY_A)] == [b64(OTHER)]
        assert groups.b.privacy_controller.statuses.health().failures == 1, "the contract is not asked again at once"

    def test_a_contract_that_breaks_the_refusal_stops_its_group_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        groups = Groups()
        groups.make(KEY_A, KEY_B)
        groups.make(KEY_A, KEY_B, group=OTHER)
        broken = [True]

        def strange(encoded: bytes) -> object:
            if broken and broken.pop():
                raise StrangeError("what the decoder does not expect")
            return decode_members(encoded)

        before = groups.b.root(GROUP), groups.b.root(OTHER)
        for group in (GROUP, OTHER):
            groups.send(deploying(b"\0"), to=None, by=BOB, group=group, nonce=0)
        groups.mine(work=False)
        monkeypatch.setattr("lacnode.privacy.state.flexible.group_contract_queries.decode_members", strange)
        groups.b.work()
        changed = [groups.b.root(GROUP) != before[0], groups.b.root(OTHER) != before[1]]
        assert sorted(changed) == [False, True]
        assert groups.b.privacy_controller.execution.processor.progress.last_executed_block == 3


class TestStatuses:
    def test_a_group_without_a_readable_status_is_left_out(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(GroupStatuses, "_status", failing_for(GroupStatuses._status, BAD))
        assert [status.group_id for status in network.b.privacy_controller.statuses.all()] == [GOOD]
        assert sum(network.b.privacy_controller.statuses.health().groups.values()) == 1
        assert count(network) == 3


class TestComparison:
    def test_the_other_groups_are_compared_and_answered(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        comparison = Comparison(network)
        monkeypatch.setattr(GroupMembership, "members_at", failing_for(GroupMembership.members_at, BAD))
        comparison.step(KEY_B)
        assert {question.group_id for _, _, question in comparison.asked} == {GOOD}
        # The broken one is put off: it does not come first again at once.
        failures = count(network)
        comparison.step(KEY_B, after=1.0)
        assert count(network) == failures > 0


def assert_bad_group_waits_for_mend(network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group BAD has not changed since block 1, and does once the fault of `monkeypatch` is undone."""
    assert network.b.root(BAD) == network.b.root(BAD, 1)
    monkeypatch.undo()
    network.clock.now += 60
    network.b.work()
    assert network.b.root(BAD) != network.b.root(BAD, 1)


class TestExecution:
    """One damaged group, or one payload that the code cannot handle."""

    def test_a_late_payload_that_cannot_be_handled_does_not_stop_the_next_one(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = network.b.root(GOOD)
        for others in ((KEY_B,), (KEY_B, KEY_C)):
            network.a.send(private(BOB, data=deploying(b"\0"), private_for=others))
        payloads = network.b.manager.payloads
        held = {key: payloads.pop(key) for key in set(payloads) - set(network.b.manager.asked)}
        network.mine()
        payloads |= held
        monkeypatch.setattr(GroupRebuilder, "rebuild", failing_for(GroupRebuilder.rebuild, BAD))
        network.clock.now += 60
        network.b.work()
        assert network.b.root(GOOD) != before
        assert count(network) == 1

    def test_a_payload_that_cannot_be_read_waits_and_its_block_goes_on(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = network.b.root(GOOD)
        bad = network.a.send(private(BOB, data=deploying(b"\0"), private_for=(KEY_B,)))
        network.a.send(private(BOB, data=deploying(b"\0"), private_for=(KEY_B, KEY_C)))
        read = PayloadReader.read_task

        def strange(self: PayloadReader, marker: Transaction, index: int, *, admitted: bool = False) -> object:
            if marker.hash == bad:
                raise StrangeError("this payload")
            return read(self, marker, index, admitted=admitted)

        monkeypatch.setattr(PayloadReader, "read_task", strange)
        network.mine()
        assert network.b.root(GOOD) != before
        assert_bad_group_waits_for_mend(network, monkeypatch)

    def test_a_public_transaction_that_cannot_be_executed_again_does_not_stop_the_next_block(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = network.b.root(GOOD)
        for others in ((KEY_B,), (KEY_B, KEY_C)):
            network.a.send(private(BOB, data=deploying(b"\0"), private_for=others))
            network.mine(work=False)
        execute_up_to = PublicBlockExecution.execute_up_to

        def strange(self: PublicBlockExecution, index: int, budget: ExecutionBudget = UNLIMITED) -> None:
            if self.block.number == 2:
                raise TransactionRejectedError(RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE, "only here")
            execute_up_to(self, index, budget)

        monkeypatch.setattr(PublicBlockExecution, "execute_up_to", strange)
        network.b.work()
        assert network.b.root(GOOD) != before
        assert_bad_group_waits_for_mend(network, monkeypatch)

    def test_a_public_state_that_is_not_there_costs_no_group_a_transaction(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The block is executed again once the state is there, as on a node that repairs its database."""
        network.a.send(private(BOB, data=deploying(b"\0"), private_for=(KEY_B,)))
        network.mine(work=False)

        def missing(self: PublicBlockExecution, index: int, budget: ExecutionBudget = UNLIMITED) -> None:
            raise MissingNodeError("0x00")

        monkeypatch.setattr(PublicBlockExecution, "execute_up_to", missing)
        with pytest.raises(MissingNodeError):
            network.b.work()
        monkeypatch.undo()
        network.b.work()
        assert network.b.root(BAD) != network.b.root(BAD, 1)

    def test_a_long_transaction_that_cannot_be_handled_does_not_stop_the_next_one(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[bytes] = []

        def rebuild(self: GroupRebuilder, group_id: bytes, *_: object) -> None:
            tried.append(group_id)
            raise StrangeError("this group")

        with network.b.node.chain._database.write() as batch:
            for index, group in enumerate((BAD, GOOD)):
                marker = network.b.node.chain.block_at(1).transactions[index]  # type: ignore[union-attr]
                long = LongPrivateTransaction(group, MarkerPlace(1, index), marker.hash, is_preferred=True)
                LongTransactionWriter(batch).add(long)
        monkeypatch.setattr(GroupRebuilder, "rebuild", rebuild)
        while network.b.privacy_controller.execution.long_execution.step():
            pass
        assert sorted(tried) == sorted([BAD, GOOD])

    def test_a_group_that_fails_lets_no_other_group_wait(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A payload that the manager fails to give may be any group's. This one is known to be of one group."""
        with network.b.node.chain._database.write() as batch:
            block = network.b.node.chain.block_at(1)
            assert block is not None
            long = LongPrivateTransaction(BAD, MarkerPlace(1, 0), block.transactions[0].hash)
            LongTransactionWriter(batch).add(long)
        monkeypatch.setattr(GroupRebuilder, "rebuild", failing_for(GroupRebuilder.rebuild, BAD))
        assert network.b.privacy_controller.execution.long_execution.step()
        (good,) = [status for status in network.b.privacy_controller.statuses.all() if status.group_id == GOOD]
        assert good.condition is GroupCondition.CURRENT
