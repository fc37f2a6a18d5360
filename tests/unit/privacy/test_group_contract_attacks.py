"""Attacks on the contract of a flexible group, by members, by strangers and by the account that owns it."""

import pytest

from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.privacy.state.flexible.group_contracts import LOCK, UNLOCK
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS
from lacnode.privacy.state.private_transaction import encode_versioned_payload
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.flexible_groups import GROUP, Groups, adding, b64, found, receipt, removing, root, version
from tests.support.private_nodes import ALICE, BOB, KEY_A, KEY_B, KEY_C, private


@pytest.fixture
def groups() -> Groups:
    """A group of A and B, which Alice's account owns."""
    groups = Groups()
    groups.make(KEY_A, KEY_B)
    return groups


def members(groups: Groups) -> set[str]:
    (group,) = found(groups.b, KEY_B)
    return set(group["members"])


class TestAnotherAccount:
    """Of a member, who may send into the group."""

    @pytest.mark.parametrize(
        "call", [LOCK, removing(KEY_A), removing(KEY_B), adding(KEY_C)], ids=["lock", "remove A", "remove B", "add C"]
    )
    def test_changes_nothing(self, groups: Groups, call: bytes) -> None:
        before = root(groups.a)
        assert groups.done(call, by=BOB, via=groups.b) == "0x0"
        assert root(groups.a) == root(groups.b) == before
        assert members(groups) == {b64(KEY_A), b64(KEY_B)}

    @pytest.mark.parametrize("call", [UNLOCK, adding(KEY_C)], ids=["unlock", "add C"])
    def test_changes_nothing_while_the_owner_adds_members(self, groups: Groups, call: bytes) -> None:
        assert groups.done(LOCK) == "0x1"
        assert groups.done(call, by=BOB, via=groups.b) == "0x0"
        assert groups.done(UNLOCK) == "0x1"
        assert members(groups) == {b64(KEY_A), b64(KEY_B)}


class TestStrangers:
    @pytest.mark.parametrize("is_locked", [False, True])
    def test_do_not_add_themselves(self, groups: Groups, is_locked: bool) -> None:
        """C knows the id and the version, and pushes its payload to both members."""
        if is_locked:
            assert groups.done(LOCK) == "0x1"
        before = root(groups.a)
        one = private(BOB, 0, to=PROXY_ADDRESS, data=adding(KEY_C), group=GROUP, private_from=KEY_C)
        payload = ReceivedPayload(encode_versioned_payload(one, from_hex(str(version(groups)))), KEY_C, GROUP)
        for member in groups.members:
            member.manager.payloads[bytes(32)] = payload
        marker = to_hex(groups.c.privacy_controller.sender.submit_marker(one, bytes(32)))
        groups.mine()
        assert receipt(groups.a, marker)["status"] == receipt(groups.b, marker)["status"] == "0x0"
        assert root(groups.a) == root(groups.b) == before
        assert members(groups) == {b64(KEY_A), b64(KEY_B)}


class TestTheOwner:
    def test_that_removes_its_own_key_brings_it_back_through_another_member(self, groups: Groups) -> None:
        assert groups.done(removing(KEY_A)) == "0x1"
        assert members(groups) == {b64(KEY_B)}
        assert groups.done(LOCK, by=ALICE, via=groups.b) == "0x1"
        assert groups.done(adding(KEY_A), by=ALICE, via=groups.b) == "0x1"
        assert members(groups) == {b64(KEY_A), b64(KEY_B)}
        assert root(groups.a) == root(groups.b)

    def test_that_locks_the_group_for_ever_keeps_no_other_group_waiting(self, groups: Groups) -> None:
        assert groups.done(LOCK) == "0x1"
        assert groups.done(b"", to=b"\x55" * 20, by=BOB, via=groups.b) == "0x0"
        other = bytes(31) + b"\x07"
        groups.make(KEY_A, KEY_B, group=other)
        assert {group["privacyGroupId"] for group in found(groups.b, KEY_B)} == {b64(GROUP), b64(other)}
