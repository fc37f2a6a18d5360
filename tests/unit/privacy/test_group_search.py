"""Searches for flexible groups while strangers have made any number of them, with contracts of any kind."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from lacnode.evm.engine import CallLimitExceededError
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible import group_search, known_members
from lacnode.privacy.state.flexible.flexible_group import FlexibleGroup
from lacnode.privacy.state.flexible.group_search import MAX_UNANSWERED_SEARCHES, GroupSearch
from lacnode.privacy.state.flexible.known_members import KnownMembers
from lacnode.privacy.state.flexible.silent_contracts import SilentContracts
from lacnode.privacy.state.private_records import MarkerRoot
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreWriter, StoredMarker
from tests.support.private_nodes import KEY_A, KEY_B, KEY_C, PrivateTestNetwork

STRANGERS = [number.to_bytes(4) + bytes(28) for number in range(2_000)]
OWN = b"\xff" * 32
"""The highest id: a search that begins with the lowest one reaches it last."""

ANSWER_SECONDS = 0.003


@dataclass
class Stage:
    """A search of B, whose groups exist by their roots alone, with contracts that the test answers for."""

    now: float = 1_000.0
    asked: list[bytes] = field(default_factory=list)
    answer_seconds: dict[bytes, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        context = PrivateTestNetwork().b.privacy_controller._context
        self.database = context.database
        self.members: dict[bytes, tuple[bytes, ...]] = {OWN: (KEY_A, KEY_B)}
        self.search = GroupSearch(context, self._find)
        self.search._silent = SilentContracts(self.monotonic)
        self.search._known = KnownMembers((KEY_B,))

    def monotonic(self) -> float:
        return self.now

    def change(self, groups: Sequence[bytes], root: bytes) -> None:
        """Give the groups a new state root."""
        with self.database.write() as batch:
            for group in groups:
                writer = PrivateStoreWriter(batch)
                writer.write_marker(group, StoredMarker(MarkerPlace(0, 0), root, group, None, None))
                writer.write_roots(0, bytes(32), group, (MarkerRoot(root, root),))

    def _find(self, group_id: bytes, until_seconds: float) -> FlexibleGroup:
        self.asked.append(group_id)
        wanted = self.answer_seconds.get(group_id, ANSWER_SECONDS)
        if self.now + wanted > until_seconds:
            self.now = until_seconds
            raise CallLimitExceededError("it is slow")
        self.now += wanted
        return FlexibleGroup(group_id, self.members.get(group_id, (KEY_C, KEY_B)))

    def find(self) -> list[bytes]:
        self.asked.clear()
        return [group.id for group in self.search.find_all()]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(group_search, "time", stage)
    stage.change([*STRANGERS, OWN], keccak256(b"first"))
    return stage


class TestManyGroups:
    def test_a_search_goes_on_where_the_last_one_ended(self, stage: Stage) -> None:
        with pytest.raises(CallLimitExceededError):
            stage.find()
        assert OWN not in stage.asked
        assert stage.find() == [*STRANGERS, OWN]
        assert len(stage.asked) < len(STRANGERS) / 2
        assert (stage.find(), stage.asked) == ([*STRANGERS, OWN], [])

    def test_a_group_with_an_own_key_comes_first(self, stage: Stage) -> None:
        stage.members.update(dict.fromkeys(STRANGERS, (KEY_C,)))
        for _ in range(2):
            with_errors(stage)
        # A search reaches 500 of the 2,000 groups, so the next one would not reach the highest id either.
        stage.answer_seconds.update(dict.fromkeys(STRANGERS, 0.01))
        stage.change(STRANGERS, keccak256(b"second"))
        assert stage.find() == [*STRANGERS, OWN]
        stage.members[OWN] = (KEY_A, KEY_B, KEY_C)
        stage.change([OWN], keccak256(b"third"))
        found = {group.id: group for group in stage.search.find_all()}
        assert found[OWN].members == (KEY_A, KEY_B, KEY_C), "though the last search left strangers' groups"

    def test_strangers_that_change_all_their_groups_do_not_hide_the_own_one(self, stage: Stage) -> None:
        for _ in range(2):
            with_errors(stage)
        for number in range(4):
            stage.change(STRANGERS, keccak256(b"change %d" % number))
            assert OWN in stage.find()

    def test_contracts_that_are_slow_or_silent_end_the_errors_after_some_searches(self, stage: Stage) -> None:
        """Each answers within a time limit of its own. All together would take hours."""
        stage.answer_seconds.update(dict.fromkeys(STRANGERS, 0.09))
        for _ in range(MAX_UNANSWERED_SEARCHES):
            with pytest.raises(CallLimitExceededError):
                stage.find()
        assert 0 < len(stage.find()) < len(STRANGERS)

    def test_slow_answers_shorten_the_time_of_the_next_ones(self, stage: Stage) -> None:
        stage.answer_seconds.update(dict.fromkeys(STRANGERS, 0.9))
        with pytest.raises(CallLimitExceededError):
            stage.find()
        assert len(stage.asked) > 20

    def test_groups_without_a_state_are_not_asked(self, stage: Stage) -> None:
        failed = [b"\xfe" * 28 + number.to_bytes(4) for number in range(2_000)]
        with stage.database.write() as batch:
            for group in failed:
                PrivateStoreWriter(batch).write_marker(group, StoredMarker(MarkerPlace(0, 0), group, group, None, None))
        with_errors(stage)
        assert stage.find() == [*STRANGERS, OWN]
        assert not set(stage.asked) & set(failed)

    def test_reading_the_groups_is_within_the_time_limit(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        for _ in range(2):
            with_errors(stage)
        begin, read = stage.now, stage.search._with_roots

        def slow(*arguments: object) -> object:
            stage.now += 3.0
            return read(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(stage.search, "_with_roots", slow)
        assert OWN in stage.find()
        assert stage.now - begin < 10.0


class TestBusySearch:
    def test_other_searches_leave_what_they_found_last(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tenant can call without end, and each of its calls may take the whole time."""
        with_errors(stage)
        found = stage.find()
        assert OWN in found
        monkeypatch.setattr(group_search, "ALL_CONTRACTS_SECONDS", 0.01)
        with stage.search._lock:
            assert stage.find() == found
        assert not stage.asked

    def test_after_a_start_there_is_an_error(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(group_search, "ALL_CONTRACTS_SECONDS", 0.01)
        with stage.search._lock, pytest.raises(CallLimitExceededError):
            stage.find()


def with_errors(stage: Stage) -> None:
    """One search, which may be cut off."""
    try:
        stage.find()
    except CallLimitExceededError:
        return


class TestKnownMembers:
    def test_the_largest_lists_are_dropped_and_not_asked_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(known_members, "MAX_MEMBERS_BYTES", 100_000)
        known = KnownMembers((KEY_B,))
        known.add(OWN, b"root", (KEY_A, KEY_B))
        for number in range(50):
            known.add(number.to_bytes(32), b"root", (KEY_B,) * 500)
        assert OWN in {group.id for group in known.groups()}
        assert len(known.groups()) <= 3
        assert all(known.state_root_when_asked(number.to_bytes(32)) == b"root" for number in range(50))

    def test_foreign_groups_are_dropped_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(known_members, "MAX_KNOWN_GROUPS", 100)
        known = KnownMembers((KEY_B,))
        known.add(OWN, b"root", (KEY_A, KEY_B))
        for number in range(250):
            known.add(number.to_bytes(32), b"root", (KEY_C,))
        assert known.state_root_when_asked(OWN) == b"root"
        assert len(known.groups()) <= 100

    def test_a_removed_group_leaves_its_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(known_members, "MAX_MEMBERS_BYTES", 1_000)
        known = KnownMembers(())
        for number in range(100):
            known.add(OWN, number.to_bytes(32), (KEY_A,) * 5)
            known.remove(OWN)
        known.add(OWN, b"root", (KEY_A,) * 5)
        assert len(known.groups()) == 1
