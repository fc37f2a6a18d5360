"""Compares the private state of each group with the other members' states.

The others are asked from time to time, and after the group changed. A member that has another root after the same
private transactions is recorded until the roots agree again, the member leaves, or the group is rebuilt. A member
speaks for itself alone. So a false answer makes the group look diverged from that member's key and does no more. A
member that is silent, does not know, or lacks a payload is no divergence. The comparison has its own thread, and
nothing waits for it. This module must not change a private state. It must not say which of two states is right.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import cycle

from lacnode.privacy.keys import to_base64
from lacnode.privacy.state.comparison_plans import (
    DIVERGED_COMPARE_INTERVAL_SECONDS,
    GROUP_COMPARE_INTERVAL_SECONDS,
    ComparisonPlans,
    LastChange,
)
from lacnode.privacy.state.execution_progress import BLOCKS_AWAITED
from lacnode.privacy.state.group_failures import GroupFailures
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.group_rotation import GroupRotation
from lacnode.privacy.state.group_states import GroupStates
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_store import Divergence, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state_root_queries import MAX_STATE_ROOT_QUERIES, GroupState, StateRootClient, StateRootQuery
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog

MEMBERS_ASKED_AT_ONCE = 16
"""The number of members that are asked at a time. In larger groups other members are asked each time."""

OWN_STATE_SECONDS = 5.0
"""The time limit for the own side of a comparison."""

MAX_GROUPS_LOOKED_AT = 1_000
"""The largest number of groups that one step looks at. The next step goes on with the others."""

MEMBERSHIP_SECONDS = 0.5
"""The time limit for the contract of one flexible group to name its members."""

ALL_MEMBERSHIPS_SECONDS = 4.0
"""The time limit for all contracts that are asked at a time."""

MAX_LINES_A_MINUTE = 64
"""The largest number of log lines about members that diverge or agree again in a minute."""


COMPARISON = "the comparison of state roots"


class ComparisonResult(Enum):
    """The result of comparing the own state root with one member's. UNKNOWN if the member gave no root that can be
    compared (it is silent, behind, or has not executed the same markers), or if the own state takes too long to
    compute."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Check:
    """A group that is compared now: its own and other members, and the members that are asked.

    An agreement about a block before `changed` settles nothing.
    """

    group_id: bytes
    own: bytes
    others: frozenset[bytes]
    asked: Sequence[bytes]
    question: StateRootQuery
    changed: int


class StateRootComparison:
    """Compares the state roots of all groups with those of their members, and answers the questions of others: it is a
    `StateRootSource` too.

    A difference is stored as a divergence of the member (`step`). Nothing is repaired here. One thread at a time calls
    `step`. `answer` is safe to use from any thread. `last_executed_block` returns the number of the last block that is
    executed privately.
    """

    def __init__(
        self,
        context: PrivacyContext,
        membership: GroupMembership,
        last_executed_block: Callable[[], int],
        state_root_client: StateRootClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._membership = membership
        self._last_executed_block = last_executed_block
        self._client = state_root_client
        self._clock = clock
        self._states = GroupStates(context.history, clock)
        self._plans = ComparisonPlans(clock)
        self._rotation = GroupRotation[bytes](MAX_GROUPS_LOOKED_AT, lambda group_id: group_id)
        # A stranger can have many groups with this node, and answer with another root each time. Each place in the circle
        # is a cause, and has one line a minute.
        self._log, self._lines = RateLimitedLog("privacy", clock), cycle(range(MAX_LINES_A_MINUTE))

    # -- answering ---------------------------------------------------------------------------------------------------

    def answer(self, asker: bytes, own: bytes, question: StateRootQuery, deadline: float) -> GroupState | None:
        """Return the state of the group in `question` to the key `asker`, on behalf of the own key `own` (32 bytes
        each), after the block in question or the last one that is executed here. None if no marker of the group is
        known here, if this node cannot answer before `deadline` (monotonic seconds), or if one of the keys is not a
        member's. StorageError if the database fails.

        The group is compared soon if the asker's root is another one and no divergence from the asker is recorded, or
        if it is the same although one is recorded.
        """
        group_id, number = question.group_id, min(question.number, self._last_executed_block())
        # The group must be known here by a marker. Without this, a stranger could make the manager look for any id.
        with self._context.database.read() as snapshot:
            if not any(PrivateStoreReader(snapshot).marker_places(group_id)):
                return None
        try:
            return self._answer(asker, own, replace(question, number=number), deadline)
        except EnclaveUnreachableError:
            return None
        except Exception as error:
            # A request has questions about many groups. The others have their answers.
            self._context.failures.record_or_reraise(group_id, COMPARISON, error)
            return None

    def _answer(self, asker: bytes, own: bytes, question: StateRootQuery, deadline: float) -> GroupState | None:
        group_id, number = question.group_id, question.number
        # The manager or the contract is asked without an open snapshot: the answer may take long.
        members = self._membership.members_at(group_id, number, deadline)
        # A stranger and an unknown group get the same answer. A stranger does not learn which groups are here.
        if members is None or asker not in members or own not in members:
            return None
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            state = self._states.compute_state(stored, group_id, number, deadline)
            # A marked asker with an equal root has recovered. A comparison then ends its divergence soon.
            is_marked = any(divergence.member == asker for divergence in stored.divergences(group_id))
        # An asker that is ahead may have another root for that reason. Then one comparison too many is made.
        if state is not None and (state.root == question.asker_root) is is_marked:
            self._plans.bring_forward(group_id)
        return state

    # -- asking ------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Compare the groups whose time has come with their members, and record or end divergences. This blocks for the
        time of the calls.

        Nothing is compared while many blocks wait for execution. EnclaveUnreachableError if the own manager does not
        answer, StorageError if the database fails. Silent members raise no error.
        """
        # A node that catches up has old states. Its questions would only find differences in time.
        if self._context.head() - self._last_executed_block() > BLOCKS_AWAITED:
            return
        checks = list(self._checks())
        answers: dict[tuple[bytes, bytes], GroupState | None] = {}
        # One request for each own key: a request proves one key, and has up to 64 questions.
        for own in {check.own for check in checks}:
            answers |= self._ask(own, [check for check in checks if check.own == own])
        for check in checks:
            try:
                self._conclude(check, {key: answers.get((check.group_id, key)) for key in check.asked})
            except Exception as error:
                self._record_failure(check.group_id, error)

    def _record_failure(self, group_id: bytes, error: Exception) -> None:
        """Put off a group that cannot be compared. It would be the first of all again at the next step."""
        self._context.failures.record_or_reraise(group_id, COMPARISON, error)
        self._plans.plan_after_comparison(group_id, GROUP_COMPARE_INTERVAL_SECONDS, failed=True)

    def _due(self) -> list[bytes]:
        """Return the groups to compare now. The one that has waited longest comes first."""
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            # Not all groups each time: strangers can have hundreds of thousands of them here.
            looked_at = self._rotation.next_entries(stored.group_ids)
            last_changes = dict(_last_changes(stored, looked_at, self._context.failures))
        return self._plans.plan_and_find_due(last_changes)[:MAX_STATE_ROOT_QUERIES]

    def _checks(self) -> Iterator[_Check]:
        """Yield the comparisons to make. Groups that are left when the time is over come first the next time."""
        until_seconds = time.monotonic() + ALL_MEMBERSHIPS_SECONDS
        for group_id in self._due():
            now = time.monotonic()
            if now > until_seconds:
                return
            try:
                check = self._check(group_id, now + MEMBERSHIP_SECONDS)
            except Exception as error:
                self._record_failure(group_id, error)
                continue
            if check is not None:
                yield check

    def _check(self, group_id: bytes, deadline_seconds: float) -> _Check | None:
        """Return the comparison of a group, None if no member can be asked."""
        number = self._last_executed_block()
        members = self._membership.members_at(group_id, number, deadline_seconds)
        if members is None:
            self._plans.plan_after_comparison(group_id, GROUP_COMPARE_INTERVAL_SECONDS, failed=True)
            return None
        # Any own key that is a member can ask. One is enough, because the state is the same for all of them.
        own = next((key for key in self._client.own_keys if key in members), None)
        others = members.difference(self._client.own_keys)
        marked = self._forget_all_but(group_id, others)
        if own is None or not others:
            self._plans.plan_after_comparison(group_id, GROUP_COMPARE_INTERVAL_SECONDS, failed=False)
            return None
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            question = StateRootQuery(group_id, number, stored.root_at(group_id, number))
            # After a restart the node has executed less than before. An agreement before the block of a divergence says
            # nothing about the divergence.
            divided = [divergence.number for divergence in stored.divergences(group_id)]
            changed = max([_last_change(stored, group_id)[1], *divided])
        return _Check(group_id, own, others, _whom(others, marked), question, changed)

    def _forget_all_but(self, group_id: bytes, others: Collection[bytes]) -> set[bytes]:
        """Delete divergences of former members. Return the members that still diverge."""
        with self._context.database.read() as snapshot:
            marked = {one.member for one in PrivateStoreReader(snapshot).divergences(group_id) if one.member}
        # A former member does not answer any more. Its divergence could never end by an agreement.
        gone = marked.difference(others)
        if gone:
            with self._context.database.write() as batch:
                for member in gone:
                    PrivateStoreWriter(batch).delete_divergence(group_id, member)
        return marked - gone

    def _ask(self, own: bytes, checks: Sequence[_Check]) -> dict[tuple[bytes, bytes], GroupState | None]:
        """Ask the members. Return the answers by group and key."""
        questions: dict[bytes, list[StateRootQuery]] = {}
        for check in checks:
            for key in check.asked:
                # One request to each manager has the questions about all groups that are due.
                questions.setdefault(key, []).append(check.question)
        found: dict[tuple[bytes, bytes], GroupState | None] = {}
        for key, states in self._client.ask(own, questions).items():
            for question, state in zip(questions[key], states, strict=True):
                found[question.group_id, key] = state
        return found

    # -- judging -----------------------------------------------------------------------------------------------------

    def _conclude(self, check: _Check, states: Mapping[bytes, GroupState | None]) -> None:
        verdicts = [self._judge(check, key, state) for key, state in states.items()]
        # The answers may be for different blocks. All members have confirmed the lowest of these only.
        up_to = min((state.number for state in states.values() if state is not None), default=0)
        # An agreement about old blocks says nothing about later changes, so the last change must be covered.
        is_settled = ComparisonResult.UNKNOWN not in verdicts and up_to >= check.changed
        if is_settled and set(verdicts) == {ComparisonResult.AGREES} and len(states) == len(check.others):
            self._settle(check.group_id, up_to)
        if ComparisonResult.DIFFERS in verdicts:
            self._plans.plan_after_comparison(check.group_id, DIVERGED_COMPARE_INTERVAL_SECONDS, failed=False)
        else:
            self._plans.plan_after_comparison(check.group_id, GROUP_COMPARE_INTERVAL_SECONDS, failed=not is_settled)

    def _judge(self, check: _Check, member: bytes, theirs: GroupState | None) -> ComparisonResult:
        """Compare a member's state with the own one, and record a change."""
        if theirs is None:
            return ComparisonResult.UNKNOWN
        group_id, deadline = check.group_id, self._clock() + OWN_STATE_SECONDS
        with self._context.database.read() as snapshot:
            ours = self._states.compute_state(PrivateStoreReader(snapshot), group_id, theirs.number, deadline)
        # The own side took too long. The digests so far are kept, and the next comparison goes on from there.
        if ours is None:
            return ComparisonResult.UNKNOWN
        if ours.root == theirs.root:
            self._agrees(group_id, member, theirs.number)
            return ComparisonResult.AGREES
        # Other roots are expected if the two have not executed the same markers. One equal digest is enough: a late member
        # of a flexible group was told of successes only, and in a damaged state good transactions fail.
        if theirs.tried_digest != ours.tried_digest and theirs.succeeded_digest != ours.succeeded_digest:
            return ComparisonResult.UNKNOWN
        self._differs(group_id, Divergence(theirs.number, theirs.root, ours.root, member))
        return ComparisonResult.DIFFERS

    def _agrees(self, group_id: bytes, member: bytes, number: int) -> None:
        with self._context.database.read() as snapshot:
            if not any(one.number <= number for one in _of(PrivateStoreReader(snapshot), group_id, member)):
                return
        with self._context.database.write() as batch:
            PrivateStoreWriter(batch).delete_divergence(group_id, member)
        text, name = "a group's members agree again", to_base64(member)
        self._log.info(next(self._lines), text, group=to_base64(group_id), block=number, member=name)

    def _differs(self, group_id: bytes, divergence: Divergence) -> None:
        with self._context.database.write() as batch:
            stored = PrivateStoreReader(batch)
            # A divergence is recorded and logged once for each member. Repeated comparisons add nothing.
            is_known = any(_of(stored, group_id, divergence.member))
            # The group may have been rebuilt since the root was read. An old difference must not be recorded then.
            if is_known or stored.root_at(group_id, divergence.number) != divergence.found:
                return
            PrivateStoreWriter(batch).write_divergence(group_id, divergence)
        self._log.warning(
            next(self._lines),
            "a group's private state is not the same at another member",
            group=to_base64(group_id),
            block=divergence.number,
            ours="0x" + divergence.found.hex(),
            theirs="0x" + divergence.expected.hex(),
            member=to_base64(divergence.member),
        )

    def _settle(self, group_id: bytes, number: int) -> None:
        """All members agree. Delete a divergence without a known member."""
        with self._context.database.read() as snapshot:
            if not any(one.number <= number for one in _of(PrivateStoreReader(snapshot), group_id, b"")):
                return
        with self._context.database.write() as batch:
            PrivateStoreWriter(batch).delete_divergence(group_id)


def _last_changes(
    stored: PrivateStoreReader, group_ids: Iterable[bytes], failures: GroupFailures
) -> Iterator[tuple[bytes, LastChange]]:
    for group_id in group_ids:
        try:
            yield group_id, _last_change(stored, group_id)
        except Exception as error:
            failures.record_or_reraise(group_id, COMPARISON, error)


def _last_change(stored: PrivateStoreReader, group_id: bytes) -> LastChange:
    return stored.revision(group_id), next(stored.changed_blocks_down_to(group_id, 0), 0)


def _of(stored: PrivateStoreReader, group_id: bytes, member: bytes) -> Iterator[Divergence]:
    return (one for one in stored.divergences(group_id) if one.member == member)


def _whom(others: Collection[bytes], marked: Collection[bytes]) -> list[bytes]:
    """Return the members to ask: all, or a random part in which diverged members come first."""
    if len(others) <= MEMBERS_ASKED_AT_ONCE:
        return sorted(others)
    # A random choice: over time every pair of members is compared, in groups of any size.
    mixed = random.sample(sorted(others), len(others))
    return sorted(mixed, key=lambda key: key not in marked)[:MEMBERS_ASKED_AT_ONCE]
