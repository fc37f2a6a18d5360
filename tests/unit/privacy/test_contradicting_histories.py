"""Two histories of one flexible group: the group waits until the operator accepts the true one."""

from dataclasses import replace
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpError
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.contradicting_histories import (
    MAX_CONTRADICTING_HISTORIES,
    ContradictingHistory,
    ContradictingHistoryReader,
    ContradictingHistoryWriter,
)
from lacnode.privacy.state.flexible.group_history import (
    PastTransaction,
    decode_history_payload,
    encode_history_payload,
)
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import (
    GroupMode,
    create_marker,
)
from lacnode.privacy.state.private_store import AbsentMarker, MarkerPlace, PrivateStoreWriter
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    encode_versioned_payload,
)
from lacnode.privacy.state.processor import LONGEST_PAYLOAD_RETRY_SECONDS, MAX_PAYLOAD_REQUESTS
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.flexible_groups import GROUP, Groups, adding, b64, found, invented, root, value
from tests.support.private_nodes import (
    KEY_A,
    KEY_B,
    KEY_C,
    Member,
)
from tests.support.root_comparison import Comparison


@pytest.fixture
def groups() -> Groups:
    return Groups()


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
        block, hash_ = GroupRebuilder(controller._context, controller.execution.processor).read_block(number)
        executor = controller.execution.processor.create_executor(number)
        executor.begin_group_empty(GROUP)
        records = executor.execute_block(block, hash_, [PrivateTask(0, past, GROUP)])
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
            assert (
                sum(1 for _ in ContradictingHistoryReader(snapshot).not_dismissed_of_group(GROUP))
                == MAX_CONTRADICTING_HISTORIES
            )


class TestMarkersOwnPayload:
    """B waits for the payload of a marker that also announces a history, which the operator decides about."""

    HISTORY, PLACE = keccak256(b"a history"), MarkerPlace(1, 0)

    @pytest.fixture
    def own(self, groups: Groups) -> bytes:
        """The key of the payload."""
        groups.make(KEY_A)
        block = groups.b.node.chain.block_at(1)
        assert block is not None
        (marker,) = block.transactions
        told = ContradictingHistory(GROUP, KEY_C, self.HISTORY, self.PLACE, bytes(32), bytes(32))
        with groups.b.node.chain._database.write() as batch:
            ContradictingHistoryWriter(batch).add(told)
        return marker.data

    @pytest.mark.parametrize("method", ["lac_acceptGroupHistory", "lac_dismissGroupHistory"])
    def test_is_executed_when_it_arrives(self, groups: Groups, own: bytes, method: str) -> None:
        assert groups.b.node.call(method, b64(GROUP), b64(KEY_C)) is True
        groups.b.manager.payloads[own] = groups.a.manager.payloads[own]
        assert groups.b.privacy_controller.execution.repair.make_due(own)
        groups.b.work()
        assert groups.b.root(GROUP) == groups.a.root(GROUP) != EMPTY_TRIE_ROOT

    def test_the_dismissed_history_is_not_waited_for(self, groups: Groups, own: bytes) -> None:
        with groups.b.node.chain._database.write() as batch:
            waiting = AbsentMarker(self.PLACE, keccak256(b"marker"), self.HISTORY, False, 0, 0)
            PrivateStoreWriter(batch).write_absent(waiting)
        assert groups.b.node.call("lac_dismissGroupHistory", b64(GROUP), b64(KEY_C)) is True
        assert not groups.b.privacy_controller.execution.repair.make_due(self.HISTORY)


def is_history(payload: bytes) -> bool:
    try:
        decode_history_payload(payload)
    except RlpError:
        return False
    return True


def status(member: Member) -> GroupCondition:
    (found,) = member.privacy_controller.statuses.all()
    return found.condition
