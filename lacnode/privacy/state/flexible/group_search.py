"""The search for flexible groups by their members: each contract is asked, within a time limit.

Strangers can make any number of groups, with contracts that answer slowly or not at all. So an answer is kept until the
state of its group changes, within the bounds of `KnownMembers`, and each search goes on where the last one ended. This
module must not send anything.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from lacnode.evm.engine import CallLimitExceededError
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.state.flexible.flexible_group import FlexibleGroup
from lacnode.privacy.state.flexible.known_members import KnownMembers
from lacnode.privacy.state.flexible.silent_contracts import SilentContracts
from lacnode.privacy.state.group_rotation import AFTER_GROUP
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.rate_limited_log import RateLimitedLog

CONTRACT_ANSWER_SECONDS = 2.0
"""The time limit of one group's contract for an answer."""

LEAST_ANSWER_SECONDS = 0.1
"""The shortest time limit of a contract in a list of groups, after others have not answered. An answer that takes longer
counts as lost time too."""

ALL_CONTRACTS_SECONDS = 5.0
"""The time limit of one search, the reading of the groups included."""

MAX_UNANSWERED_SEARCHES = 3
"""The number of searches that end in an error because not all groups were looked at since the start."""

GROUPS_READ_AT_ONCE = 256
"""The number of groups that are read from the database between two looks at the time."""

SEARCH = "the search for flexible groups"

FindGroup = Callable[[bytes, float], FlexibleGroup | None]
"""Asks a group's contract for the members, until a time on the monotonic clock in seconds. None if there is no group.
CallLimitExceededError if it does not answer by then."""


class GroupSearch:
    """Finds all flexible groups in the private database of `context` that have members, by asking the contract of each.
    The caller selects by members. One search runs at a time, and answers are kept until the state of their group
    changes, within the bounds of `KnownMembers`. Safe to use from any thread. `find` asks one group's contract."""

    def __init__(self, context: PrivacyContext, find: FindGroup) -> None:
        self._context = context
        self._find = find
        self._known = KnownMembers(context.own_keys)
        self._silent = SilentContracts()
        self._lock = threading.Lock()
        self._start = b""
        """The first group that the last search did not reach. Empty if it looked at all groups."""

        self._has_seen_all = False
        self._unanswered = 0
        self._log = RateLimitedLog(__name__, time.monotonic)

    def find_all(self) -> list[FlexibleGroup]:
        """Return every group with members whose contract answers, in the order of the ids. This takes
        `ALL_CONTRACTS_SECONDS` at most, after a wait of as long for other searches.

        A group that is new, or whose state has changed, may be missing or have its earlier members if the search did
        not reach it in time, or if other searches take too long. The largest groups are missing while all members
        together exceed `MAX_MEMBERS_BYTES`. CallLimitExceededError if groups were not looked at since the start. At the
        end of a search this happens `MAX_UNANSWERED_SEARCHES` times at most, because every search goes on where the
        last one ended. After a wait for other searches that took too long it has no such bound.
        """
        # One search at a time: a second one would lose the same time to the same silent contracts.
        if not self._lock.acquire(timeout=ALL_CONTRACTS_SECONDS):
            # A tenant can keep the search busy with calls of its own. The others then get what it found last.
            if not self._has_seen_all:
                raise CallLimitExceededError("other searches for groups take too long")
            return self._known.groups()
        try:
            self._look_at_all(time.monotonic() + ALL_CONTRACTS_SECONDS)
            return self._known.groups()
        finally:
            self._lock.release()

    def _look_at_all(self, until_seconds: float) -> None:
        # Strangers' groups can stand before the own ones in every search. So the own ones come first.
        is_finished = not self._start or self._look_at_own(until_seconds)
        if is_finished:
            self._start = self._look_at_others(self._start, until_seconds)
        if not is_finished or self._start:
            self._count_unfinished()

    def _count_unfinished(self) -> None:
        # After a start nothing is known. A list without the own groups would look like the right one. But a flood of new
        # groups must not make all searches fail.
        if not self._has_seen_all and self._unanswered < MAX_UNANSWERED_SEARCHES:
            self._unanswered += 1
            raise CallLimitExceededError("the groups are too many to be asked for their members in time")
        self._log.warning("unfinished", "a search for flexible groups did not reach all of them in time")

    def _look_at_own(self, until_seconds: float) -> bool:
        """Look at the groups that had an own key. Return True if the time was enough."""
        return all(self._look_at(entries, until_seconds) is None for entries in self._own_batches())

    def _look_at_others(self, begin: bytes, until_seconds: float) -> bytes:
        """Look at all groups, from `begin` on and then from the lowest one. Return the first that was not reached."""
        missed = self._look_from(begin, b"", until_seconds)
        if missed:
            return missed
        # The first search of all began at the lowest group. So every group was reached once.
        self._has_seen_all = True
        return self._look_from(b"", begin, until_seconds) if begin else b""

    def _look_from(self, start: bytes, end: bytes, until_seconds: float) -> bytes:
        """Look at the groups from `start` to before `end`. Return the first that was not reached, empty if all were."""
        for entries in self._batches(start):
            missed = self._look_at([entry for entry in entries if not end or entry[0] < end], until_seconds)
            if missed is not None:
                return missed
            if end and entries[-1][0] >= end:
                break
        return b""

    def _batches(self, start: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield the groups from `start` on with their state roots."""
        while True:
            # No snapshot is open while a contract is asked. It would hold old pages of the database.
            with self._context.database.read() as snapshot:
                stored = PrivateStoreReader(snapshot)
                found = list(islice(stored.group_ids(start), GROUPS_READ_AT_ONCE))
                entries = self._with_roots(stored, found)
            if not entries:
                return
            yield entries
            start = entries[-1][0] + AFTER_GROUP

    def _own_batches(self) -> Iterator[list[tuple[bytes, bytes]]]:
        own = self._known.own_group_ids()
        for first in range(0, len(own), GROUPS_READ_AT_ONCE):
            with self._context.database.read() as snapshot:
                entries = self._with_roots(PrivateStoreReader(snapshot), own[first : first + GROUPS_READ_AT_ONCE])
            yield entries

    def _with_roots(self, stored: PrivateStoreReader, group_ids: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        head, found = self._context.head(), list[tuple[bytes, bytes]]()
        for group_id in group_ids:
            try:
                found.append((group_id, stored.root_at(group_id, head)))
            except Exception as error:
                self._context.failures.record_or_reraise(group_id, SEARCH, error)
        return found

    def _look_at(self, entries: Iterable[tuple[bytes, bytes]], until_seconds: float) -> bytes | None:
        """Ask the contracts of groups whose answer is not known. Return the first that was not reached, None if all were."""
        for group_id, root in entries:
            # Groups whose answer is known count too: the look-ups of hundreds of thousands of roots take seconds. A
            # contract that has less time than others must not count as silent.
            if time.monotonic() > until_seconds - LEAST_ANSWER_SECONDS:
                return group_id
            # A group without a state has no contract. Markers of transactions that fail make any number of them.
            has_answer = root == EMPTY_TRIE_ROOT or self._known.state_root_when_asked(group_id) == root
            if not has_answer and not self._silent.was_silent(group_id, root):
                self._ask(group_id, root, until_seconds)
        return None

    def _ask(self, group_id: bytes, root: bytes, until_seconds: float) -> None:
        # Each contract that does not answer gets half of the time that the ones before left, also in earlier searches.
        # All together lose little.
        started = time.monotonic()
        left_seconds = CONTRACT_ANSWER_SECONDS - self._silent.recently_lost_seconds()
        limit_seconds = max(LEAST_ANSWER_SECONDS, left_seconds / 2)
        try:
            group = self._find(group_id, min(until_seconds, started + limit_seconds))
        except Exception as error:
            # A contract may run too long. One that the code cannot handle must not hide all other groups either.
            if not isinstance(error, CallLimitExceededError):
                self._context.failures.record_or_reraise(group_id, SEARCH, error)
            # It is not asked again at once.
            self._known.remove(group_id)
            self._silent.record_silence(group_id, root, time.monotonic() - started)
            return
        self._known.add(group_id, root, () if group is None else group.members)
        self._silent.count_lost_time(time.monotonic() - started - LEAST_ANSWER_SECONDS)
