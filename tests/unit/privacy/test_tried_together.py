"""Many long private transactions of one group in one block: they are tried together, and none is executed again for each
that follows it."""

import time
from collections.abc import Callable

import pytest

from lacnode.evm.budget import ExecutionBudget
from lacnode.privacy.state.long_execution import FIRST_BUDGET_SECONDS
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.private_records import PrivateStatus
from lacnode.privacy.state.private_transaction import legacy_group_id
from lacnode.privacy.state.processor import PrivateBlock
from tests.support.flexible_groups import NoSlices
from tests.support.private_nodes import BOB, KEY_B, KEY_C, REVERTER, Member, PrivateTestNetwork, private
from tests.unit.privacy.test_execution import receipt_of
from tests.unit.privacy.test_long_transactions import short_budget
from tests.unit.privacy.test_replayed_payloads import replays

GROUP = legacy_group_id(KEY_C, (KEY_B,))
LOGGING = bytes.fromhex("60006000a06108005b600190038060085700")
"""Logs once, and ends after fifty thousand gas."""

COUNT = 8


@pytest.fixture
def network() -> PrivateTestNetwork:
    """B executes everything apart. C takes what it needs."""
    network = PrivateTestNetwork()
    network.b.privacy_controller.execution.processor._slices = NoSlices()
    return network


def logs_of(member: Member) -> list[tuple[int, int, bytes]]:
    """The logs that a member tells its listeners of, as they come: block, index, marker."""
    told: list[tuple[int, int, bytes]] = []

    def listen(block: PrivateBlock) -> None:
        told.extend((log.block_number, log.log_index, log.transaction_hash) for log in block.logs.get(GROUP, ()))

    member.privacy_controller.execution.processor.on_private_logs(listen)
    return told


def mine(network: PrivateTestNetwork) -> None:
    """B executes in line only. All its transactions wait then."""
    network.mine(work=False)
    network.c.work()
    while network.b.privacy_controller.execution.processor.step():
        pass


def apart(member: Member) -> int:
    """Execute everything that waits. The number of tries."""
    tries = 0
    while member.privacy_controller.execution.long_execution.step():
        tries += 1
        assert tries < 10 * COUNT, "they do not end"
    return tries


def send_all(network: PrivateTestNetwork) -> list[bytes]:
    """One block with COUNT transactions of C's account, each with a log. The markers."""
    sent = [
        network.c.send(private(BOB, nonce, data=LOGGING, private_from=KEY_C, private_for=[KEY_B]))
        for nonce in range(COUNT)
    ]
    mine(network)
    return sent


def check_equal(network: PrivateTestNetwork, markers: list[bytes]) -> None:
    receipts = [receipt_of(network.b, marker) for marker in markers]
    assert receipts == [receipt_of(network.c, marker) for marker in markers]
    assert all(receipt is not None and receipt.status is PrivateStatus.SUCCESSFUL for receipt in receipts)
    assert network.b.root(GROUP) == network.c.root(GROUP)
    number = network.b.node.chain.head.header.number
    assert network.b.root(GROUP, number) == network.c.root(GROUP, number)


class TestTogether:
    def test_one_try_is_enough_if_the_time_is(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 100.0)
        told, expected = logs_of(network.b), logs_of(network.c)
        markers = send_all(network)
        assert apart(network.b) == 1
        check_equal(network, markers)
        assert told == expected
        assert [index for _, index, _ in told] == list(range(COUNT))

    def test_what_was_executed_when_the_time_ends_is_kept(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.long_execution.ExecutionBudget", budgets(40))
        told, expected = logs_of(network.b), logs_of(network.c)
        markers = send_all(network)
        before = len(network.b.manager.asked)
        assert 1 < apart(network.b) < COUNT
        check_equal(network, markers)
        assert told == expected, "each log once, with its index in the whole block"
        assert len(network.b.manager.asked) - before < 2 * COUNT, "none is read for each that follows it"

    def test_markers_of_one_payload_that_fails_are_read_once_each(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each was executed again for each marker after it in the block before."""
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 100.0)
        sent = private(BOB, 0, data=REVERTER, private_from=KEY_C, private_for=[KEY_B])
        key = network.c.privacy_controller.sender.distribute(sent, KEY_C)
        for nonce in range(0, 40, 20):
            markers = replays(key, nonce, 20)
            network.mine(*markers, work=False)
        while network.b.privacy_controller.execution.processor.step():
            pass
        before = network.b.manager.asked.count(key)
        apart(network.b)
        assert network.b.manager.asked.count(key) - before <= 40
        assert all(receipt_of(network.b, marker.hash) is not None for marker in markers)

    def test_one_that_does_not_end_is_tried_alone(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those before it are stored, and it alone counts a try."""
        monkeypatch.setattr("lacnode.privacy.state.long_execution.ExecutionBudget", budgets(40))
        endless = bytes.fromhex("5b600056")
        for nonce, data in enumerate((LOGGING, endless, LOGGING)):
            network.c.send(private(BOB, nonce, data=data, private_from=KEY_C, private_for=[KEY_B]))
        network.mine(work=False)
        while network.b.privacy_controller.execution.processor.step():
            pass
        steps = network.b.privacy_controller.execution.long_execution
        assert steps.step()
        assert waiting(network) == [0, 0]
        assert steps.step()
        assert waiting(network) == [1, 0]


def budgets(looks: int) -> Callable[[float, float], ExecutionBudget]:
    """Budgets of so many looks, and of more for a transaction that was tried before."""

    def budget(deadline_seconds: float, _: float) -> ExecutionBudget:
        return short_budget(looks * round((deadline_seconds - time.monotonic()) / FIRST_BUDGET_SECONDS))

    return budget


def waiting(network: PrivateTestNetwork) -> list[int]:
    """The tries of the group's transactions that wait."""
    with network.b.node.chain._database.read() as snapshot:
        return [long.tries for long in LongTransactionReader(snapshot).transactions_of_group(GROUP)]
