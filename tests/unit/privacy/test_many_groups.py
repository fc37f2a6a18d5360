"""Any stranger can make any number of groups with a node. What looks at all groups takes them in turn."""

import pytest

from lacnode.privacy.state.group_rotation import GroupRotation
from lacnode.privacy.state.group_statuses import COUNT_SECONDS, COUNTED_TOGETHER, GroupCondition, GroupStatuses
from lacnode.privacy.state.long_private_transactions import (
    LongPrivateTransaction,
    LongTransactionWriter,
)
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreWriter, StoredMarker
from tests.support.private_nodes import PrivateTestNetwork

GROUPS = [number.to_bytes(32) for number in range(1, 251)]


@pytest.fixture
def network() -> PrivateTestNetwork:
    """B has executed something for each of the groups."""
    network = PrivateTestNetwork()
    with network.b.node.chain._database.write() as batch:
        for number, group in enumerate(GROUPS):
            marker = StoredMarker(MarkerPlace(1, number), group, group, None, None)
            PrivateStoreWriter(batch).write_marker(group, marker)
    return network


class TestRotation:
    @pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 12])
    def test_every_group_has_its_turn_and_no_turn_has_more_than_some(self, count: int) -> None:
        groups = GROUPS[:count]
        rotation, seen = GroupRotation[bytes](4, lambda group: group), list[bytes]()
        for _ in range(4):
            turn = rotation.next_entries(lambda start: (group for group in groups if group >= start))
            assert len(turn) == min(4, count)
            assert len(set(turn)) == len(turn)
            seen += turn
        assert set(seen) == set(groups)


class TestHealth:
    def test_counts_so_many_groups_a_call_and_all_in_the_end(
        self, network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        statuses, looked_at, now = network.b.privacy_controller.statuses, list[bytes](), 0.0
        status = GroupStatuses._status

        def counted(self: GroupStatuses, stored: object, group_id: bytes, *rest: object) -> object:
            nonlocal now
            looked_at.append(group_id)
            now += COUNT_SECONDS
            return status(self, stored, group_id, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(GroupStatuses, "_status", counted)
        monkeypatch.setattr(statuses, "_clock", lambda: now)
        for _ in range(3):
            looked_at.clear()
            health = statuses.health()
            assert len(looked_at) <= COUNTED_TOGETHER
        assert health.groups[GroupCondition.CURRENT] == len(GROUPS)
        # The next count has begun and is not at its end: the last full one is told.
        assert statuses.health().groups[GroupCondition.CURRENT] == len(GROUPS)

    def test_is_that_of_now_where_one_look_is_enough(self, network: PrivateTestNetwork) -> None:
        statuses = network.b.privacy_controller.statuses
        assert statuses.health().groups[GroupCondition.WAITING] == 0
        with network.b.node.chain._database.write() as batch:
            LongTransactionWriter(batch).add(LongPrivateTransaction(GROUPS[7], MarkerPlace(1, 7), GROUPS[7]))
        assert statuses.health().groups[GroupCondition.WAITING] == 1
        assert len(statuses.all()) == len(GROUPS)


def test_groups_with_long_transactions_take_turns_and_a_known_senders_comes_first(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_execution = network.b.privacy_controller.execution.long_execution
    monkeypatch.setattr(
        long_execution, "_rotation", GroupRotation[LongPrivateTransaction](2, lambda first: first.group_id)
    )
    known, strangers = GROUPS[200], GROUPS[:5]
    with network.b.node.chain._database.write() as batch:
        for number, group in enumerate((*strangers, known)):
            long = LongPrivateTransaction(group, MarkerPlace(1, number), group, is_preferred=group == known)
            LongTransactionWriter(batch).add(long)
    long_execution._preempt({known: True})
    turns = [long_execution._candidates() for _ in range(3)]
    assert all(known in {first.group_id for first in turn} for turn in turns)
    assert {first.group_id for turn in turns for first in turn} == {*strangers, known}
    assert all(min(turn, key=long_execution._order).group_id == known for turn in turns)
