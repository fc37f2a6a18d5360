"""Many payloads of one group that come late: the group is executed again a few times, not once for each of them."""

from collections.abc import Callable
from itertools import count

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.privacy.state.execution import PrivateBlockExecutor
from lacnode.privacy.state.group_use import GroupUse
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.payload_repair import REBUILDS_HALF_LIFE_SECONDS
from lacnode.privacy.state.private_store import PrivateStoreWriter
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.flexible_groups import NoSlices
from tests.support.private_nodes import (
    ALICE,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.unit.privacy.test_long_transactions import short_budget

GROUP, OTHER = legacy_group_id(KEY_A, (KEY_B,)), legacy_group_id(KEY_C, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)
LATE = 8
ACCOUNTS = (NodeKey.from_private_key(keccak256(b"sender %d" % number)) for number in count())

Payloads = list[tuple[bytes, ReceivedPayload]]


@pytest.fixture
def network() -> PrivateTestNetwork:
    network = PrivateTestNetwork()
    network.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    network.mine()
    return network


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The markers at which a transaction was read and executed, by their index in the block."""
    execute, seen = PrivateBlockExecutor.execute_task, list[int]()

    def counted(self: PrivateBlockExecutor, *arguments: object) -> None:
        seen.append(0)
        execute(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PrivateBlockExecutor, "execute_task", counted)
    return seen


def store(network: PrivateTestNetwork, value: int) -> None:
    """Each value comes from an account of its own, so every one of them succeeds."""
    network.a.send(private(next(ACCOUNTS), 0, to=KEEPER_ADDRESS, data=word(value)))


def withhold(network: PrivateTestNetwork, number: int = LATE) -> Payloads:
    """Blocks with one private transaction each, whose payloads B does not have yet. The payloads in the chain's order."""
    held: Payloads = []
    payloads = network.b.manager.payloads
    for value in range(number):
        before = set(payloads)
        store(network, value)
        held += [(key, payloads.pop(key)) for key in set(payloads) - before]
        network.mine()
    return held


def arrive(network: PrivateTestNetwork, payloads: Payloads) -> None:
    network.b.manager.payloads.update(payloads)
    for key, _ in payloads:
        assert network.b.privacy_controller.execution.repair.make_due(key)


def check_equal(network: PrivateTestNetwork) -> None:
    head = network.a.node.chain.head.header.number
    assert [network.a.root(GROUP, number) for number in range(head + 1)] == [
        network.b.root(GROUP, number) for number in range(head + 1)
    ]


def rebuilding_always(network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let every rebuild count as one that took long. The returned function lets seconds pass."""
    now = [0.0]
    monkeypatch.setattr("lacnode.privacy.state.payload_repair.REBUILDS_SECONDS", 1e-9)
    repair = network.b.privacy_controller.execution.repair
    monkeypatch.setattr(repair, "_use", GroupUse(lambda: now[0], REBUILDS_HALF_LIFE_SECONDS))

    def wait(seconds: float) -> None:
        now[0] += seconds
        network.clock.now += seconds

    return wait


def test_all_that_have_come_are_executed_in_one_rebuild(network: PrivateTestNetwork, executed: list[int]) -> None:
    late = withhold(network)
    store(network, 100)
    network.mine()
    executed.clear()
    arrive(network, late)
    network.b.work()
    assert len(executed) == LATE + 1
    check_equal(network)


def test_those_that_come_one_by_one_wait_for_one_another(
    network: PrivateTestNetwork, executed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one first: without the wait the group would be executed again for each."""
    late = withhold(network)
    wait = rebuilding_always(network, monkeypatch)
    executed.clear()
    for payload in reversed(late):
        arrive(network, [payload])
        network.b.work()
    assert len(executed) == 1
    wait(10_000)
    network.b.work()
    assert len(executed) == 1 + LATE
    check_equal(network)


def test_those_of_another_group_do_not_wait_with_them(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = rebuilding_always(network, monkeypatch)
    for payload in reversed(withhold(network, 2)):
        arrive(network, [payload])
        network.b.work()
    network.c.send(private(ALICE, 0, data=deploying(KEEPER), private_from=KEY_C, private_for=[KEY_B]))
    (key,) = set(network.b.manager.payloads) - set(network.b.manager.asked)
    late = [(key, network.b.manager.payloads.pop(key))]
    network.mine()
    arrive(network, late)
    network.b.work()
    assert network.b.root(OTHER) == network.c.root(OTHER) != EMPTY_TRIE_ROOT
    wait(10_000)
    network.b.work()
    check_equal(network)


def test_many_groups_with_late_payloads_are_rebuilt_apart(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    repair = network.b.privacy_controller.execution.repair
    late = withhold(network, 1)
    repair._use.add(OTHER, 100.0)
    arrive(network, late)
    while network.b.privacy_controller.execution.processor.step() or repair.step():
        pass
    assert tries_of(network) == [0]
    network.b.work()
    check_equal(network)


class TestApart:
    """Late payloads that take longer than a slice, with transactions of the group after them."""

    @pytest.fixture(autouse=True)
    def apart(self, network: PrivateTestNetwork) -> None:
        late = withhold(network)
        store(network, 100)
        network.mine()
        network.b.privacy_controller.execution.processor._slices = NoSlices()
        arrive(network, late)
        while network.b.privacy_controller.execution.repair.step():
            pass
        assert tries_of(network) == [0] * LATE

    def test_one_try_has_those_of_all_blocks(
        self, network: PrivateTestNetwork, executed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 100.0)
        network.b.work()
        assert len(executed) == LATE + 1
        check_equal(network)

    def test_a_try_that_is_too_short_for_all_makes_the_next_one_longer(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None of them takes most of the time. So all are tried again, and not one alone after the other."""
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 100.0)
        with monkeypatch.context() as patched:
            patched.setattr("lacnode.privacy.state.long_execution.ExecutionBudget", lambda *_: short_budget(12))
            assert network.b.privacy_controller.execution.long_execution.step()
        assert tries_of(network) == [1] + [0] * (LATE - 1)
        assert network.b.privacy_controller.execution.long_execution.step()
        assert tries_of(network) == []
        check_equal(network)


def test_a_crash_before_the_commit_leaves_the_old_state(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = withhold(network, 2)
    before = network.b.root(GROUP)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    arrive(network, late)
    with monkeypatch.context() as patched:
        patched.setattr(PrivateStoreWriter, "start_new_revision", kill)
        with pytest.raises(Killed):
            network.b.work()
    assert network.b.root(GROUP) == before
    again = network.b.reopen()
    while again.execution.processor.step() or again.execution.repair.step():
        pass
    check_equal(network)


def tries_of(network: PrivateTestNetwork) -> list[int]:
    """The tries of the group's transactions that B executes apart."""
    with network.b.node.chain._database.read() as snapshot:
        return [long.tries for long in LongTransactionReader(snapshot).transactions_of_group(GROUP)]
