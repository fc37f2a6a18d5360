"""Histories of a flexible group that come to a node which is a member already. Nobody honest sends one with anything new."""

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.group_contracts import LOCK
from lacnode.privacy.state.flexible.group_history import GroupHistory, PastTransaction, encode_history_payload
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, GroupMode, create_marker
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_versioned_payload
from lacnode.privacy.transaction_manager import ReceivedPayload
from lacnode.rate_limited_log import RateLimitedLog
from tests.support.flexible_groups import (
    GROUP,
    KEEPER_ADDRESS,
    OTHER,
    STRANGER,
    Groups,
    adding,
    b64,
    receipt,
    removing,
    root,
    value,
)
from tests.support.logs import captured_logs
from tests.support.private_nodes import KEY_A, KEY_B, KEY_C, Member, private, word


def storing(number: int) -> PrivateTransaction:
    """A private transaction that C makes for the group by itself."""
    return private(STRANGER, 0, to=KEEPER_ADDRESS, data=word(number), group=GROUP, private_from=KEY_C)


def junk_marker() -> Transaction:
    """A marker of no payload. Any account can send one."""
    return create_marker(NodeKey.generate(), 0, storing(0), GroupMode.FLEXIBLE, keccak256(b"junk"))


def told_by_c(member: Member, past: list[PastTransaction]) -> Transaction:
    """Give the manager of `member` a history from C, and return the marker that announces it."""
    addition = private(STRANGER, 5, to=PROXY_ADDRESS, data=adding(KEY_A), group=GROUP, private_from=KEY_C)
    keys = []
    for payload in (encode_versioned_payload(addition, bytes(32)), encode_history_payload(past)):
        keys.append(keccak256(payload))
        member.manager.payloads[keys[-1]] = ReceivedPayload(payload, KEY_C, bytes(32))
    return create_marker(NodeKey.generate(), 0, addition, GroupMode.FLEXIBLE, b"".join(keys))


def continued(groups: Groups, written: PrivateTransaction, marker: Transaction, number: int) -> list[PastTransaction]:
    """What C knows: the last root of the group, and the root after `written` at `marker` in block `number`."""
    controller = groups.c.privacy_controller
    context, processor = controller._context, controller.execution.processor
    block, hash_ = GroupRebuilder(context, processor).read_block(number)
    index = [transaction.hash for transaction in block.transactions].index(marker.hash)
    task = PrivateTask(index, written, GROUP)
    records = processor.create_executor(number).execute_block(block, hash_, [task])
    with context.database.read() as snapshot:
        stored = PrivateStoreReader(snapshot)
        last = next(stored.changed_blocks_down_to(GROUP, 0))
        known = stored.roots_in_block(context.history.hash_at(last) or b"", GROUP)[-1]
    return [
        PastTransaction(written, known.marker_hash, known.root),
        PastTransaction(written, marker.hash, records.roots[GROUP][-1].root),
    ]


class TestWriting:
    @pytest.mark.parametrize(
        ("knows_own_keys", "is_removed"),
        [
            pytest.param(True, True, id="removed"),
            pytest.param(False, True, id="removed-own-keys-unknown"),
            pytest.param(True, False, id="member"),
        ],
    )
    def test_is_not_possible_by_a_history(self, knows_own_keys: bool, is_removed: bool) -> None:
        """The contract is not asked for the transactions of a history: C would write at A alone, past lock and removal."""
        groups = Groups(knows_own_keys=knows_own_keys)
        groups.make(KEY_A, KEY_B, KEY_C)
        groups.deploy()
        assert groups.store(7) == "0x1"
        if is_removed:
            assert groups.done(removing(KEY_C)) == "0x1"
        marker = junk_marker()
        number = groups.mine(marker).number
        groups.mine(told_by_c(groups.a, continued(groups, storing(666), marker, number)))
        assert (value(groups.a), root(groups.a)) == (value(groups.b), root(groups.b))
        assert value(groups.a) == 7
        (status,) = groups.a.privacy_controller.statuses.all()
        assert status.condition is GroupCondition.DIVERGED
        assert groups.a.node.call("lac_dismissGroupHistory", b64(GROUP), b64(KEY_C)) is True
        assert groups.store(8) == "0x1"
        assert (value(groups.a), value(groups.b)) == (8, 8)

    def test_who_was_removed_learns_what_it_missed(self) -> None:
        groups = Groups(knows_own_keys=True)
        groups.make(KEY_A, KEY_B)
        groups.deploy()
        groups.store(5)
        assert groups.done(removing(KEY_B)) == "0x1"
        groups.store(6)
        groups.add(KEY_B)
        assert value(groups.b) == 6
        assert root(groups.a) == root(groups.b)


class TestMarkersOfARefusedTransaction:
    """Any account can send thousands of them."""

    @pytest.fixture
    def groups(self) -> Groups:
        groups = Groups()
        groups.make(KEY_A, KEY_B)
        return groups

    @pytest.fixture
    def addition(self, groups: Groups) -> PrivateTransaction:
        """C, no member, adds itself. The manager of B has the payload."""
        addition = private(
            STRANGER, 0, to=PROXY_ADDRESS, data=adding(KEY_C), group=GROUP, private_from=KEY_C, gas=100_000
        )
        groups.b.manager.payloads[self.key(addition)] = ReceivedPayload(self.payload(addition), KEY_C, bytes(32))
        return addition

    def payload(self, addition: PrivateTransaction) -> bytes:
        return encode_versioned_payload(addition, bytes(32))

    def key(self, addition: PrivateTransaction) -> bytes:
        return keccak256(self.payload(addition))

    def events(self, groups: Groups, addition: PrivateTransaction, keys: bytes) -> list[str]:
        """What is logged when five markers with the data `keys` are mined."""
        markers = [create_marker(NodeKey.generate(), 0, addition, GroupMode.FLEXIBLE, keys) for _ in range(5)]
        with captured_logs() as logs:
            groups.mine(*markers)
        return [entry["event"] for entry in logs]

    def test_with_its_own_key_in_place_of_a_history_announce_none(
        self, groups: Groups, addition: PrivateTransaction
    ) -> None:
        """The group would be executed again every 30 s, for ever."""
        events = self.events(groups, addition, 2 * self.key(addition))
        assert "a group's history ignored" not in events
        groups.clock.now += 60
        groups.b.work()
        with groups.b.node.chain._database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            assert not list(stored.absent_markers())
            assert stored.revision(GROUP) == 0

    def test_have_one_line_in_the_log(
        self, groups: Groups, addition: PrivateTransaction, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.execution._log", RateLimitedLog("privacy", lambda: 0.0))
        events = self.events(groups, addition, self.key(addition))
        assert events.count("private transaction not let in") == 1

    def test_with_a_useless_history_have_one_line_about_it(self, groups: Groups, addition: PrivateTransaction) -> None:
        useless = keccak256(b"useless")
        groups.b.manager.payloads[useless] = ReceivedPayload(b"no base64!", KEY_C, bytes(32))
        events = self.events(groups, addition, self.key(addition) + useless)
        assert events.count("a group's history ignored") == 1


class TestTime:
    """A history may name every marker of the chain. To find them takes minutes."""

    def test_ends_with_the_slice(self) -> None:
        groups = Groups()
        groups.make(KEY_A)
        marker = junk_marker()
        number = groups.mine(marker).number
        past = [PastTransaction(storing(1), marker.hash, bytes(32))] * 2
        announced = told_by_c(groups.a, past)
        rehydration = groups.a.privacy_controller.execution.processor.rehydration
        with pytest.raises(BudgetExceededError):
            rehydration.take_over_history(announced, number + 1, GROUP, ExecutionBudget(0.0))

    def test_is_not_spent_on_a_block_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        groups = Groups()
        groups.make(KEY_A)
        markers = [junk_marker() for _ in range(3)]
        number = groups.mine(*markers).number
        block = groups.a.node.chain.block_at(number)
        assert block is not None
        past = [PastTransaction(storing(1), transaction.hash, bytes(32)) for transaction in block.transactions]
        chain, read = groups.a.node.chain, list[bytes]()
        block_of = chain.block_of

        def count(hash_: bytes) -> Block | None:
            read.append(hash_)
            return block_of(hash_)

        monkeypatch.setattr(chain, "block_of", count)
        rehydration = groups.a.privacy_controller.execution.processor.rehydration
        assert len(rehydration._placed(GroupHistory(GROUP, tuple(past)), number + 1, ExecutionBudget())) == 3
        assert len(read) == 1

    def test_is_not_spent_on_histories_of_other_groups(self) -> None:
        """Each of them may have 15 MB, and any stranger can send them."""
        groups = Groups()
        for group in (GROUP, OTHER):
            groups.make(KEY_A, group=group)
        first = groups.deploy()
        assert groups.done(LOCK, group=OTHER) == "0x1"
        groups.send(adding(KEY_C), group=OTHER)
        (marker,) = groups.a.node.pooled
        groups.mine()
        groups.add(KEY_C)
        groups.c.manager.asked.clear()
        assert receipt(groups.c, first) == receipt(groups.a, first)
        assert marker.data[32:] not in groups.c.manager.asked
