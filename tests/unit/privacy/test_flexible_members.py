"""The members of a flexible group: added with the history of the group, removed, and compared with each other."""

import base64

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.comparison_plans import GROUP_COMPARE_INTERVAL_SECONDS
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.group_contract_queries import NO_VERSION
from lacnode.privacy.state.flexible.group_contracts import (
    LOCK,
)
from lacnode.privacy.state.flexible.group_history import (
    PastTransaction,
    encode_history_payload,
)
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import GroupMode, create_marker
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import decode_versioned_payload, encode_versioned_payload
from lacnode.privacy.state.processor import LONGEST_PAYLOAD_RETRY_SECONDS, MAX_PAYLOAD_REQUESTS
from lacnode.privacy.state_root_queries import StateRootQuery
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.flexible_groups import (
    GROUP,
    KEEPER_ADDRESS,
    NOT_THERE,
    Groups,
    adding,
    found,
    receipt,
    refusal,
    removing,
    root,
    value,
    version,
)
from tests.support.logs import captured_logs
from tests.support.private_nodes import (
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    REVERTER,
    Member,
    deploying,
    private,
    root_replaced,
    word,
)
from tests.support.root_comparison import FOREVER, Comparison


@pytest.fixture
def groups() -> Groups:
    return Groups()


def marker_of(payload: bytes, keys: bytes) -> Transaction:
    """A marker of a new account for a payload of a flexible group."""
    transaction, _ = decode_versioned_payload(payload)
    return create_marker(NodeKey.generate(), 0, transaction, GroupMode.FLEXIBLE, keys)


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
        assert groups.c.privacy_controller.execution.repair.make_due(marker.data[32:])
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

    def test_histories_that_strangers_name_are_asked_for_up_to_a_bound(
        self, groups: Groups, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each marker has the same refused payload, and another key of a history that no manager has."""
        monkeypatch.setattr("lacnode.privacy.state.absent_marker_limit.MAX_ABSENT_MARKERS", 20)
        late, refused = self.refused_of_c(0), self.refused_of_c(1)
        groups.mine(marker_of(late, keccak256(late)))
        groups.b.manager.payloads[keccak256(refused)] = ReceivedPayload(refused, KEY_C, bytes(32))
        for start in range(0, 60, 10):
            histories = [keccak256(b"history %d" % number) for number in range(start, start + 10)]
            groups.mine(*(marker_of(refused, keccak256(refused) + history) for history in histories))
        assert 0 < self.absent_at(groups.b) <= 20
        # All of the group's markers are executed again.
        groups.b.manager.payloads[keccak256(late)] = ReceivedPayload(late, KEY_C, bytes(32))
        assert groups.b.privacy_controller.execution.repair.make_due(keccak256(late))
        groups.b.work()
        assert 0 < self.absent_at(groups.b) <= 20

    def refused_of_c(self, nonce: int) -> bytes:
        """A payload that the contract of the group refuses."""
        sent = private(BOB, nonce, to=KEEPER_ADDRESS, data=word(5), group=GROUP, private_from=KEY_C)
        return encode_versioned_payload(sent, NO_VERSION)

    def absent_at(self, member: Member) -> int:
        with member.node.chain._database.read() as snapshot:
            return sum(1 for _ in PrivateStoreReader(snapshot).absent_markers())

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
        records = run.execute_block(block, hash_, [PrivateTask(place.index, own, GROUP)])
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
            groups.c,
            GROUP,
            groups.c.root(GROUP, groups.c.privacy_controller.execution.processor.progress.last_executed_block - 1),
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
