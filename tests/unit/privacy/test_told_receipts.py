"""Receipts of transactions from a history. A stranger's history may name the markers of other groups."""

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.group_history import PastTransaction, encode_history_payload
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.privacy_marker import GroupMode, create_marker
from lacnode.privacy.state.private_transaction import encode_versioned_payload
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.flexible_groups import GROUP, KEEPER_ADDRESS, OTHER, STRANGER, Groups, b64, receipt, value
from tests.support.private_nodes import BOB, KEEPER, KEY_A, KEY_B, KEY_C, Member, deploying, private, word


def tell_of_another_group(groups: Groups, member: Member, marker: str) -> None:
    """C tells `member` a history of a group of its own, whose one transaction is at `marker`."""
    context, processor = member.privacy_controller._context, member.privacy_controller.execution.processor
    place = context.history.transaction_location(from_hex(marker))
    assert place is not None
    own = private(STRANGER, 0, data=deploying(KEEPER), group=OTHER, private_from=KEY_C)
    block, hash_ = GroupRebuilder(context, processor).read_block(place.number)
    run = processor.create_executor(place.number)
    records = run.execute_block(block, hash_, [PrivateTask(place.index, own, OTHER)])
    past = PastTransaction(own, from_hex(marker), records.roots[OTHER][0].root)
    keys = []
    for payload in (encode_versioned_payload(own, bytes(32)), encode_history_payload([past])):
        keys.append(keccak256(payload))
        member.manager.payloads[keys[-1]] = ReceivedPayload(payload, KEY_C, bytes(32))
    groups.mine(create_marker(NodeKey.generate(), 0, own, GroupMode.FLEXIBLE, b"".join(keys)))
    assert member.root(OTHER) == records.roots[OTHER][0].root, "the history was taken over"


@pytest.fixture
def groups() -> Groups:
    return Groups()


def logs(member: Member) -> object:
    return member.node.call("priv_getLogs", b64(GROUP), {"fromBlock": "0x0"})


def test_of_a_member_do_not_change(groups: Groups) -> None:
    groups.make(KEY_A, KEY_B)
    groups.deploy()
    stored = groups.send(word(7), to=KEEPER_ADDRESS, by=BOB)
    groups.mine()
    tell_of_another_group(groups, groups.b, stored)
    assert receipt(groups.b, stored) == receipt(groups.a, stored)
    assert logs(groups.b) == logs(groups.a) != []


def test_of_a_refused_transaction_do_not_become_a_success(groups: Groups) -> None:
    groups.make(KEY_A, KEY_B)
    sent = groups.send(word(7), to=KEEPER_ADDRESS, by=BOB)
    groups.make(KEY_A, KEY_B, group=keccak256(b"a third group"))
    refused = receipt(groups.a, sent)
    tell_of_another_group(groups, groups.b, sent)
    assert receipt(groups.b, sent) == refused


def test_of_a_later_member_are_those_of_the_group(groups: Groups) -> None:
    """The stranger comes first: its history has the marker before the node is a member of the group."""
    groups.make(KEY_A)
    groups.deploy()
    stored = groups.send(word(7), to=KEEPER_ADDRESS, by=BOB)
    groups.mine()
    tell_of_another_group(groups, groups.b, stored)
    groups.add(KEY_B)
    assert value(groups.b) == 7
    assert logs(groups.b) == logs(groups.a) != []


def test_payloads_that_are_still_to_come_are_executed(groups: Groups) -> None:
    """The stranger names the marker of a payload that has not arrived at B."""
    groups.make(KEY_A, KEY_B)
    groups.deploy()
    stored = groups.send(word(7), to=KEEPER_ADDRESS, by=BOB)
    (marker,) = groups.a.node.pooled
    late = groups.b.manager.payloads.pop(marker.data)
    groups.mine()
    tell_of_another_group(groups, groups.b, stored)
    groups.b.manager.payloads[marker.data] = late
    assert groups.b.privacy_controller.execution.repair.make_due(marker.data)
    groups.b.work()
    assert value(groups.b) == value(groups.a) == 7
    assert groups.b.root(GROUP) == groups.a.root(GROUP)
