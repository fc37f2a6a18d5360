"""Many markers of one payload, which anybody can send: it is not read for each of them, its group waits for itself alone,
and the node's stop does not wait for what is left of the block."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import ExecutionBudget, ExecutionCancelledError
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.announced_payloads import is_punctual_sender
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.known_payloads import KnownPayloadFacts, PayloadFacts
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction, LongTransactionReader
from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS
from lacnode.privacy.state.private_payloads import ForeignPayloadError, UnusablePayloadError
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.state.public_block import PublicBlockExecution
from lacnode.privacy.state.recent_tasks import RECENT_SECONDS
from lacnode.privacy.state.time_slices import SLICE_SECONDS, TimeSlices
from lacnode.privacy.state.useless_payloads import FOREIGN_SECONDS, UselessPayloads
from lacnode.rate_limited_log import RateLimitedLog
from tests.support.logs import captured_logs
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    LOOP,
    REVERTER,
    Clock,
    MemoryManager,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import RICH, signed
from tests.unit.privacy.test_execution import receipt_of
from tests.unit.privacy.test_long_transactions import ShortSlices, condition

HONEST, HOSTILE = legacy_group_id(KEY_A, (KEY_B,)), legacy_group_id(KEY_C, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(BOB.address, 0, HOSTILE)


def replays(key: bytes, first: int, count: int) -> list[Transaction]:
    """A stranger's markers of the payload under `key`."""
    return [signed(RICH, nonce, to=PRIVACY_ADDRESS, data=key) for nonce in range(first, first + count)]


@pytest.fixture
def network() -> PrivateTestNetwork:
    return PrivateTestNetwork()


def hostile(network: PrivateTestNetwork, data: bytes, nonce: int = 0, to: bytes | None = None) -> bytes:
    """The key of a payload that C sends to B, without a marker yet."""
    sent = private(BOB, nonce, to=to, data=data, private_from=KEY_C, private_for=[KEY_B])
    return network.c.privacy_controller.sender.distribute(sent, KEY_C)


class TestUsedUp:
    def test_it_is_read_once(self, network: PrivateTestNetwork) -> None:
        key = hostile(network, deploying(KEEPER))
        network.mine(*replays(key, 0, 20))
        network.mine(*replays(key, 20, 20))
        assert network.b.manager.asked.count(key) == 1

    def test_it_is_not_read_again_after_a_restart(self, network: PrivateTestNetwork) -> None:
        key = hostile(network, deploying(KEEPER))
        network.mine(*replays(key, 0, 1))
        controller = network.b.reopen()
        network.mine(*replays(key, 1, 5), work=False)
        while controller.execution.processor.step():
            pass
        assert network.b.manager.asked.count(key) == 1

    def test_what_comes_of_it_is_what_came_of_it_before(self, network: PrivateTestNetwork) -> None:
        """Every marker after the first has status 2, and the group's state is the same."""
        key = hostile(network, deploying(KEEPER))
        markers = replays(key, 0, 3)
        network.mine(*markers)
        assert [receipt_of(network.b, marker.hash) for marker in markers[1:]] == [
            PrivateReceipt(PrivateStatus.INVALID)
        ] * 2
        first = receipt_of(network.b, markers[0].hash)
        assert first is not None
        assert first.status is PrivateStatus.SUCCESSFUL
        assert network.b.root(HOSTILE) == network.c.root(HOSTILE)
        assert KnownPayloadFacts(network.b.node.chain._database).find(key) == PayloadFacts(
            HOSTILE, KEY_C, BOB.address, 0
        )

    def test_one_that_came_too_early_is_carried_out_later(self, network: PrivateTestNetwork) -> None:
        """Its nonce is not used up, so it is looked at again each time."""
        early = hostile(network, word(7), 1, KEEPER_ADDRESS)
        markers = replays(early, 0, 1)
        network.mine(*markers)
        assert receipt_of(network.b, markers[0].hash) == PrivateReceipt(PrivateStatus.INVALID)
        network.mine(*replays(hostile(network, deploying(KEEPER)), 1, 1))
        again = replays(early, 2, 1)
        network.mine(*again)
        receipt = receipt_of(network.b, again[0].hash)
        assert receipt is not None
        assert receipt.status is PrivateStatus.SUCCESSFUL
        assert network.b.root(HOSTILE) == network.c.root(HOSTILE)

    def test_one_that_fails_is_read_once_in_a_short_time(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is executed at each marker, as in Besu."""
        key, clock = hostile(network, REVERTER), Clock()
        monkeypatch.setattr(network.b.privacy_controller.execution.processor.reader._recent, "_clock", clock)
        markers = replays(key, 0, 20)
        network.mine(*markers)
        # Twice if the machine is so slow that some are executed apart.
        before = network.b.manager.asked.count(key)
        assert before <= 2
        receipts = [receipt_of(network.b, marker.hash) for marker in markers]
        assert receipts == [receipt_of(network.c, marker.hash) for marker in markers]
        assert [receipt and receipt.status for receipt in receipts] == [PrivateStatus.FAILED] * 20
        clock.now += RECENT_SECONDS
        network.mine(*replays(key, 20, 5))
        assert before < network.b.manager.asked.count(key) <= before + 2

    def test_what_is_kept_of_payloads_is_bounded(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.recent_tasks.MAX_RECENT_BYTES", 2_000)
        recent = network.b.privacy_controller.execution.processor.reader._recent
        for nonce in range(10):
            network.mine(*replays(hostile(network, REVERTER + bytes(100 * nonce), nonce), nonce, 1))
            assert sum(len(task.private.raw) for task, _ in recent._tasks.values()) == recent._bytes <= 2_000
        assert recent._tasks
        network.mine(*replays(hostile(network, REVERTER + bytes(2_000), 0), 10, 1))
        assert recent._bytes <= 2_000

    def test_the_number_of_payloads_that_are_kept_is_bounded(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.recent_tasks.MAX_RECENT_TASKS", 2)
        recent = network.b.privacy_controller.execution.processor.reader._recent
        keys = [hostile(network, REVERTER + bytes(nonce), nonce) for nonce in range(4)]
        for nonce, key in enumerate(keys):
            network.mine(*replays(key, nonce, 1))
        assert [key for key, _ in recent._tasks] == keys[2:]

    def test_one_that_came_too_early_is_read_once(self, network: PrivateTestNetwork) -> None:
        early = hostile(network, word(7), 5, KEEPER_ADDRESS)
        markers = replays(early, 0, 20)
        network.mine(*markers)
        assert network.b.manager.asked.count(early) == 1
        assert {receipt_of(network.b, marker.hash) for marker in markers} == {PrivateReceipt(PrivateStatus.INVALID)}
        with network.b.node.chain._database.read() as snapshot:
            assert list(PrivateStoreReader(snapshot).nonces_ahead(HOSTILE)) == [(BOB.address, 5)] * 20

    def test_a_group_is_executed_anew_with_its_replays(self, network: PrivateTestNetwork) -> None:
        """A payload comes late that stands before all of them."""
        first = network.c.send(private(ALICE, 0, private_from=KEY_C, private_for=[KEY_B]))
        lost = network.b.manager.payloads.popitem()
        network.mine()
        key = hostile(network, deploying(KEEPER))
        network.mine(*replays(key, 0, 10))
        network.b.manager.payloads[lost[0]] = lost[1]
        assert network.b.privacy_controller.execution.repair.make_due(lost[0])
        before = network.b.manager.asked.count(key)
        network.b.work()
        assert receipt_of(network.b, first) == receipt_of(network.c, first) != None  # noqa: E711
        assert network.b.root(HOSTILE) == network.c.root(HOSTILE)
        assert network.b.manager.asked.count(key) == before + 1


def test_a_group_that_waits_has_its_payloads_not_read(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One endless payload of fifteen megabytes, and markers of it in every block."""
    monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_WORK_GAS", 150_000)
    monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 100.0)
    network.b.privacy_controller.execution.processor._slices = ShortSlices()
    key = hostile(network, LOOP)
    first, later = replays(key, 0, 1), replays(key, 1, 3)
    network.mine(*first, work=False)
    network.mine(*later, work=False)
    while network.b.privacy_controller.execution.processor.step():
        pass
    assert network.b.manager.asked.count(key) == 1
    assert condition(network.b, HOSTILE) == (GroupCondition.WAITING, True)
    for member in (network.b, network.c):
        member.work()
    for marker in (*first, *later):
        assert (
            receipt_of(network.b, marker.hash)
            == receipt_of(network.c, marker.hash)
            == PrivateReceipt(PrivateStatus.FAILED)
        )


@dataclass
class SlowReads:
    """The clock, which a manager's answers move: each payload of `key` takes `seconds` to read."""

    late: float = 0.0
    key: bytes = b""
    seconds: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.late

    def reading(self, manager: MemoryManager) -> Callable[[bytes, bytes | None], object]:
        def receive(key: bytes, to: bytes | None = None) -> object:
            self.late += self.seconds if key == self.key else 0.0
            return original(key, to)

        original = manager.receive
        return receive


def test_reading_counts_to_the_groups_share(network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload that fails and is too long to be kept is read each time. While blocks wait, its group does not hold up the
    others."""
    monkeypatch.setattr("lacnode.privacy.state.recent_tasks.MAX_RECENT_BYTES", 0)
    network.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    network.mine()
    key = hostile(network, REVERTER + bytes(1000))
    clock = SlowReads(key=key, seconds=0.3)
    monkeypatch.setattr(network.b.manager, "receive", clock.reading(network.b.manager))
    network.b.privacy_controller.execution.processor._slices = TimeSlices(clock)
    sent = []
    for block in range(4):
        sent.append(network.a.send(private(ALICE, block + 1, data=deploying(KEEPER))))
        network.mine(*replays(key, 20 * block, 20), work=False)
    while network.b.privacy_controller.execution.processor.step():
        pass
    assert network.b.manager.asked.count(key) < 10, "twenty-four seconds of the line"
    for marker in sent:
        receipt = receipt_of(network.b, marker)
        assert receipt is not None
        assert receipt.status is PrivateStatus.SUCCESSFUL
    assert condition(network.b, HOSTILE) == (GroupCondition.WAITING, True)
    assert condition(network.b, HONEST) == (GroupCondition.CURRENT, False)
    for member in (network.b, network.c):
        member.work()
    assert condition(network.b, HOSTILE) == (GroupCondition.CURRENT, False)
    assert network.b.root(HOSTILE) == network.c.root(HOSTILE)


class TestUseless:
    """Markers of one payload that cannot be executed, which may have 15 MB of any bytes."""

    @pytest.mark.parametrize(("content", "sender"), [(b"nothing", KEY_C), (None, KEY_A)], ids=["malformed", "foreign"])
    def test_the_payload_is_read_once_and_told_of_once(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch, content: bytes | None, sender: bytes
    ) -> None:
        key, payloads, asked = hostile(network, b""), network.b.manager.payloads, list[bytes]()
        payloads[key] = payloads[key].__class__(content or payloads[key].payload, sender, HOSTILE)
        receive = network.b.manager.receive

        def counted(key: bytes, to: bytes | None = None) -> object:
            asked.append(key)
            return receive(key, to)

        monkeypatch.setattr(network.b.manager, "receive", counted)
        with captured_logs() as logs:
            network.mine(*replays(key, 0, 20), work=False)
            while network.b.privacy_controller.execution.processor.step():
                pass
        assert asked == [key]
        assert [entry["event"] for entry in logs].count("private transaction ignored") == 1

    def test_one_that_breaks_the_evm_is_told_of_once(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> object:
            raise RuntimeError("a fault of the EVM")

        monkeypatch.setattr("lacnode.privacy.state.execution._log", RateLimitedLog("privacy", lambda: 0.0))
        monkeypatch.setattr(PublicBlockExecution, "execute_private", broken)
        with captured_logs() as logs:
            network.mine(*replays(hostile(network, b""), 0, 20))
        assert [entry["event"] for entry in logs].count("a private transaction broke the EVM") == 1

    def test_one_of_an_unknown_group_is_read_again_later(self) -> None:
        clock = Clock()
        useless = UselessPayloads(clock)
        useless.record(b"malformed", UnusablePayloadError("text"), admitted=False)
        useless.record(b"foreign", ForeignPayloadError("text"), admitted=False)
        useless.raise_if_useless(b"foreign", admitted=True)
        with pytest.raises(ForeignPayloadError):
            useless.raise_if_useless(b"foreign", admitted=False)
        clock.now += FOREIGN_SECONDS
        useless.raise_if_useless(b"foreign", admitted=False)
        with pytest.raises(UnusablePayloadError):
            useless.raise_if_useless(b"malformed", admitted=False)


class TestStopping:
    """What is left of a block is not looked at: each payload may take a tenth of a second."""

    @pytest.fixture
    def stopped(self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """The payloads that B's manager was asked for, the first of which stops the node."""
        budget, asked = ExecutionBudget(), list[bytes]()
        monkeypatch.setattr(network.b.privacy_controller._context.engine, "_budget", budget)

        def receive(key: bytes, to: bytes | None = None) -> object:
            asked.append(key)
            budget.cancel()
            return original(key, to)

        original = network.b.manager.receive
        monkeypatch.setattr(network.b.manager, "receive", receive)
        return asked

    def send_useless(self, network: PrivateTestNetwork) -> None:
        """Markers of payloads that are not executed."""
        keys = [hostile(network, bytes([number])) for number in range(5)]
        for key in keys:
            network.b.manager.payloads[key] = network.b.manager.payloads[key].__class__(b"nothing", KEY_C, HOSTILE)
        network.mine(*(replays(key, nonce, 1)[0] for nonce, key in enumerate(keys)), work=False)

    def test_in_line(self, network: PrivateTestNetwork, stopped: list[bytes]) -> None:
        self.send_useless(network)
        with pytest.raises(ExecutionCancelledError):
            network.b.privacy_controller.execution.processor.step()
        assert len(stopped) == 1

    def test_late(self, network: PrivateTestNetwork, stopped: list[bytes]) -> None:
        keys = [hostile(network, bytes([number])) for number in range(5)]
        payloads = dict(network.b.manager.payloads)
        network.b.manager.payloads.clear()
        network.mine(*(replays(key, nonce, 1)[0] for nonce, key in enumerate(keys)), work=False)
        network.b.privacy_controller._context.engine._budget = ExecutionBudget()  # type: ignore[attr-defined]
        while network.b.privacy_controller.execution.processor.step():
            pass
        network.b.manager.payloads.update(dict.fromkeys(payloads, next(iter(payloads.values()))))
        for key in keys:
            assert network.b.privacy_controller.execution.repair.make_due(key)
        stopped.clear()
        network.b.privacy_controller._context.engine._budget.cancel()  # type: ignore[attr-defined]
        with pytest.raises(ExecutionCancelledError):
            network.b.privacy_controller.execution.repair.step()
        assert not stopped


class StrainedSlices(ShortSlices):
    """Short ones, since others have taken the time."""

    def recently_lost_seconds(self) -> float:
        return SLICE_SECONDS


class TestOrderApart:
    """Whose turn it is, of those that are executed apart."""

    @pytest.fixture(autouse=True)
    def bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_WORK_GAS", 150_000)
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 100.0)

    def first(self, network: PrivateTestNetwork) -> bytes:
        """The group that was executed apart next."""
        before = self.waiting(network)
        assert network.b.privacy_controller.execution.long_execution.step()
        (group,) = before - self.waiting(network)
        return group

    def waiting(self, network: PrivateTestNetwork) -> set[bytes]:
        with network.b.node.chain._database.read() as snapshot:
            return {first.group_id for first in LongTransactionReader(snapshot).first_of_each_group()}

    def send(self, network: PrivateTestNetwork, by: NodeKey, private_from: bytes, nonce: int = 0) -> None:
        member = next(member for member in network.members if member.manager.key == private_from)
        sent = private(by, nonce, data=LOOP, private_from=private_from, private_for=[KEY_B])
        member.send(sent)
        network.mine(work=False)
        while network.b.privacy_controller.execution.processor.step():
            pass

    def known_sender(self, network: PrivateTestNetwork) -> None:
        """A has sent something that was carried out at B."""
        network.a.send(private(ALICE, 0, data=deploying(KEEPER), private_for=[KEY_B, KEY_C]))
        network.mine()

    def preferred(self, network: PrivateTestNetwork) -> set[bytes]:
        with network.b.node.chain._database.read() as snapshot:
            firsts = LongTransactionReader(snapshot).first_of_each_group()
            return {first.group_id for first in firsts if first.is_preferred}

    def test_a_known_sender_comes_first(self, network: PrivateTestNetwork) -> None:
        """While strangers' transactions have shortened its slice."""
        self.known_sender(network)
        network.b.privacy_controller.execution.processor._slices = StrainedSlices()
        self.send(network, BOB, KEY_C)
        self.send(network, ALICE, KEY_A)
        assert self.preferred(network) == {HONEST}
        assert self.first(network) == HONEST

    def test_whose_transaction_takes_longer_than_a_whole_slice_is_not_known(self, network: PrivateTestNetwork) -> None:
        """A stranger becomes known by one cheap transaction before its endless ones."""
        self.known_sender(network)
        network.b.privacy_controller.execution.processor._slices = ShortSlices()
        self.send(network, ALICE, KEY_A)
        assert self.preferred(network) == set()
        with network.b.node.chain._database.read() as snapshot:
            assert not is_punctual_sender(snapshot, KEY_A)

    def test_whose_transaction_does_not_end_apart_comes_first_once(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.known_sender(network)
        network.b.privacy_controller.execution.processor._slices = StrainedSlices()
        self.send(network, ALICE, KEY_A)
        assert self.preferred(network) == {HONEST}
        monkeypatch.setattr("lacnode.privacy.state.long_execution.FIRST_BUDGET_SECONDS", 0.0)
        assert network.b.privacy_controller.execution.long_execution.step()
        assert self.preferred(network) == set()
        with network.b.node.chain._database.read() as snapshot:
            assert not is_punctual_sender(snapshot, KEY_A)

    def test_a_group_with_many_does_not_go_before_one_with_few(self, network: PrivateTestNetwork) -> None:
        network.b.privacy_controller.execution.processor._slices = ShortSlices()
        for _ in range(3):
            self.send(network, BOB, KEY_C, 0)
        self.send(network, ALICE, KEY_A)
        network.b.privacy_controller.execution.long_execution._use.add(HOSTILE, 1.0)
        assert self.first(network) == HONEST

    def test_the_try_in_hand_ends_for_a_group_that_did_not_wait(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And is begun anew without counting as one in vain; the next such group has to wait for it."""
        network.b.privacy_controller.execution.processor._slices = ShortSlices()
        self.send(network, BOB, KEY_C)
        long_execution, seen = network.b.privacy_controller.execution.long_execution, list[bool]()

        def execute(long: LongPrivateTransaction, budget: ExecutionBudget) -> None:
            if not seen:
                self.send(network, ALICE, KEY_A)
            seen.append(budget.is_cancelled)
            original(long, budget)

        original = long_execution._execute
        monkeypatch.setattr(long_execution, "_execute", execute)
        assert long_execution.step()
        with network.b.node.chain._database.read() as snapshot:
            (long,) = LongTransactionReader(snapshot).transactions_of_group(HOSTILE)
        assert long.tries == 0
        assert seen == [True]
        long_execution._preempt({HONEST: True})
        assert long_execution.step()
        assert self.waiting(network) == {HOSTILE}
        assert long_execution.step()
        assert not self.waiting(network)

    def test_no_try_ends_twice_in_a_row(self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        network.b.privacy_controller.execution.processor._slices = ShortSlices()
        self.send(network, BOB, KEY_C)
        long_execution, seen = network.b.privacy_controller.execution.long_execution, list[bool]()

        def execute(long: LongPrivateTransaction, budget: ExecutionBudget) -> None:
            long_execution._preempt({HONEST: True})
            seen.append(budget.is_cancelled)
            original(long, budget)

        original = long_execution._execute
        monkeypatch.setattr(long_execution, "_execute", execute)
        assert long_execution.step()
        assert long_execution.step()
        assert seen == [True, False]
        assert not self.waiting(network)
