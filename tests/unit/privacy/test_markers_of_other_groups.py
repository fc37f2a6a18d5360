"""Histories of a stranger's group that name the markers of other groups: these groups do not change, and nothing of them is
told to others."""

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible.group_contract_queries import NO_VERSION
from lacnode.privacy.state.flexible.group_history import decode_history_payload
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, GroupMode, create_marker
from lacnode.privacy.state.private_transaction import encode_versioned_payload
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.flexible_groups import GROUP, KEEPER_ADDRESS, OTHER, Groups, adding, receipt
from tests.support.private_nodes import ALICE, BOB, KEY_A, KEY_B, KEY_C, private, word
from tests.unit.privacy.test_told_receipts import tell_of_another_group


@pytest.fixture
def groups() -> Groups:
    return Groups()


def late_of_the_stranger(groups: Groups) -> tuple[bytes, ReceivedPayload]:
    """Mine a marker of C's group whose payload B does not have yet. The payload and its key."""
    late = private(ALICE, 0, to=PROXY_ADDRESS, data=adding(KEY_C), group=OTHER, private_from=KEY_C)
    payload = encode_versioned_payload(late, NO_VERSION)
    key = keccak256(payload)
    groups.mine(create_marker(NodeKey.generate(), 0, late, GroupMode.FLEXIBLE, key))
    return key, ReceivedPayload(payload, KEY_C, bytes(32))


def test_are_not_executed_again_with_the_strangers_group(groups: Groups) -> None:
    """A late payload of C's group has it executed again from before the marker of the members."""
    groups.make(KEY_A, KEY_B)
    groups.deploy()
    key, late = late_of_the_stranger(groups)
    groups.done(word(6), to=KEEPER_ADDRESS, by=ALICE)
    stored = groups.send(word(7), to=KEEPER_ADDRESS, by=BOB)
    groups.mine()
    tell_of_another_group(groups, groups.b, stored)
    root = groups.b.root(GROUP)
    groups.b.manager.payloads[key] = late
    assert groups.b.privacy_controller.execution.repair.make_due(key)
    groups.b.work()
    assert groups.b.root(GROUP) == root == groups.a.root(GROUP)
    assert receipt(groups.b, stored) == receipt(groups.a, stored)


def test_are_not_given_to_new_members_of_the_strangers_group(groups: Groups) -> None:
    """B adds C to C's group, and sends the history of the group as C has told it."""
    groups.make(KEY_A, KEY_B)
    groups.deploy()
    stored = groups.send(word(7), to=KEEPER_ADDRESS, by=BOB)
    groups.mine()
    tell_of_another_group(groups, groups.b, stored)
    groups.send(adding(KEY_B, KEY_C), via=groups.b, group=OTHER)
    (marker,) = groups.b.node.pooled
    history = decode_history_payload(groups.c.manager.payloads[marker.data[32:]].payload)
    assert [past.private.group_id for past in history.past] == [OTHER]
