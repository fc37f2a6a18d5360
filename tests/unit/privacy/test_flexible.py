"""Flexible groups as wallets and members see them: made, locked, widened and narrowed by private transactions to their own
contract, with Besu's answers; and a past that is told to whoever comes in late."""

import base64
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import CallLimitExceededError
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpError
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.contradicting_histories import (
    MAX_CONTRADICTING_HISTORIES,
    ContradictingHistory,
    ContradictingHistoryReader,
    ContradictingHistoryWriter,
)
from lacnode.privacy.state.flexible.flexible_groups import (
    ALL_CONTRACTS_SECONDS,
    CONTRACT_ANSWER_SECONDS,
    LEAST_ANSWER_SECONDS,
    FlexibleGroups,
)
from lacnode.privacy.state.flexible.group_contract_queries import Ask
from lacnode.privacy.state.flexible.group_contracts import (
    ADD_PARTICIPANTS,
    GET_VERSION,
    LOCK,
    REMOVE_PARTICIPANT,
    UNLOCK,
)
from lacnode.privacy.state.flexible.group_contracts import create_group_accounts as contracts
from lacnode.privacy.state.flexible.group_history import (
    PastTransaction,
    decode_history_payload,
    encode_history_payload,
)
from lacnode.privacy.state.flexible.silent_contracts import SILENCE_SECONDS, SilentContracts
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import (
    FLEXIBLE_PRIVACY_ADDRESS,
    MANAGEMENT_ADDRESS,
    PROXY_ADDRESS,
    GroupMode,
    create_marker,
)
from lacnode.privacy.state.private_store import MarkerPlace
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    encode_versioned_payload,
    private_contract_address,
)
from lacnode.privacy.state.processor import LONGEST_PAYLOAD_RETRY_SECONDS, MAX_PAYLOAD_REQUESTS
from lacnode.privacy.state.state_root_comparison import GROUP_COMPARE_INTERVAL_SECONDS
from lacnode.privacy.state.time_slices import TimeSlices
from lacnode.privacy.state_root_queries import StateRootQuery
from lacnode.privacy.transaction_manager import ReceivedPayload
from lacnode.rpc.errors import RpcError
from tests.support.logs import captured_logs
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    REVERTER,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    root_replaced,
    word,
)
from tests.support.root_comparison import FOREVER, Comparison

GROUP, OTHER = keccak256(b"a group"), keccak256(b"another group")
KEEPER_ADDRESS = private_contract_address(BOB.address, 0, GROUP)
NOT_THERE = "Flexible Privacy group does not exist."


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def adding(*keys: bytes) -> bytes:
    return ADD_PARTICIPANTS + encode(["bytes[]"], [list(keys)])


def removing(key: bytes) -> bytes:
    return REMOVE_PARTICIPANT + encode(["bytes"], [key])


class Groups(PrivateTestNetwork):
    """A stage of flexible groups. Alice's account owns them; Bob's deploys and calls."""

    def __init__(self) -> None:
        super().__init__(mode=GroupMode.FLEXIBLE)

    def send(
        self,
        data: bytes = b"",
        *,
        to: bytes | None = PROXY_ADDRESS,
        by: NodeKey = ALICE,
        via: Member | None = None,
        group: bytes = GROUP,
        nonce: int | None = None,
    ) -> str:
        """Send a private transaction through a member's node; the marker's hash."""
        member = via or self.a
        nonce = self.nonce(member, by, group) if nonce is None else nonce
        transaction = private(by, nonce, to=to, data=data, group=group, private_from=member.manager.key)
        sent = member.node.call("eea_sendRawTransaction", to_hex(transaction.raw))
        assert isinstance(sent, str)
        return sent

    def nonce(self, member: Member, by: NodeKey, group: bytes = GROUP) -> int:
        return int(str(member.node.call("priv_getTransactionCount", to_hex(by.address), b64(group))), 16)

    def done(self, data: bytes = b"", **options: Any) -> str:
        """The status of what is sent and mined."""
        sent = self.send(data, **options)
        self.mine()
        return str(receipt(options.get("via") or self.a, sent)["status"])

    def make(self, *keys: bytes, group: bytes = GROUP) -> None:
        assert self.done(adding(*keys), group=group) == "0x1"

    def deploy(self) -> str:
        """The keeper in the group, by Bob's account; its marker's hash."""
        sent = self.send(deploying(KEEPER), to=None, by=BOB)
        self.mine()
        return sent

    def store(self, value: int, via: Member | None = None) -> str:
        return self.done(word(value), to=KEEPER_ADDRESS, by=BOB, via=via)

    def add(self, *keys: bytes) -> None:
        assert self.done(LOCK) == "0x1"
        assert self.done(adding(*keys)) == "0x1"


@dataclass
class SteppedClock:
    """The monotonic clock, and what was added to it. It stands for the module `time`, too."""

    late: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.late

    monotonic = __call__


class NoSlices(TimeSlices):
    """Time for nothing."""

    @contextmanager
    def slice(self) -> Iterator[ExecutionBudget]:
        yield ExecutionBudget(0.0)


def receipt(member: Member, marker: str) -> Any:
    return member.node.call("priv_getTransactionReceipt", marker)


def found(member: Member, *keys: bytes) -> Any:
    return member.node.call("privx_findFlexiblePrivacyGroup", [b64(key) for key in keys])


def value(member: Member, block: str = "latest") -> int:
    """What the keeper has, as a member's node sees it."""
    answer = member.node.call("priv_call", b64(GROUP), {"to": to_hex(KEEPER_ADDRESS), "data": "0x"}, block)
    return int(str(answer), 16) if answer != "0x" else 0


def root(member: Member, block: str = "latest") -> object:
    return member.node.call("priv_debugGetStateRoot", b64(GROUP), block)


def refusal(member: Member, transaction: PrivateTransaction, method: str = "eea_sendRawTransaction") -> str:
    with pytest.raises(RpcError) as refused:
        member.node.call(method, to_hex(transaction.raw))
    assert refused.value.code == -50100
    return refused.value.message


@pytest.fixture
def groups() -> Groups:
    return Groups()


class TestMaking:
    def test_every_member_finds_the_group(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        expected = [
            {
                "privacyGroupId": b64(GROUP),
                "type": "FLEXIBLE",
                "name": "",
                "description": "",
                "members": [b64(KEY_A), b64(KEY_B)],
            }
        ]
        assert found(groups.a, KEY_A, KEY_B) == found(groups.b, KEY_B, KEY_A) == found(groups.b, KEY_A) == expected
        assert found(groups.a, KEY_A, KEY_C) == found(groups.c, KEY_A, KEY_B) == []

    def test_is_found_beside_one_whose_contract_never_answers(
        self, groups: Groups, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        groups.make(KEY_A)
        groups.make(KEY_A, group=bytes(31) + b"\x07")
        flexible = groups.a.privacy_controller.groups
        assert isinstance(flexible, FlexibleGroups)
        before = found(groups.a, KEY_A)
        contract_of = flexible._contract_of

        def asked(group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
            if group_id != GROUP:
                raise CallLimitExceededError("it loops")
            return contract_of(group_id, number, deadline_seconds)

        monkeypatch.setattr(flexible, "_contract_of", asked)
        assert found(groups.a, KEY_A) == [group for group in before if group["privacyGroupId"] == b64(GROUP)] != []

    def test_many_contracts_that_never_answer_have_one_deadline(
        self, groups: Groups, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each used to have two seconds, in a worker of JSON-RPC; and none is asked again and again."""
        groups.make(KEY_A)
        for number in range(6):
            groups.make(KEY_A, group=bytes(31) + bytes([number]))
        clock = SteppedClock()
        limits = self.with_silent_contracts(groups, monkeypatch, clock)
        assert [group["privacyGroupId"] for group in found(groups.a, KEY_A)] == [b64(GROUP)]
        assert sum(limits) < 2 * CONTRACT_ANSWER_SECONDS
        assert min(limits) >= LEAST_ANSWER_SECONDS - 0.001
        limits.clear()
        assert [group["privacyGroupId"] for group in found(groups.a, KEY_A)] == [b64(GROUP)]
        assert limits == []
        clock.late += SILENCE_SECONDS + 1
        assert [group["privacyGroupId"] for group in found(groups.a, KEY_A)] == [b64(GROUP)]
        assert len(limits) == 6

    def test_too_many_groups_to_ask_in_time_are_an_error(self, groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
        """And not a list without some of them."""
        groups.make(KEY_A)
        groups.make(KEY_A, group=bytes(31) + b"\x07")
        clock = SteppedClock()
        self.with_silent_contracts(groups, monkeypatch, clock, slow_seconds=ALL_CONTRACTS_SECONDS + 1)
        with pytest.raises(RpcError, match="Timeout expired"):
            found(groups.a, KEY_A)

    def with_silent_contracts(
        self, groups: Groups, monkeypatch: pytest.MonkeyPatch, clock: "SteppedClock", slow_seconds: float = 0.0
    ) -> list[float]:
        """All contracts but that of GROUP take the time that they have, or `slow_seconds` and answer; what they had."""
        flexible, limits = groups.a.privacy_controller.groups, list[float]()
        assert isinstance(flexible, FlexibleGroups)
        contract_of = flexible._contract_of

        def asked(group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
            if group_id != GROUP:
                limits.append(deadline_seconds - clock())
                clock.late += slow_seconds or limits[-1]
                if not slow_seconds:
                    raise CallLimitExceededError("it loops")
            return contract_of(group_id, number, math.inf)

        monkeypatch.setattr(flexible, "_contract_of", asked)
        monkeypatch.setattr("lacnode.privacy.state.flexible.flexible_groups.time", clock)
        monkeypatch.setattr(flexible, "_silent", SilentContracts(clock))
        return limits

    def test_members_for_a_comparison_are_named_by_the_deadline(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        flexible = groups.a.privacy_controller.groups
        assert isinstance(flexible, FlexibleGroups)
        membership = GroupMembership(groups.a.privacy_controller._context, flexible)
        number = groups.a.node.chain.head.header.number
        assert membership.members_at(GROUP, number, math.inf) == frozenset((KEY_A, KEY_B))
        assert membership.members_at(GROUP, number, time.monotonic() - 1) is None

    def test_a_comparison_leaves_groups_for_the_next_time(
        self, groups: Groups, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Strangers' contracts that never answer do not keep the thread, and honest groups come first then."""
        groups.make(KEY_A, KEY_B)
        groups.make(KEY_A, KEY_B, group=OTHER)
        comparison = Comparison(groups)
        monkeypatch.setattr("lacnode.privacy.state.state_root_comparison.ALL_MEMBERSHIPS_SECONDS", 0.0)
        comparison.step(KEY_A)
        first = {query.group_id for _, _, query in comparison.asked}
        monkeypatch.undo()
        comparison.step(KEY_A)
        assert len(first) <= 1
        assert {query.group_id for _, _, query in comparison.asked} == {GROUP, OTHER}

    def test_answers_of_its_contract_count_to_the_slice(self, groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that loops holds up its own group alone."""
        groups.b.privacy_controller.execution.processor._slices = NoSlices()
        groups.send(adding(KEY_A, KEY_B), nonce=0)
        groups.mine(work=False)
        with monkeypatch.context() as patched:
            patched.setattr("lacnode.privacy.state.execution.to_private_message", None)  # it does not come to that
            while groups.b.privacy_controller.execution.processor.step():
                pass
        assert groups.b.privacy_controller.execution.processor.progress.cursor == groups.b.node.chain.head.header.number
        (status,) = groups.b.privacy_controller.statuses.all()
        assert (status.condition, status.is_executing) == (GroupCondition.WAITING, True)
        for member in groups.members:
            member.work()
        assert groups.a.root(GROUP) == groups.b.root(GROUP) != EMPTY_TRIE_ROOT

    @pytest.mark.parametrize("name", ["privx_findOnchainPrivacyGroup", "privx_findOnChainPrivacyGroup"])
    def test_is_found_under_the_methods_older_names(self, groups: Groups, name: str) -> None:
        groups.make(KEY_A)
        assert groups.a.node.call(name, [b64(KEY_A)]) == found(groups.a, KEY_A) != []

    def test_the_marker_goes_to_the_flexible_address(self, groups: Groups) -> None:
        groups.send(adding(KEY_A, KEY_B), nonce=0)
        (marker,) = groups.a.node.pooled
        assert (marker.to, len(marker.data)) == (FLEXIBLE_PRIVACY_ADDRESS, 32)
        assert groups.a.node.call("priv_getPrivacyPrecompileAddress") == to_hex(FLEXIBLE_PRIVACY_ADDRESS)

    def test_the_contracts_are_the_reserved_ones(self, groups: Groups) -> None:
        groups.make(KEY_A)
        for account in contracts():
            code = groups.a.node.call("priv_getCode", b64(GROUP), to_hex(account.address), "latest")
            assert code == to_hex(account.code)
        assert {account.address for account in contracts()} == {PROXY_ADDRESS, MANAGEMENT_ADDRESS}

    def test_a_deployment_has_its_receipt_at_both(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        marker = groups.deploy()
        assert receipt(groups.a, marker) == receipt(groups.b, marker)
        assert receipt(groups.b, marker)["contractAddress"] == to_hex(KEEPER_ADDRESS)
        assert receipt(groups.c, marker) is None
        assert root(groups.a) == root(groups.b)

    def test_two_groups_in_one_block(self, groups: Groups) -> None:
        sent = [groups.send(adding(KEY_A, KEY_B), group=group, nonce=0) for group in (GROUP, OTHER)]
        groups.mine()
        assert [receipt(groups.b, marker)["status"] for marker in sent] == ["0x1", "0x1"]
        assert {group["privacyGroupId"] for group in found(groups.b, KEY_A, KEY_B)} == {b64(GROUP), b64(OTHER)}

    def test_the_state_root_of_an_early_block(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        assert root(groups.a, "0x1") == root(groups.b, "0x1") != root(groups.a) == root(groups.b)


class TestRefusedBeforeSending:
    def test_a_group_that_is_not_there(self, groups: Groups) -> None:
        transaction = private(group=GROUP, data=deploying(KEEPER))
        for method in ("eea_sendRawTransaction", "priv_distributeRawTransaction"):
            assert refusal(groups.a, transaction, method) == NOT_THERE
        assert not groups.a.manager.payloads

    def test_no_group_named(self, groups: Groups) -> None:
        expected = "Private transactions to flexible privacy groups must use privacyGroupId"
        assert refusal(groups.a, private()) == expected
        assert refusal(groups.a, private(), "priv_distributeRawTransaction") == expected

    def test_a_group_that_the_sender_would_not_be_in(self, groups: Groups) -> None:
        transaction = private(group=GROUP, to=PROXY_ADDRESS, data=adding(KEY_B, KEY_C))
        assert refusal(groups.a, transaction) == NOT_THERE

    @pytest.mark.parametrize("method", ["priv_createPrivacyGroup", "priv_deletePrivacyGroup", "priv_findPrivacyGroup"])
    def test_the_managers_groups_are_not_offered(self, groups: Groups, method: str) -> None:
        with pytest.raises(RpcError) as refused:
            groups.a.node.call(method, [b64(KEY_A)])
        assert refused.value.code in (-32601, -32604)

    def test_the_root_of_an_unknown_group(self, groups: Groups) -> None:
        with pytest.raises(RpcError, match="Error finding privacy group"):
            root(groups.a)


class TestLocking:
    def test_a_locked_group_carries_nothing_out(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        statuses = [groups.done(LOCK), groups.store(5), groups.done(UNLOCK), groups.store(7)]
        assert statuses == ["0x1", "0x0", "0x1", "0x1"]
        assert value(groups.a) == value(groups.b) == 7

    def test_locking_twice_fails(self, groups: Groups) -> None:
        groups.make(KEY_A)
        assert [groups.done(LOCK), groups.done(LOCK)] == ["0x1", "0x0"]

    def test_only_the_owner_locks(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        assert groups.done(LOCK, by=BOB) == "0x0"
        assert groups.done(LOCK) == "0x1"

    def test_members_are_not_added_to_an_open_group(self, groups: Groups) -> None:
        groups.make(KEY_A)
        sent = groups.send(adding(KEY_B))
        groups.mine()
        refused = receipt(groups.a, sent)
        assert (refused["status"], refused["output"]) == ("0x0", "0x")
        assert "revertReason" not in refused
        assert found(groups.a, KEY_B) == []

    def test_the_version_differs_after_each_addition(self, groups: Groups) -> None:
        groups.make(KEY_A)
        before = version(groups)
        groups.add(KEY_B)
        assert version(groups) != before


def version(groups: Groups) -> object:
    question = {"to": to_hex(PROXY_ADDRESS), "data": to_hex(GET_VERSION)}
    return groups.a.node.call("priv_call", b64(GROUP), question, "latest")


class TestAdding:
    def test_the_new_member_has_the_groups_past(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        deployed = groups.deploy()
        groups.store(5)
        assert receipt(groups.c, deployed) is None
        groups.add(KEY_C)
        assert receipt(groups.c, deployed) == receipt(groups.a, deployed)
        assert groups.c.node.call("priv_getPrivateTransaction", deployed) == groups.a.node.call(
            "priv_getPrivateTransaction", deployed
        )
        assert (value(groups.c), value(groups.c, "0x2")) == (5, 0)
        assert root(groups.a) == root(groups.b) == root(groups.c)
        assert groups.store(6, via=groups.c) == "0x1"
        assert value(groups.a) == value(groups.b) == value(groups.c) == 6

    def test_the_marker_has_two_keys(self, groups: Groups) -> None:
        groups.make(KEY_A)
        assert groups.done(LOCK) == "0x1"
        groups.send(adding(KEY_B))
        (marker,) = groups.a.node.pooled
        assert len(marker.data) == 64
        assert marker.data[32:] in groups.b.manager.payloads

    def test_a_member_that_was_added_adds_another(self, groups: Groups) -> None:
        groups.make(KEY_A)
        groups.deploy()
        groups.add(KEY_B)
        groups.store(5)
        assert groups.done(LOCK, via=groups.b) == "0x1"
        assert groups.done(adding(KEY_C), via=groups.b) == "0x1"
        assert value(groups.c) == 5
        assert root(groups.a) == root(groups.c)

    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_call_in_the_block_of_an_addition_is_not_carried_out(self, groups: Groups, is_first: bool) -> None:
        """Before it the group is locked, after it the group is another than the call was sent to."""
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        assert groups.done(LOCK) == "0x1"
        leader, other = (groups.a, groups.b) if is_first else (groups.b, groups.a)
        added = groups.send(adding(KEY_C), via=other)
        called = groups.send(word(5), to=KEEPER_ADDRESS, by=BOB, via=leader)
        block = groups.mine()
        assert to_hex(block.transactions[0 if is_first else 1].hash) == called
        assert receipt(groups.a, added)["status"] == "0x1"
        assert receipt(groups.a, called)["status"] == "0x0"
        assert value(groups.a) == value(groups.b) == value(groups.c) == 0

    def test_a_past_that_does_not_come_until_later(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        groups.store(5)
        assert groups.done(LOCK) == "0x1"
        groups.send(adding(KEY_C))
        (marker,) = groups.a.node.pooled
        history = groups.c.manager.payloads.pop(marker.data[32:])
        groups.mine()
        groups.store(6)
        assert found(groups.c, KEY_C) == []
        groups.c.manager.payloads[marker.data[32:]] = history
        assert groups.c.privacy_controller.execution.repair.note_arrival(marker.data[32:])
        groups.c.work()
        assert value(groups.c) == 6
        assert root(groups.c) == root(groups.a)

    def test_an_addition_that_the_contract_refused_is_not_looked_at_for_ever(self, groups: Groups) -> None:
        groups.make(KEY_A)
        groups.send(adding(KEY_B))
        groups.mine()
        for _ in range(MAX_PAYLOAD_REQUESTS + 1):
            groups.clock.now += LONGEST_PAYLOAD_RETRY_SECONDS
            groups.a.work()
        groups.a.manager.asked.clear()
        groups.clock.now += LONGEST_PAYLOAD_RETRY_SECONDS
        groups.a.work()
        assert not groups.a.manager.asked

    def test_nothing_of_a_past_that_was_made_up(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        groups.store(5)
        assert groups.done(LOCK) == "0x1"
        groups.send(adding(KEY_C))
        (marker,) = groups.a.node.pooled
        key = marker.data[32:]
        true = groups.c.manager.payloads[key]
        lie = base64.b64encode(base64.b64decode(true.payload).replace(word(5), word(6)))
        assert lie != true.payload
        groups.c.manager.payloads[key] = ReceivedPayload(lie, true.sender, true.group_id)
        with captured_logs() as logs:
            groups.mine()
        assert "a group's history does not lead where it is said to" in [entry["event"] for entry in logs]
        (status,) = groups.c.privacy_controller.statuses.all()
        assert status.condition is GroupCondition.DIVERGED
        assert value(groups.c) == 0
        assert value(groups.a) == 5

    def test_nothing_of_a_strangers_past(self, groups: Groups) -> None:
        """C, no member, leaves B a past of the group from before there was one: it leads where C says."""
        own = private(BOB, 0, data=deploying(KEEPER), group=GROUP, private_from=KEY_C)
        early = groups.a.privacy_controller.sender.submit_marker(own, bytes(32))
        number = groups.mine().number
        block, hash_ = groups.b.node.chain.block_at(number), groups.b.node.chain.hash_at(number)
        assert block is not None
        assert hash_ is not None
        groups.make(KEY_A, KEY_B)
        rehydration = groups.b.privacy_controller.execution.processor.rehydration
        run, place = rehydration._create_executor(number), rehydration._place(early)
        assert place is not None
        records = run.block(block, hash_, [PrivateTask(place.index, own, GROUP)])
        past = PastTransaction(own, early, records.roots[GROUP][0].root)
        key = groups.c.manager.send(encode_history_payload([past]), KEY_C, [KEY_B])
        own_key = groups.c.manager.send(encode_versioned_payload(own, bytes(32)), KEY_C, [KEY_B])
        groups.a.privacy_controller.sender.submit_marker(own, own_key + key)
        with captured_logs() as logs:
            groups.mine()
        assert "a group's history ignored" in [entry["event"] for entry in logs]
        assert root(groups.b, hex(number)) == to_hex(EMPTY_TRIE_ROOT)

    @pytest.mark.parametrize("payload", [b"", b"no base64!", base64.b64encode(b"\xc0"), base64.b64encode(b"\xc1\xc0")])
    def test_what_is_no_past(self, groups: Groups, payload: bytes) -> None:
        groups.make(KEY_A)
        assert groups.done(LOCK) == "0x1"
        groups.send(adding(KEY_B))
        (marker,) = groups.a.node.pooled
        groups.b.manager.payloads[marker.data[32:]] = ReceivedPayload(payload, KEY_A, GROUP)
        with captured_logs() as logs:
            groups.mine()
        assert "a group's history ignored" in [entry["event"] for entry in logs]
        assert found(groups.b, KEY_B) == []
        assert found(groups.a, KEY_B) != []


class TestContradictingHistories:
    """What is told first of a group is taken over, and what comes later may contradict it. Only the operator can know."""

    @pytest.fixture
    def taken(self, groups: Groups) -> Groups:
        """C, a member, has told B a history of its own before A adds B."""
        groups.make(KEY_A, KEY_C)
        groups.deploy()
        groups.store(7)
        self.tell(groups, groups.b, invented(0, adding(KEY_C)), 1)
        assert status(groups.b) is GroupCondition.CURRENT
        groups.add(KEY_B)
        groups.store(9)
        assert (value(groups.a), value(groups.c), value(groups.b)) == (9, 9, 0)
        return groups

    def tell(self, groups: Groups, member: Member, past: PrivateTransaction, number: int) -> None:
        """C tells a member alone a history of one transaction, at the first marker of block `number`."""
        controller, manager = member.privacy_controller, member.manager
        block, hash_ = GroupRebuilder(controller._context, controller.execution.processor).block(number)
        executor = controller.execution.processor.create_executor(number)
        executor.begin_anew(GROUP)
        records = executor.block(block, hash_, [PrivateTask(0, past, GROUP)])
        told = PastTransaction(past, block.transactions[0].hash, records.roots[GROUP][0].root)
        addition = invented(1, adding(member.manager.key))
        keys = []
        for payload in (encode_versioned_payload(addition, bytes(32)), encode_history_payload([told])):
            keys.append(keccak256(payload))
            manager.payloads[keys[-1]] = ReceivedPayload(payload, KEY_C, bytes(32))
        groups.mine(create_marker(NodeKey.generate(), 0, addition, GroupMode.FLEXIBLE, b"".join(keys)))

    def test_the_group_is_not_current(self, taken: Groups) -> None:
        shown: Any
        (shown,) = taken.b.node.call("lac_privacyGroups")  # type: ignore[misc]
        assert shown["status"] == "diverged"
        assert shown["divergedFrom"] == [b64(KEY_A)]
        reopened = taken.b.reopen()
        assert [one.condition for one in reopened.statuses.all()] == [GroupCondition.DIVERGED]

    def test_comparing_roots_does_not_hide_it(self, taken: Groups) -> None:
        """In the false group the true owner is no member, and nobody but C is asked."""
        Comparison(taken).step(KEY_B)
        assert status(taken.b) is GroupCondition.DIVERGED

    def test_the_operator_accepts_the_true_one(self, taken: Groups) -> None:
        assert taken.b.node.call("lac_acceptGroupHistory", b64(GROUP), b64(KEY_A)) is True
        taken.b.work()
        assert value(taken.b) == 9
        assert root(taken.b) == root(taken.a) == root(taken.c)
        for block in range(1, taken.a.node.chain.head.header.number + 1):
            assert taken.b.root(GROUP, block) == taken.a.root(GROUP, block)
        assert status(taken.b) is GroupCondition.CURRENT
        assert found(taken.b, KEY_B) == found(taken.a, KEY_B) != []
        assert taken.store(11, via=taken.b) == "0x1"
        assert value(taken.a) == value(taken.b) == 11
        assert taken.b.node.call("lac_acceptGroupHistory", b64(GROUP), b64(KEY_A)) is False

    def test_a_group_of_the_same_id_that_a_stranger_made_before(self, groups: Groups) -> None:
        """Without any history: it is enough to know the id."""
        groups.make(KEY_A)
        groups.deploy()
        own = invented(0, adding(KEY_C, KEY_B))
        payload = encode_versioned_payload(own, bytes(32))
        groups.b.manager.payloads[keccak256(payload)] = ReceivedPayload(payload, KEY_C, bytes(32))
        groups.mine(create_marker(NodeKey.generate(), 0, own, GroupMode.FLEXIBLE, keccak256(payload)))
        groups.add(KEY_B)
        groups.store(9)
        assert status(groups.b) is GroupCondition.DIVERGED
        assert groups.b.node.call("lac_acceptGroupHistory", b64(GROUP), b64(KEY_A)) is True
        groups.b.work()
        assert root(groups.b) == root(groups.a)
        assert value(groups.b) == 9

    def test_a_false_one_is_dismissed(self, groups: Groups) -> None:
        """It changes nothing but the status, and does not come back by itself."""
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        groups.store(7)
        self.tell(groups, groups.b, invented(0, adding(KEY_C)), 1)
        assert (value(groups.b), status(groups.b)) == (7, GroupCondition.DIVERGED)
        assert groups.b.node.call("lac_dismissGroupHistory", b64(GROUP), b64(KEY_C)) is True
        assert status(groups.b) is GroupCondition.CURRENT
        for _ in range(MAX_PAYLOAD_REQUESTS + 1):
            groups.clock.now += LONGEST_PAYLOAD_RETRY_SECONDS
            groups.b.work()
        assert (root(groups.b), status(groups.b)) == (root(groups.a), GroupCondition.CURRENT)

    def test_one_that_does_not_lead_where_it_is_said_to_is_not_accepted(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        groups.store(7)
        self.tell(groups, groups.b, invented(0, adding(KEY_C)), 1)
        key = next(key for key, kept in groups.b.manager.payloads.items() if is_history(kept.payload))
        kept = groups.b.manager.payloads[key]
        history = decode_history_payload(kept.payload)
        lie = encode_history_payload([replace(past, root=bytes(32)) for past in history.past])
        groups.b.manager.payloads[key] = ReceivedPayload(lie, KEY_C, bytes(32))
        assert groups.b.node.call("lac_acceptGroupHistory", b64(GROUP), b64(KEY_C)) is True
        groups.b.work()
        assert (root(groups.b), status(groups.b)) == (root(groups.a), GroupCondition.DIVERGED)

    def test_no_more_than_some_are_kept(self, groups: Groups) -> None:
        database = groups.b.node.chain._database
        with database.write() as batch:
            for number in range(MAX_CONTRADICTING_HISTORIES + 5):
                teller = number.to_bytes(32)
                told = ContradictingHistory(GROUP, teller, teller, MarkerPlace(1, 0), teller, teller)
                ContradictingHistoryWriter(batch).add(told)
        with database.read() as snapshot:
            assert sum(1 for _ in ContradictingHistoryReader(snapshot).of_group(GROUP)) == MAX_CONTRADICTING_HISTORIES


STRANGER = NodeKey.from_private_key(keccak256(b"stranger"))


def invented(nonce: int, data: bytes) -> PrivateTransaction:
    """What C signs with an account of its own."""
    return private(STRANGER, nonce, to=PROXY_ADDRESS, data=data, group=GROUP, private_from=KEY_C)


def is_history(payload: bytes) -> bool:
    try:
        decode_history_payload(payload)
    except RlpError:
        return False
    return True


def status(member: Member) -> GroupCondition:
    (found,) = member.privacy_controller.statuses.all()
    return found.condition


class TestRemoving:
    def test_who_was_removed_sends_no_more(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        assert groups.done(removing(KEY_B)) == "0x1"
        transaction = private(BOB, 0, group=GROUP, data=deploying(KEEPER), private_from=KEY_B)
        assert refusal(groups.b, transaction) == NOT_THERE
        assert found(groups.b, KEY_B) == []

    def test_what_it_sends_all_the_same_is_not_carried_out(self, groups: Groups) -> None:
        """By a node that does not ask its contract, and has the others' version."""
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        assert groups.done(removing(KEY_B)) == "0x1"
        intruding = private(BOB, 1, group=GROUP, to=KEEPER_ADDRESS, data=word(9), private_from=KEY_B)
        payload = encode_versioned_payload(intruding, bytes.fromhex(str(version(groups))[2:]))
        sent = groups.b.privacy_controller.sender.submit_marker(
            intruding, groups.b.manager.send(payload, KEY_B, (KEY_A,))
        )
        groups.mine()
        assert receipt(groups.a, to_hex(sent))["status"] == "0x0"
        assert value(groups.a) == 0

    def test_who_is_added_again_has_what_it_missed(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        groups.store(5)
        assert groups.done(removing(KEY_B)) == "0x1"
        missed = groups.send(word(6), to=KEEPER_ADDRESS, by=BOB)
        groups.mine()
        assert (value(groups.a), value(groups.b)) == (6, 5)
        assert receipt(groups.b, missed) is None
        groups.add(KEY_B)
        assert value(groups.b) == 6
        assert receipt(groups.b, missed) == receipt(groups.a, missed)
        assert receipt(groups.b, missed)["status"] == "0x1"
        assert root(groups.a) == root(groups.b)
        assert groups.store(7, via=groups.b) == "0x1"

    def test_the_others_receive_without_it(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B, KEY_C)
        groups.deploy()
        assert groups.done(removing(KEY_B)) == "0x1"
        groups.send(word(6), to=KEEPER_ADDRESS, by=BOB)
        (marker,) = groups.a.node.pooled
        assert marker.data in groups.c.manager.payloads
        assert marker.data not in groups.b.manager.payloads


class TestUpgrading:
    IMPLEMENTATION = bytes.fromhex("5c60da1b")
    UPGRADE = bytes.fromhex("3659cfe6")

    def contract(self, groups: Groups) -> bytes:
        """The management contract once more, at an address of its own. It is locked, as a new one is."""
        code = next(account.code for account in contracts() if account.address == MANAGEMENT_ADDRESS)
        sent = groups.send(deploying(code), to=None, by=BOB)
        groups.mine()
        return bytes.fromhex(receipt(groups.a, sent)["contractAddress"][2:])

    def implementation(self, member: Member) -> str:
        question = {"to": to_hex(PROXY_ADDRESS), "data": to_hex(self.IMPLEMENTATION)}
        return str(member.node.call("priv_call", b64(GROUP), question, "latest"))

    def test_by_its_owner(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        other = self.contract(groups)
        assert groups.done(self.UPGRADE + word(other)) == "0x1"
        assert self.implementation(groups.a) == self.implementation(groups.b) == to_hex(word(other))
        assert found(groups.b, KEY_A, KEY_B) != []

    def test_not_by_another(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        other = self.contract(groups)
        assert groups.done(self.UPGRADE + word(other), by=BOB) == "0x0"
        assert self.implementation(groups.b) == to_hex(word(MANAGEMENT_ADDRESS))


class TestComparing:
    def test_who_came_late_agrees_with_who_was_there(self, groups: Groups) -> None:
        """Though it was not told of what failed before it came."""
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        assert groups.done(REVERTER, to=None, by=BOB) == "0x0"
        groups.add(KEY_C)
        groups.store(6, via=groups.c)
        comparison = Comparison(groups)
        assert comparison.step() == []
        assert comparison.conditions() == [GroupCondition.CURRENT] * 3
        root_replaced(
            groups.c, GROUP, groups.c.root(GROUP, groups.c.privacy_controller.execution.processor.progress.cursor - 1)
        )
        comparison.step(KEY_A, after=GROUP_COMPARE_INTERVAL_SECONDS)
        assert comparison.blamed(groups.a) == [KEY_C]

    def test_a_member_that_differs_is_named(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        before = groups.b.root(GROUP)
        groups.store(6)
        comparison = Comparison(groups)
        root_replaced(groups.b, GROUP, before)
        comparison.step()
        assert (comparison.blamed(groups.a), comparison.blamed(groups.b)) == ([KEY_B], [KEY_A])

    def test_who_was_removed_is_told_no_more_than_it_knew(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        knew = groups.a.node.chain.head.header.number
        assert groups.done(removing(KEY_B)) == "0x1"
        comparison = Comparison(groups)

        def told(number: int) -> object:
            question = StateRootQuery(GROUP, number, EMPTY_TRIE_ROOT)
            return comparison.agreements[KEY_A].answer(KEY_B, KEY_A, question, FOREVER)

        assert told(knew) is not None
        assert told(knew + 1) is None
        comparison.step()
        assert comparison.conditions() == [GroupCondition.CURRENT] * 2
