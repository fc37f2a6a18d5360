"""Executes the long private transactions in a thread of their own. Their gas is their only limit.

One group is tried at a time, for a limited time. If it does not end, others come first, and its next try has twice the
time. So it ends, because its gas does, and a short one does not wait for the end of a long one. Transactions of own and
punctual senders come first. Then comes the group that used the least time lately. A group that begins to wait ends the
running try, but not twice in a row that of the same group, and not that of an own or a punctual sender for another one.
While a group has a long transaction, only this thread executes for the group. The first try takes the group's later
ones of the same block along: each try executes the group's part of the block from the beginning. Where the group has
executed something after it already, every try executes that again. So the later ones of all blocks are taken along.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget, ExecutionCancelledError
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.group_rebuilding import GroupRebuilder, GroupRebuildError
from lacnode.privacy.state.group_rotation import GroupRotation
from lacnode.privacy.state.group_use import GroupUse
from lacnode.privacy.state.long_private_transactions import (
    LongPrivateTransaction,
    LongTransactionReader,
    LongTransactionWriter,
)
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import read_history_key
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_state_quota import PrivateStateFullError
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state.processor import PrivateProcessor, log_ignored
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog

FIRST_BUDGET_SECONDS = 0.5
"""The time of the first try. Each later try has twice as much, up to `BUDGET_DOUBLINGS`, so all failed tries together
take less than the last one."""

BUDGET_DOUBLINGS = 24
"""The number of tries after which the time does not grow any more. It is three months then."""

FIRST_TRY_SHARE, LATER_TRY_SHARE = 0.5, 0.25
"""The share of its time in which this thread works: in the first try of a transaction of an own or a punctual sender, and in
all others. The whole node needs the interpreter. Strangers can have endless transactions here at any time."""

MAX_GROUPS_AT_ONCE = 1_000
"""The largest number of groups from which the next try is chosen. The others follow in turn."""

MAX_PREFERRED_GROUPS = 1_000
"""The largest number of groups that are remembered for the transaction of an own or a punctual sender. Others wait for
their turn."""

LONG_USE_HALF_LIFE_SECONDS = 600.0
"""The time in which half of a group's use of this thread is forgotten."""


MAX_TRIED_TOGETHER = 256
"""The largest number of long transactions in one try."""


@dataclass(slots=True)
class _Try:
    """The execution that runs now. `long` is the transaction that it has reached, at `reached_at` (monotonic seconds).

    `seconds` is its time. `is_rebuild` says that the group has executed something after it already.
    """

    long: LongPrivateTransaction
    budget: ExecutionBudget
    seconds: float
    reached_at: float
    is_rebuild: bool = False
    is_preempted: bool = False

    def slow_one(self, first: LongPrivateTransaction) -> LongPrivateTransaction:
        """Return the transaction that needs more time, after the try has ended without it."""
        # Nothing of a rebuild is stored then. If no transaction has taken most of the time, all together need more.
        if self.is_rebuild and time.monotonic() - self.reached_at < self.seconds / 2:
            return first
        return self.long


class LongExecution:
    """Executes long private transactions. One thread at a time calls `step`."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        # A long transaction is executed like a late payload: with everything of its group that came after it.
        self._rebuilding = GroupRebuilder(context, processor)
        self._use = GroupUse(time.monotonic, LONG_USE_HALF_LIFE_SECONDS)
        self._try: _Try | None = None
        self._preempted = b""
        self._rotation = GroupRotation[LongPrivateTransaction](MAX_GROUPS_AT_ONCE, lambda first: first.group_id)
        self._preferred: dict[bytes, None] = {}
        self._log = RateLimitedLog("privacy", time.monotonic)
        processor.on_groups_waiting(self._preempt)

    def step(self) -> bool:
        """Try to execute the long transaction that comes first, for a limited time. Return True if one was tried, with
        or without success. False if there is none or the manager does not answer. StorageError if the database fails,
        ExecutionCancelledError if the node stops."""
        long = min(self._candidates(), key=self._order, default=None)
        if long is None:
            return False
        try:
            self._attempt(long)
        except EnclaveUnreachableError:
            return False
        return True

    def _candidates(self) -> list[LongPrivateTransaction]:
        """Return the first transactions of some groups, and of those in which a transaction of an own or a punctual
        sender waits."""
        with self._context.database.read() as snapshot:
            stored = LongTransactionReader(snapshot)
            # Only the first transaction of each group can be executed: the later ones depend on its state. Not all groups
            # are looked at each time, since strangers can have hundreds of thousands of them here.
            found = self._rotation.next_entries(stored.first_of_each_group)
            for group_id in list(self._preferred):
                first = next(stored.transactions_of_group(group_id), None)
                if first is not None and first.is_preferred:
                    found.append(first)
                else:
                    self._preferred.pop(group_id, None)
        return found

    def _order(self, first: LongPrivateTransaction) -> tuple[object, ...]:
        """Return the order of a transaction. The group with the least use is first. Tries show its use before a restart."""
        tried_seconds = FIRST_BUDGET_SECONDS * (2 ** min(first.tries, BUDGET_DOUBLINGS) - 1)
        return not first.is_preferred, max(self._use.seconds_of(first.group_id), tried_seconds), first.place

    def _preempt(self, waiting: Mapping[bytes, bool]) -> None:
        """End the running try for groups that begin to wait, each with whether its sender is an own or a punctual one.

        The try of such a sender goes on if the new one is of another sender. The same group is not ended twice in
        a row: it would never end.
        """
        is_preferred = any(waiting.values())
        for group_id, is_of_preferred_sender in waiting.items():
            if is_of_preferred_sender and len(self._preferred) < MAX_PREFERRED_GROUPS:
                self._preferred[group_id] = None
        running = self._try
        # This is called from the processor's thread. It only sets a flag and cancels the budget, which is safe from
        # any thread.
        if running is None or running.long.group_id == self._preempted:
            return
        if is_preferred or not running.long.is_preferred:
            running.is_preempted = True
            running.budget.cancel()

    def _attempt(self, long: LongPrivateTransaction) -> None:
        seconds = FIRST_BUDGET_SECONDS * 2 ** min(long.tries, BUDGET_DOUBLINGS)
        started = time.monotonic()
        share = FIRST_TRY_SHARE if long.is_preferred and not long.tries else LATER_TRY_SHARE
        running = self._try = _Try(long, ExecutionBudget(started + seconds, share), seconds, started)
        try:
            self._execute(long, running.budget)
            # The tries are stored. After a restart the transaction goes on with its longer time, not from the start.
        except BudgetExceededError:
            self._try_again(running.slow_one(long))
            # A cancelled try without a preemption means that the node stops. The transaction stays as it was.
        except ExecutionCancelledError:
            if not running.is_preempted:
                raise
        except (PayloadNotFoundError, PayloadUnavailableError, GroupRebuildError) as cannot:
            # A full quota is no failure of the manager.
            is_failing = not isinstance(cannot, (PayloadNotFoundError, PrivateStateFullError))
            self._give_up(running.long, failing=is_failing)
        except UnusablePayloadError as useless:
            log_ignored(self._log, running.long.marker_hash, useless)
            with self._context.database.write() as batch:
                LongTransactionWriter(batch).remove(running.long)
        except Exception as error:
            # A transaction of a known sender would be the first one again at each step. It is tried again with pauses.
            self._context.failures.record_or_reraise(
                long.group_id, "the execution of a long private transaction", error
            )
            self._give_up(running.long, failing=False)
        finally:
            self._try = None
            # Remembered until the next try: this one must not be ended again before it had its time.
            self._preempted = long.group_id if running.is_preempted else b""
            # Every try counts, also one that was ended by another group. Otherwise a group could use the thread for
            # free.
            self._use.add(long.group_id, time.monotonic() - started)

    def _try_again(self, long: LongPrivateTransaction) -> None:
        """Record a try that did not end in its time. The sender is punctual no more."""
        known = self._processor.reader.known_facts_of(self._rebuilding.read_marker(long.place))
        with self._context.database.write() as batch:
            LongTransactionWriter(batch).add(long.with_one_more_try())
            if known is not None:
                PrivateStoreWriter(batch).delete_punctual_sender(known.private_from)

    def _execute(self, long: LongPrivateTransaction, budget: ExecutionBudget) -> None:
        running = self._try
        assert running is not None, "it is set before"
        transaction = self._rebuilding.read_marker(long.place)
        # The transaction may have waited for a history that took long. It is taken over here, without a time limit but
        # the budget.
        self._processor.rehydration.take_over_history(transaction, long.place.number, long.group_id, budget)
        # The payloads were accepted at their markers, so they are accepted here, although the manager may have lost the
        # group.
        running.is_rebuild = self._has_later_results(long)
        together = {one.place: one for one in self._with(long, running)}
        found = {place: self._rebuilding.unread_task(place, self._read) for place in together}

        def begin(place: MarkerPlace) -> None:
            # If the try ends now, it ends for this transaction. What was executed before has no try of its own.
            running.long, running.reached_at = together.get(place, long), time.monotonic()

        self._rebuilding.rebuild(long.group_id, found, budget, begin)

    def _read(self, place: MarkerPlace) -> PrivateTask:
        task = self._rebuilding.read_task(place)
        # There was space when it was read first. A block may have thousands of transactions that wait with large results.
        self._processor.reader.check_space(task)
        return task

    def _has_later_results(self, long: LongPrivateTransaction) -> bool:
        """Return True if something of the group was executed after the transaction already."""
        with self._context.database.read() as snapshot:
            places = PrivateStoreReader(snapshot).marker_places(long.group_id, long.place.number)
            return any(place > long.place for place in places)

    def _with(self, long: LongPrivateTransaction, running: _Try) -> list[LongPrivateTransaction]:
        """Return `long` and those after it that are tried with it."""
        # One that was tried before is tried alone, with its longer time. A rebuild executes everything after it anyway: one
        # try for each late payload would execute that again each time.
        if long.tries and not running.is_rebuild:
            return [long]
        with self._context.database.read() as snapshot:
            together = list(
                islice(LongTransactionReader(snapshot).transactions_of_group(long.group_id), MAX_TRIED_TOGETHER)
            )
        may_follow = partial(self._may_follow, None if running.is_rebuild else long.place.number)
        # Markers of a rebuild are in many blocks, and reading these takes time too. Most of the try is for the execution.
        until_seconds = running.reached_at + running.seconds / 4 if running.is_rebuild else math.inf
        return [long, *takewhile(lambda one: time.monotonic() < until_seconds and may_follow(one), together[1:])]

    def _may_follow(self, number: int | None, later: LongPrivateTransaction) -> bool:
        """Return True if `later` is tried with the ones before it. `number` is the block where it must be, if not None."""
        if later.tries or (number is not None and later.place.number != number):
            return False
        # The try ends before one that needs a history.
        return read_history_key(self._rebuilding.read_marker(later.place)) is None

    def _give_up(self, long: LongPrivateTransaction, *, failing: bool) -> None:
        """Note the payload as absent. It is then asked for again like any other one."""
        # The long transaction becomes an absent one, in one commit. The group's later ones stay long and follow it.
        absent = self._processor.make_absent_marker(
            long.place, self._rebuilding.read_marker(long.place), failing=failing
        )
        with self._context.database.write() as batch:
            LongTransactionWriter(batch).remove(long)
            PrivateStoreWriter(batch).write_absent(absent)
