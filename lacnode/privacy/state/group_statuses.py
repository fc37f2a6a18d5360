"""The status of each group: executed, waiting, or another state than that of other members."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from heapq import merge
from itertools import groupby

from lacnode.privacy.state.flexible.contradicting_histories import ContradictingHistoryReader
from lacnode.privacy.state.group_rotation import AFTER_GROUP
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_state_quota import PrivateStateQuota
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_store import Divergence, PrivateStoreReader
from lacnode.privacy.state.processor import PrivateProcessor

COUNT_SECONDS = 0.25
"""The time for one look at the groups when the health is asked for. The next look goes on there."""

COUNTED_TOGETHER = 100
"""The number of groups that are counted between two looks at the clock."""


class GroupCondition(Enum):
    """The condition of a group.

    CURRENT: nothing is known to be missing. WAITING: payloads are missing, or a long transaction is not executed yet.
    DIVERGED: another member has another state, or a history contradicts, also while the group waits.
    """

    CURRENT = "current"
    WAITING = "waiting"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """The status of one group.

    `missing_payloads` counts the payloads that the group is known to miss, by gaps in its private nonces, and all that
    may belong to any group: those that the manager fails to give, and those of markers that wait while it does not
    answer. `number` is the block up to which the group is executed, `root` its state root there (32 bytes).
    `divergences` are the members with another root, and the histories that contradict. `is_executing` says that the
    group waits for a long private transaction.
    """

    group_id: bytes
    condition: GroupCondition
    missing_payloads: int
    number: int
    root: bytes
    divergences: tuple[Divergence, ...]
    is_executing: bool = False


@dataclass(frozen=True, slots=True)
class PrivacyHealth:
    """The conditions of all groups without their names: the number of groups in each condition, and of missing
    payloads.

    `missing` also counts payloads whose group is not known. `alarms` are texts about the manager's store and the
    private state when they are almost full, empty if they are not. `failures` is the number of unexpected errors of
    single groups since the start.
    """

    groups: Mapping[GroupCondition, int]
    missing: int
    alarms: tuple[str, ...] = ()
    failures: int = 0


@dataclass(slots=True)
class _Count:
    """A count of the groups, which may take several calls. `anyones` are missing payloads that may belong to any group."""

    next_key: bytes = b""
    conditions: Counter[GroupCondition] = field(default_factory=Counter)
    skipped: int = 0
    anyones: int = 0

    def add(self, group_id: bytes, status: GroupStatus | None) -> None:
        self.next_key = group_id + AFTER_GROUP
        # A group whose status cannot be read is left out.
        if status is None:
            return
        self.conditions[status.condition] += 1
        self.skipped += status.missing_payloads - self.anyones

    def as_numbers(self) -> tuple[Counter[GroupCondition], int]:
        return self.conditions, self.anyones + self.skipped


class GroupStatuses:
    """Reads the status of all groups of this node. Safe to use from any thread."""

    _last: "_Count | None"

    def __init__(
        self,
        context: PrivacyContext,
        processor: PrivateProcessor,
        states: PrivateStates,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._processor = processor
        self._states = states
        self._quota = PrivateStateQuota(context)
        self._clock = clock
        self._lock = threading.Lock()
        self._count, self._last = _Count(), None

    def all(self) -> list[GroupStatus]:
        """Return the status of every group that a marker has concerned or that has a long transaction, in the order of
        the ids. A group whose status cannot be read is left out, and the failure is recorded. This may take long: there
        is no bound."""
        with self._read_from(b"") as (statuses, _):
            return [status for _, status in statuses if status is not None]

    def health(self) -> PrivacyHealth:
        """Return the numbers of groups in each condition and of missing payloads, with alarms and failures.

        Where there are more groups than can be counted in `COUNT_SECONDS`, the numbers are those of the last full
        count. Before the first full count they are those of the groups that were counted so far.
        """
        with self._lock:
            self._count_on()
            counted, missing = (self._count if self._last is None else self._last).as_numbers()
        # The numbers alone go to the health page and the metrics. These may be public, and group ids may not.
        groups = {condition: counted[condition] for condition in GroupCondition}
        alarms = (*self._context.alarms(), *self._quota.alarms())
        return PrivacyHealth(groups, missing, alarms, self._context.failures.count)

    def _count_on(self) -> None:
        """Go on with the count for a while, and begin it again when it is at its end."""
        ends = self._clock() + COUNT_SECONDS
        with self._read_from(self._count.next_key) as (statuses, anyones):
            self._count.anyones = anyones
            for number, (group_id, status) in enumerate(statuses, 1):
                self._count.add(group_id, status)
                # Strangers can have hundreds of thousands of groups here, and any caller can ask for the health.
                if number % COUNTED_TOGETHER == 0 and self._clock() > ends:
                    return
        self._last, self._count = self._count, _Count()

    @contextmanager
    def _read_from(self, start: bytes) -> Iterator[tuple[Iterator[tuple[bytes, GroupStatus | None]], int]]:
        """Give each group from the key `start` on with its status, and the missing payloads that may belong to any group.

        The status is None if it cannot be read.
        """
        # The cursor is read before the snapshot: the state in the snapshot is then at least as new.
        progress = self._processor.progress
        before, queued = progress.last_executed_block, progress.queued_markers if progress.is_waiting_for_manager else 0
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            cursor = max(before, stored.last_executed_block() or 0)  # a block may have been carried out meanwhile
            anyones = queued + stored.count_failing()
            histories, long = ContradictingHistoryReader(snapshot), LongTransactionReader(snapshot)
            waiting = (first.group_id for first in long.first_of_each_group(start))
            groups = (group for group, _ in groupby(merge(stored.group_ids(start), waiting)))
            read = partial(self._read, stored, histories, long, cursor, anyones)
            yield ((group, read(group)) for group in groups), anyones

    def _read(
        self,
        stored: PrivateStoreReader,
        histories: ContradictingHistoryReader,
        long: LongTransactionReader,
        cursor: int,
        waiting: int,
        group_id: bytes,
    ) -> GroupStatus | None:
        """Return the status of a group, None if it cannot be read."""
        try:
            contradictions = _contradictions(histories, group_id)
            return self._status(stored, group_id, cursor, waiting, long.is_waiting(group_id), contradictions)
        except Exception as error:
            self._context.failures.record_or_reraise(group_id, "the reading of its status", error)
            return None

    def _status(
        self,
        stored: PrivateStoreReader,
        group_id: bytes,
        cursor: int,
        waiting: int,
        is_executing: bool,
        contradictions: Sequence[Divergence],
    ) -> GroupStatus:
        root, divergences = stored.root_at(group_id, cursor), (*stored.divergences(group_id), *contradictions)
        waiting += self._count_skipped(stored, group_id, root)
        condition = GroupCondition.WAITING if waiting or is_executing else GroupCondition.CURRENT
        # A divergence is worse than a wait, so it wins.
        condition = GroupCondition.DIVERGED if divergences else condition
        return GroupStatus(group_id, condition, waiting, cursor, root, divergences, is_executing)

    def _count_skipped(self, stored: PrivateStoreReader, group_id: bytes, root: bytes) -> int:
        """Return the number of skipped private nonces: transactions that the other members had and this node did not."""
        highest: dict[bytes, int] = {}
        for sender, nonce in stored.nonces_ahead(group_id):
            # Only the highest nonce counts for a sender: the gap is between it and the account's next nonce.
            highest[sender] = max(nonce, highest.get(sender, 0))
        # Without an absent payload nothing can come late. A sender that skips a nonce by mistake must not look like a gap.
        if not highest or not any(stored.absent_markers()):
            return 0
        accounts = self._states.accounts_of(root)
        return sum(max(0, nonce - accounts.nonce(sender)) for sender, nonce in highest.items())


def _contradictions(histories: ContradictingHistoryReader, group_id: bytes) -> list[Divergence]:
    """Return the contradicting histories of a flexible group as divergences."""
    return [
        Divergence(told.place.number, told.told_root, told.own_root, told.teller)
        for told in histories.not_dismissed_of_group(group_id)
    ]
