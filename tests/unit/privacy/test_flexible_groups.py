"""Flexible groups as wallets and members see them, by private transactions to their own contract."""

import math
import time

import pytest

from lacnode.evm.engine import CallLimitExceededError
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.state.flexible.flexible_groups import FlexibleGroups
from lacnode.privacy.state.flexible.group_contract_queries import Ask
from lacnode.privacy.state.flexible.group_contracts import (
    LOCK,
    UNLOCK,
)
from lacnode.privacy.state.flexible.group_contracts import create_group_accounts as contracts
from lacnode.privacy.state.flexible.group_search import (
    ALL_CONTRACTS_SECONDS,
    CONTRACT_ANSWER_SECONDS,
    LEAST_ANSWER_SECONDS,
)
from lacnode.privacy.state.flexible.silent_contracts import SILENCE_SECONDS, SilentContracts
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import (
    FLEXIBLE_PRIVACY_ADDRESS,
    MANAGEMENT_ADDRESS,
    PROXY_ADDRESS,
)
from lacnode.rpc.errors import RpcError
from tests.support.flexible_groups import (
    GROUP,
    KEEPER_ADDRESS,
    NOT_THERE,
    OTHER,
    Groups,
    NoSlices,
    SteppedClock,
    adding,
    b64,
    found,
    receipt,
    refusal,
    root,
    value,
    version,
)
from tests.support.private_nodes import (
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    Member,
    deploying,
    private,
    word,
)
from tests.support.root_comparison import Comparison


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
        contract_asker = flexible._contract_asker

        def asked(group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
            if group_id != GROUP:
                raise CallLimitExceededError("it loops")
            return contract_asker(group_id, number, deadline_seconds)

        monkeypatch.setattr(flexible, "_contract_asker", asked)
        assert [group["privacyGroupId"] for group in found(groups.a, KEY_A)] == [b64(GROUP)]
        monkeypatch.undo()
        flexible._search._silent._groups.clear()
        assert len(found(groups.a, KEY_A)) == 2

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
        flexible = groups.a.privacy_controller.groups
        assert isinstance(flexible, FlexibleGroups)
        flexible._search._silent._groups.clear()
        groups.mine()
        found(groups.a, KEY_A)
        assert limits[0] < CONTRACT_ANSWER_SECONDS / 4, "what earlier searches lost counts"
        limits.clear()
        groups.mine()
        clock.late += SILENCE_SECONDS + 1
        assert [group["privacyGroupId"] for group in found(groups.a, KEY_A)] == [b64(GROUP)]
        assert len(limits) == 6

    def test_are_searched_once_for_each_block(self, groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
        """Clients that ask again and again cost one search, and see what is new at once."""
        groups.make(KEY_A)
        flexible, asked = groups.a.privacy_controller.groups, list[bytes]()
        assert isinstance(flexible, FlexibleGroups)
        contract_asker = flexible._contract_asker

        def counted(group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
            asked.append(group_id)
            return contract_asker(group_id, number, deadline_seconds)

        monkeypatch.setattr(flexible, "_contract_asker", counted)
        assert len(found(groups.a, KEY_A)) == len(found(groups.a, KEY_A)) == 1
        assert asked == [GROUP]
        groups.make(KEY_A, group=bytes(31) + b"\x07")
        assert len(found(groups.a, KEY_A)) == 2

    def test_too_many_groups_to_ask_in_time_are_an_error(self, groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
        """And not a list without some of them."""
        groups.make(KEY_A)
        groups.make(KEY_A, group=bytes(31) + b"\x07")
        clock = SteppedClock()
        self.with_silent_contracts(groups, monkeypatch, clock, slow_seconds=ALL_CONTRACTS_SECONDS + 1)
        with pytest.raises(CallLimitExceededError):
            found(groups.a, KEY_A)
        assert len(found(groups.a, KEY_A)) == 2, "the search goes on where the last one ended"

    def with_silent_contracts(
        self, groups: Groups, monkeypatch: pytest.MonkeyPatch, clock: "SteppedClock", slow_seconds: float = 0.0
    ) -> list[float]:
        """All contracts but that of GROUP take the time that they have, or `slow_seconds` and answer; what they had."""
        flexible, limits = groups.a.privacy_controller.groups, list[float]()
        assert isinstance(flexible, FlexibleGroups)
        contract_asker = flexible._contract_asker

        def asked(group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
            if group_id != GROUP:
                limits.append(deadline_seconds - clock())
                clock.late += slow_seconds or limits[-1]
                if not slow_seconds:
                    raise CallLimitExceededError("it loops")
            return contract_asker(group_id, number, math.inf)

        monkeypatch.setattr(flexible, "_contract_asker", asked)
        monkeypatch.setattr("lacnode.privacy.state.flexible.group_search.time", clock)
        monkeypatch.setattr(flexible._search, "_silent", SilentContracts(clock))
        return limits

    def test_members_for_a_comparison_are_named_by_the_deadline(self, groups: Groups) -> None:
        groups.make(KEY_A, KEY_B)
        flexible = groups.a.privacy_controller.groups
        assert isinstance(flexible, FlexibleGroups)
        membership = GroupMembership(groups.a.privacy_controller._context, flexible)
        number = groups.a.node.chain.head.header.number
        assert membership.members_at(GROUP, number, time.monotonic() - 1) is None
        assert membership.members_at(GROUP, number, math.inf) == frozenset((KEY_A, KEY_B))

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
        assert (
            groups.b.privacy_controller.execution.processor.progress.last_executed_block
            == groups.b.node.chain.head.header.number
        )
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
