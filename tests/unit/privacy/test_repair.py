"""Managers that are off, forgetful or broken: the public chain goes on, private state waits, and comes right afterwards."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.chain.log_filter import LogFilter
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.privacy.state.flexible.contradicting_histories import ContradictingHistory, ContradictingHistoryWriter
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.payload_repair import DUE_AT_ONCE
from lacnode.privacy.state.private_logs import PrivateLogs
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_send_error import PrivateSendError
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.state.processor import (
    MANAGER_FAILURES_ALLOWED,
    MAX_PAYLOAD_REQUESTS,
    PrivateBlock,
    next_payload_request_time,
)
from lacnode.privacy.transaction_manager import EnclaveError, ReceivedPayload
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.support.logs import captured_logs
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    MemoryManager,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)

GROUP = legacy_group_id(KEY_A, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)


@pytest.fixture
def stage() -> PrivateTestNetwork:
    return PrivateTestNetwork()


def deploy(stage: PrivateTestNetwork) -> None:
    stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    stage.mine()


def store(stage: PrivateTestNetwork, *values: int, first_nonce: int = 1) -> None:
    """One block a value."""
    for nonce, value in enumerate(values, first_nonce):
        stage.a.send(private(ALICE, nonce, to=KEEPER_ADDRESS, data=word(value)))
        stage.mine()


def keep_undelivered(stage: PrivateTestNetwork, *values: int, first_nonce: int = 1) -> None:
    """The same, with B's manager off once the payloads are there: it can be asked nothing while the blocks come."""
    for nonce, value in enumerate(values, first_nonce):
        stage.b.manager.is_off = False
        stage.a.send(private(ALICE, nonce, to=KEEPER_ADDRESS, data=word(value)))
        stage.b.manager.is_off = True
        stage.mine()


def statuses(stage: PrivateTestNetwork) -> dict[bytes, tuple[GroupCondition, int]]:
    return {
        status.group_id: (status.condition, status.missing_payloads)
        for status in stage.b.privacy_controller.statuses.all()
    }


def standing(stage: PrivateTestNetwork) -> tuple[dict[str, int], int]:
    """How many groups of B there are in each condition, and how many payloads it misses."""
    found = stage.b.privacy_controller.statuses.health()
    return {condition.value: number for condition, number in found.groups.items() if number}, found.missing


def same_everywhere(stage: PrivateTestNetwork) -> bool:
    """Whether B has what A has, after every block."""
    head = stage.a.node.chain.head.header.number
    return all(stage.a.root(GROUP, number) == stage.b.root(GROUP, number) for number in range(head + 1))


class TestManagerOff:
    def test_lacchain_164(self, stage: PrivateTestNetwork) -> None:
        """Off for 50 blocks of others' and own private transactions; afterwards the states are equal."""
        deploy(stage)
        keep_undelivered(stage, *range(50))
        assert stage.b.node.chain.head.header.number == 51
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 1
        assert statuses(stage) == {GROUP: (GroupCondition.WAITING, 50)}
        assert standing(stage) == ({"waiting": 1}, 50)
        stage.b.manager.is_off = False
        stage.b.work()
        assert same_everywhere(stage)
        assert stage.b.root(GROUP) != stage.b.root(GROUP, 1)
        assert statuses(stage) == {GROUP: (GroupCondition.CURRENT, 0)}
        assert standing(stage) == ({"current": 1}, 0)

    def test_blocks_without_markers_do_not_wait(self, stage: PrivateTestNetwork) -> None:
        stage.b.manager.is_off = True
        for _ in range(3):
            stage.mine()
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 3
        assert not stage.b.privacy_controller.execution.processor.progress.is_waiting_for_manager

    def test_nobody_is_asked_twice_for_what_is_done(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        store(stage, 1, 2)
        asked = len(stage.b.manager.asked)
        again = stage.b.reopen()
        while again.execution.processor.step() or again.execution.repair.step():
            pass
        assert len(stage.b.manager.asked) == asked == 3
        assert again.execution.processor.progress.last_executed_block == 3

    def test_a_crash_before_the_commit_repeats_the_block(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deploy(stage)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(5)))
        stage.mine(work=False)
        stage.a.work()

        class Killed(BaseException):
            pass

        def kill(*_: object) -> None:
            raise Killed

        monkeypatch.setattr("lacnode.privacy.state.private_store.PrivateStoreWriter.write_cursor", kill)
        with pytest.raises(Killed):
            stage.b.privacy_controller.execution.processor.step()
        monkeypatch.undo()
        again = stage.b.reopen()
        assert again.states.root_at(GROUP, 2) == stage.b.root(GROUP, 1)
        while again.execution.processor.step():
            pass
        assert same_everywhere(stage)


def on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[LmdbDatabase]:
    """Have the members that follow keep their data in files under `path`, named 0, 1 and 2."""
    made: list[LmdbDatabase] = []

    def database() -> LmdbDatabase:
        made.append(LmdbDatabase(path / str(len(made))))
        return made[-1]

    monkeypatch.setattr("tests.support.rpc_chain.MemoryDatabase", database)
    return made


class TestOnDisk:
    def test_everything_is_there_after_a_restart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made = on_disk(tmp_path, monkeypatch)
        stage = PrivateTestNetwork()
        deploy(stage)
        keep_undelivered(stage, 1, 2, 3)
        stage.b.manager.is_off = False
        stage.b.work()
        assert same_everywhere(stage)
        root, head = stage.b.root(GROUP), stage.b.node.chain.head.header.number
        for opened in made:
            opened.close()
        with closing(LmdbDatabase(tmp_path / "1")) as again, again.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            assert stored.last_executed_block() == head
            assert stored.root_at(GROUP, head) == root
            assert list(stored.group_ids()) == [GROUP]
            assert [place.number for place in stored.marker_places(GROUP)] == [1, 2, 3, 4]
            assert not list(stored.absent_markers())

    def test_a_strangers_files_hold_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = keccak256(b"what only two may know")
        made = on_disk(tmp_path, monkeypatch)
        stage = PrivateTestNetwork()
        with captured_logs() as logs:
            deploy(stage)
            store(stage, int.from_bytes(secret))
        assert stage.b.privacy_controller.states.state_at(GROUP, 2).storage(KEEPER_ADDRESS, 0) == int.from_bytes(secret)
        for opened in made:
            opened.close()
        holders = [
            any(secret in file.read_bytes() for file in (tmp_path / name).rglob("*") if file.is_file())
            for name in "012"
        ]
        assert holders == [True, True, False]
        assert secret.hex() not in str(logs)


class TestAnswersOfNoUse:
    def test_a_payload_that_cannot_be_given_holds_up_only_its_group(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        stage.b.manager.failing.add(key)
        with captured_logs():
            stage.mine()
            for _ in range(MANAGER_FAILURES_ALLOWED):
                stage.b.work()
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 2
        store(stage, 2, first_nonce=2)
        condition, waiting = statuses(stage)[GROUP]
        assert (condition, waiting > 0) == (GroupCondition.WAITING, True)
        stage.b.manager.failing.clear()
        stage.clock.now += 60
        stage.b.work()
        assert same_everywhere(stage)
        assert statuses(stage) == {GROUP: (GroupCondition.CURRENT, 0)}

    @pytest.mark.parametrize("garbage", [b"", b"not base64!", b"AAAA", b"wA==", b"\xff" * 4000])
    def test_garbage_is_passed_over(self, stage: PrivateTestNetwork, garbage: bytes) -> None:
        deploy(stage)
        key = stage.a.manager.send(garbage, KEY_A, [KEY_B])
        stage.a.privacy_controller.sender.submit_marker(private(), key)
        with captured_logs() as logs:
            stage.mine()
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 2
        store(stage, 3)
        assert same_everywhere(stage)
        assert not any(repr(garbage)[2:-1] in str(entry) for entry in logs if garbage)

    def test_garbage_that_comes_late_is_told_of_once(self, stage: PrivateTestNetwork) -> None:
        """Any account can send markers of payloads, and a key of its own the payloads, one after the other."""
        deploy(stage)
        keys = [stage.a.manager.send(b"garbage %d" % number, KEY_A, [KEY_B]) for number in range(5)]
        late = {key: stage.b.manager.payloads.pop(key) for key in keys}
        for key in keys:
            stage.a.privacy_controller.sender.submit_marker(private(), key)
        stage.mine()
        stage.b.manager.payloads |= late
        for key in keys:
            assert stage.b.privacy_controller.execution.repair.make_due(key)
        with captured_logs() as logs:
            stage.b.work()
        assert [entry["event"] for entry in logs].count("private transaction ignored") == 1
        assert statuses(stage) == {GROUP: (GroupCondition.CURRENT, 0)}

    def test_a_group_id_of_another_size_is_no_answer(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = MemoryManager.receive

        def receive(manager: MemoryManager, key: bytes, to: bytes | None = None) -> ReceivedPayload:
            found = whole(manager, key, to)
            return ReceivedPayload(found.payload, found.sender, found.group_id[:7])

        monkeypatch.setattr(MemoryManager, "receive", receive)
        with captured_logs():
            deploy(stage)
            for _ in range(MANAGER_FAILURES_ALLOWED):
                stage.b.work()
        assert stage.b.privacy_controller.execution.processor.progress.last_executed_block == 1
        monkeypatch.undo()
        stage.clock.now += 60
        stage.a.work()
        stage.b.work()
        assert stage.a.root(GROUP) == stage.b.root(GROUP) != EMPTY_TRIE_ROOT


class TestLostPayloads:
    def lose(self, stage: PrivateTestNetwork) -> dict[bytes, ReceivedPayload]:
        """B's manager forgets everything."""
        lost, stage.b.manager.payloads = stage.b.manager.payloads, {}
        return lost

    def test_come_back_late_and_everything_after_them_is_done_anew(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        lost = stage.b.manager.payloads.pop(key)
        stage.mine()
        store(stage, 2, 3, first_nonce=2)
        assert not same_everywhere(stage)
        assert statuses(stage) == {GROUP: (GroupCondition.WAITING, 2)}
        stage.b.manager.payloads[key] = lost
        stage.clock.now += 60
        stage.b.work()
        assert same_everywhere(stage)
        assert statuses(stage) == {GROUP: (GroupCondition.CURRENT, 0)}

    def test_undo_what_could_happen_for_want_of_them(self, stage: PrivateTestNetwork) -> None:
        """A nonce that was free here was used at the other members."""
        deploy(stage)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        lost = stage.b.manager.payloads.pop(key)
        stage.mine()
        marker = stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(2)))
        stage.mine()
        assert stage.b.root(GROUP, 3) != stage.b.root(GROUP, 2)
        stage.b.manager.payloads[key] = lost
        stage.clock.now += 60
        stage.b.work()
        assert same_everywhere(stage)
        found = stage.b.privacy_controller.find_transaction(marker)
        assert found is not None
        assert stage.b.privacy_controller.receipts.find_receipt(found) == PrivateReceipt(PrivateStatus.INVALID)
        chain = stage.b.node.chain
        assert not list(PrivateLogs(chain, chain.database).of_block(GROUP, chain.head.hash, LogFilter()))

    def test_are_told_to_those_who_wait_for_logs(self, stage: PrivateTestNetwork) -> None:
        """What could not be executed before is told then, and nothing is told twice."""
        told: list[tuple[int, bytes]] = []

        def listen(private_block: PrivateBlock) -> None:
            told.extend((private_block.header.number, found.log.data) for found in private_block.logs[GROUP])

        stage.b.privacy_controller.execution.processor.on_private_logs(listen)
        deploy(stage)
        store(stage, 1)
        stage.a.send(private(ALICE, 2, to=KEEPER_ADDRESS, data=word(2)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        lost = stage.b.manager.payloads.pop(key)
        stage.mine()
        store(stage, 3, first_nonce=3)
        assert told == [(2, word(1))]
        stage.b.manager.payloads[key] = lost
        stage.clock.now += 60
        stage.b.work()
        assert told == [(2, word(1)), (3, word(2)), (4, word(3))]

    def test_are_taken_at_once_when_the_manager_tells_of_them(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        lost = stage.b.manager.payloads.pop(key)
        stage.mine()
        stage.b.manager.payloads[key] = lost
        assert stage.b.privacy_controller.execution.repair.make_due(key)
        assert not stage.b.privacy_controller.execution.repair.make_due(bytes(32))
        stage.b.work()
        assert same_everywhere(stage)
        assert not stage.b.privacy_controller.execution.repair.make_due(key)

    def test_have_no_receipt_until_they_are_executed(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        marker = stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        lost = stage.b.manager.payloads.pop(key)
        stage.mine()
        stage.b.manager.payloads[key] = lost
        found = stage.b.privacy_controller.find_transaction(marker)
        assert found is not None
        assert stage.b.privacy_controller.receipts.find_receipt(found) is None
        stage.clock.now += 60
        stage.b.work()
        receipt = stage.b.privacy_controller.receipts.find_receipt(found)
        assert receipt is not None
        assert receipt.status is PrivateStatus.SUCCESSFUL

    def test_are_waited_for_while_others_of_the_group_are_lost_too(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1)))
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        first = stage.b.manager.payloads.pop(key)
        stage.mine()
        store(stage, 2, first_nonce=2)
        before = stage.b.root(GROUP)
        rest = self.lose(stage)
        stage.b.manager.payloads[key] = first
        stage.clock.now += 60
        with captured_logs():
            stage.b.work()
        assert stage.b.root(GROUP) == before
        stage.b.manager.payloads |= rest
        stage.clock.now += 3600
        stage.b.work()
        assert same_everywhere(stage)

    def test_are_asked_for_ever_more_seldom_and_then_on_request(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        asked = len(stage.c.manager.asked)
        for _ in range(200):
            stage.clock.now += 3600
            stage.c.work()
        assert len(stage.c.manager.asked) - asked == MAX_PAYLOAD_REQUESTS
        assert stage.c.privacy_controller.execution.repair.make_all_due() == 1
        stage.c.work()
        assert len(stage.c.manager.asked) - asked == MAX_PAYLOAD_REQUESTS + 1

    def test_are_not_asked_for_before_their_time(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        asked = len(stage.c.manager.asked)
        stage.clock.now += 1
        stage.c.work()
        assert len(stage.c.manager.asked) == asked


class TestDecidedMeanwhile:
    """An operator decides about a marker while the manager is asked for its payload, which may take seconds."""

    PLACE, TELLER = MarkerPlace(1, 0), keccak256(b"a teller")

    @pytest.fixture
    def decide(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
        """The decisions, for the test to add. C has not the payload that the marker at `PLACE` names."""
        deploy(stage)
        decisions = list[Callable[[], object]]()
        with stage.c.node.chain._database.write() as batch:
            told = ContradictingHistory(GROUP, self.TELLER, keccak256(b"told"), self.PLACE, bytes(32), bytes(32))
            ContradictingHistoryWriter(batch).add(told)

        def receive(key: bytes, to: bytes | None = None) -> ReceivedPayload:
            for decision in decisions:
                decision()
            raise EnclaveError("EnclavePayloadNotFound")

        monkeypatch.setattr(stage.c.manager, "receive", receive)
        stage.clock.now += 60
        return decisions

    def tries_and_due_time(self, stage: PrivateTestNetwork) -> tuple[int, int | None]:
        assert stage.c.privacy_controller.execution.repair.step()
        with stage.c.node.chain._database.read() as snapshot:
            waiting = PrivateStoreReader(snapshot).absent_at(self.PLACE)
        assert waiting is not None
        return waiting.tries, waiting.due

    def test_to_accept_a_history(self, stage: PrivateTestNetwork, decide: list[Callable[[], object]]) -> None:
        decide.append(lambda: stage.c.privacy_controller.divergences.accept_history(GROUP, self.TELLER))
        assert self.tries_and_due_time(stage) == (0, DUE_AT_ONCE)

    def test_to_ask_for_all_payloads(self, stage: PrivateTestNetwork, decide: list[Callable[[], object]]) -> None:
        decide.append(stage.c.privacy_controller.execution.repair.make_all_due)
        assert self.tries_and_due_time(stage) == (0, int(stage.clock.now))

    def test_nothing(self, stage: PrivateTestNetwork, decide: list[Callable[[], object]]) -> None:
        """The request counts, so that the next one comes later."""
        tries, due = self.tries_and_due_time(stage)
        assert (tries, due) == (1, next_payload_request_time(stage.clock.now, 1))


class TestComparing:
    def test_another_members_root_is_held_against_ours(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        assert stage.b.privacy_controller.divergences.compare_and_record(GROUP, 1, stage.a.root(GROUP))
        assert not stage.b.privacy_controller.divergences.compare_and_record(GROUP, 1, bytes(32))
        assert statuses(stage) == {GROUP: (GroupCondition.DIVERGED, 0)}
        assert standing(stage) == ({"diverged": 1}, 0)
        assert stage.b.privacy_controller.divergences.compare_and_record(GROUP, 1, stage.a.root(GROUP))
        assert statuses(stage) == {GROUP: (GroupCondition.CURRENT, 0)}


class TestSending:
    def test_announces_nothing_that_the_manager_did_not_take(self, stage: PrivateTestNetwork) -> None:
        stage.b.manager.is_off = True
        with pytest.raises(PrivateSendError, match="NodePropagatingToAllPeers"):
            stage.a.send(private())
        assert not stage.a.node.pooled


class TestStateQuota:
    """Beyond the quota a transaction waits. The public chain and the groups as they are do not notice."""

    def limited(self, stage: PrivateTestNetwork, limit: int) -> None:
        """Bound the private state of B, as an operator would with a restart."""
        execution = stage.b.privacy_controller.execution
        for part in (execution.processor.reader._quota, stage.b.privacy_controller.statuses._quota):
            part._context = replace(part._context, state_quota_bytes=limit)

    def used(self, stage: PrivateTestNetwork) -> int:
        with stage.b.node.chain._database.read() as snapshot:
            return PrivateStoreReader(snapshot).state_bytes()

    def test_waits_and_is_executed_when_the_quota_is_raised(self, stage: PrivateTestNetwork) -> None:
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        before, root = self.used(stage), stage.b.root(GROUP)
        assert before > 0
        self.limited(stage, before)
        marker = stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(7)))
        stage.mine()
        found = stage.b.privacy_controller.find_transaction(marker)
        assert found is not None
        assert stage.b.privacy_controller.receipts.find_receipt(found) is None, "it is not failed, it waits"
        assert (stage.b.root(GROUP), self.used(stage)) == (root, before)
        assert (
            stage.b.privacy_controller.execution.processor.progress.last_executed_block
            == stage.b.node.chain.head.header.number
        )
        assert stage.b.privacy_controller.statuses.health().alarms != ()
        self.limited(stage, 0)
        stage.b.privacy_controller.execution.repair.make_all_due()
        stage.b.work()
        assert stage.b.root(GROUP) == stage.a.root(GROUP) != root

    def test_keeps_a_tenth_for_the_own_keys(self, stage: PrivateTestNetwork) -> None:
        """Strangers may fill the rest of it. The users of the node must be able to send all the same."""
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        self.limited(stage, int(self.used(stage) / 0.95))
        quota = stage.b.privacy_controller.execution.processor.reader._quota
        quota._context = replace(quota._context, own_keys=frozenset((KEY_B,)))
        root = stage.b.root(GROUP)
        stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(7)))
        stage.mine()
        assert stage.b.root(GROUP) == root, "what another member sends waits"
        stage.b.send(private(BOB, 0, to=KEEPER_ADDRESS, data=word(8), private_from=KEY_B, private_for=(KEY_A,)))
        stage.mine()
        assert stage.b.root(GROUP) != root

    def test_has_an_alarm_before(self, stage: PrivateTestNetwork) -> None:
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        self.limited(stage, 2 * self.used(stage))
        assert stage.b.privacy_controller.statuses.health().alarms == ()
        self.limited(stage, int(self.used(stage) / 0.85))
        (alarm,) = stage.b.privacy_controller.statuses.health().alarms
        assert alarm.startswith("private state: ")
