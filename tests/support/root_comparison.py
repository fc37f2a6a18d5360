"""Members of a stage whose nodes ask each other for state roots, by a call: the real comparison without sockets."""

from collections.abc import Callable, Mapping, Sequence

from lacnode.privacy.state.comparison_plans import MIN_COMPARE_INTERVAL_SECONDS
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.state_root_comparison import StateRootComparison
from lacnode.privacy.state_root_queries import GroupState, StateRootQuery
from tests.support.logs import logs_of_this_thread
from tests.support.private_nodes import Member, PrivateTestNetwork

FOREVER = float("inf")
DIFFERS = "a group's private state is not the same at another member"
AGREES = "a group's members agree again"


class Comparison:
    """`silent` answer nobody; `lies` change an answer."""

    def __init__(self, stage: PrivateTestNetwork) -> None:
        self.stage = stage
        self.now = 1000.0
        self.silent: set[bytes] = set()
        self.lies: dict[bytes, Callable[[GroupState], GroupState]] = {}
        self.asked: list[tuple[bytes, bytes, StateRootQuery]] = []
        self.agreements = {member.manager.key: self.agreement(member) for member in stage.members}

    def agreement(self, member: Member, cursor: Callable[[], int] | None = None) -> StateRootComparison:
        """A member's side of it, anew; `cursor` says how far it has executed, where that is not its room's."""
        context = member.privacy_controller._context
        membership = GroupMembership(context, member.privacy_controller.groups)
        own = [key for key, manager in self.stage.managers.items() if manager is member.manager]
        chair = MemberStateRootClient(self, own)
        reached = cursor or (lambda: member.privacy_controller.execution.processor.progress.last_executed_block)
        return StateRootComparison(context, membership, reached, chair, lambda: self.now)

    def step(self, *keys: bytes, after: float = MIN_COMPARE_INTERVAL_SECONDS) -> list[Mapping[str, object]]:
        """Have members compare, all of them if none are named; what they log."""
        self.now += after
        with logs_of_this_thread() as logs:
            for key in keys or self.agreements:
                self.agreements[key].step()
        return [entry for entry in logs if entry["event"] in (DIFFERS, AGREES)]

    def conditions(self) -> list[GroupCondition]:
        """How the group stands at A, B and C."""
        return [
            status.condition for member in self.stage.members for status in member.privacy_controller.statuses.all()
        ]

    def blamed(self, member: Member) -> list[bytes]:
        """Whom a member's node names."""
        return [one.member for status in member.privacy_controller.statuses.all() for one in status.divergences]

    def whom(self, asker: bytes) -> list[bytes]:
        """Whom a member's node has asked since the last time."""
        found = [key for by, key, _ in self.asked if by == asker]
        self.asked = [entry for entry in self.asked if entry[0] != asker]
        return found


class MemberStateRootClient:
    """One member's Enquiry."""

    def __init__(self, table: Comparison, own_keys: Sequence[bytes]) -> None:
        self._table = table
        self.own_keys = own_keys

    def ask(
        self, own: bytes, questions: Mapping[bytes, Sequence[StateRootQuery]]
    ) -> Mapping[bytes, Sequence[GroupState | None]]:
        found = {}
        for key, asked in questions.items():
            self._table.asked += [(own, key, question) for question in asked]
            if key not in self._table.silent:
                found[key] = [self._answer(own, key, question) for question in asked]
        return found

    def _answer(self, own: bytes, key: bytes, question: StateRootQuery) -> GroupState | None:
        state = self._table.agreements[key].answer(own, key, question, FOREVER)
        lie = self._table.lies.get(key)
        return state if state is None or lie is None else lie(state)
