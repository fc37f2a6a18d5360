"""Executing the private transactions that take long, apart from the others and without a limit but gas.

One at a time: each has a first time, and when it does not end in it, the others' turn comes before it is tried again with
twice as much. So it ends, since its gas does, and a short one does not wait for the end of a long one. What a known sender
sent comes before all others; then the group that took least time lately. A group that begins to wait ends the try in hand.
As long as a group has one, only this thread executes for the group.
"""

import time
from dataclasses import dataclass

import structlog

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget, ExecutionCancelledError
from lacnode.privacy.state.group_rebuilding import GroupRebuilder, GroupRebuildError
from lacnode.privacy.state.group_use import GroupUse
from lacnode.privacy.state.long_private_transactions import (
    LongPrivateTransaction,
    LongTransactionReader,
    LongTransactionWriter,
)
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_store import PrivateStoreWriter
from lacnode.privacy.state.processor import PrivateProcessor
from lacnode.privacy.transaction_manager import EnclaveUnreachableError

log = structlog.get_logger("privacy")

FIRST_BUDGET_SECONDS = 0.5
"""What a long transaction may take at first; twice as much each time after, so that the tries in vain take no more than the
one that ends."""

BUDGET_DOUBLINGS = 24
"""After which the time does not grow any more; it is three months then."""

LONG_EXECUTION_SHARE = 0.5
"""The share of its time for which this thread works: the interpreter is the whole node's."""

LONG_USE_HALF_LIFE_SECONDS = 600.0
"""Time in which half of what a group took here is forgotten."""


@dataclass(slots=True)
class _Try:
    """The execution in hand."""

    long: LongPrivateTransaction
    budget: ExecutionBudget
    is_preempted: bool = False


class LongExecution:
    """One thread at a time calls `step`."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        self._rebuilding = GroupRebuilder(context, processor)
        self._use = GroupUse(time.monotonic, LONG_USE_HALF_LIFE_SECONDS)
        self._try: _Try | None = None
        self._preempted = b""
        processor.on_waiting(self._preempt)

    def step(self) -> bool:
        """Try the one that comes first; False if there is none, or the manager does not answer."""
        with self._context.database.read() as snapshot:
            long = min(LongTransactionReader(snapshot).first_of_each_group(), key=self._order, default=None)
        if long is None:
            return False
        try:
            self._attempt(long)
        except EnclaveUnreachableError:
            return False
        return True

    def _order(self, first: LongPrivateTransaction) -> tuple[object, ...]:
        """Groups that took least come first, and what they took before a restart is seen from the tries."""
        tried_seconds = FIRST_BUDGET_SECONDS * (2 ** min(first.tries, BUDGET_DOUBLINGS) - 1)
        return not first.is_preferred, max(self._use.of(first.group_id), tried_seconds), first.place

    def _preempt(self, *, is_preferred: bool) -> None:
        """End the try in hand for a group that did not wait yet, unless a known sender sent the one alone and not the other;
        not twice the same, which would never end."""
        running = self._try
        if running is None or running.long.group_id == self._preempted:
            return
        if is_preferred or not running.long.is_preferred:
            running.is_preempted = True
            running.budget.cancel()

    def _attempt(self, long: LongPrivateTransaction) -> None:
        seconds = FIRST_BUDGET_SECONDS * 2 ** min(long.tries, BUDGET_DOUBLINGS)
        running = self._try = _Try(long, ExecutionBudget(time.monotonic() + seconds, LONG_EXECUTION_SHARE))
        started = time.monotonic()
        try:
            self._execute(long, running.budget)
        except BudgetExceededError:
            with self._context.database.write() as batch:
                LongTransactionWriter(batch).waits(long.again())
        except ExecutionCancelledError:
            if not running.is_preempted:
                raise
        except (PayloadNotFoundError, PayloadUnavailableError, GroupRebuildError) as cannot:
            self._give_up(long, failing=not isinstance(cannot, PayloadNotFoundError))
        except UnusablePayloadError as useless:
            log.warning("private transaction ignored", marker=long.marker_hash.hex(), why=str(useless))
            with self._context.database.write() as batch:
                LongTransactionWriter(batch).ended(long)
        finally:
            self._try = None
            self._preempted = long.group_id if running.is_preempted else b""
            self._use.add(long.group_id, time.monotonic() - started)

    def _execute(self, long: LongPrivateTransaction, budget: ExecutionBudget) -> None:
        transaction = self._rebuilding.transaction(long.place)
        self._processor.rehydration.prepare(transaction, long.place.number, long.group_id, budget)
        # What was admitted at its marker is admitted here.
        unread = self._rebuilding.unread(long.place, self._rebuilding.read)
        self._rebuilding.rebuild(long.place, long.group_id, unread, budget)

    def _give_up(self, long: LongPrivateTransaction, *, failing: bool) -> None:
        """What cannot be had any more is asked for like any other absent payload."""
        absent = self._processor.absent(long.place, self._rebuilding.transaction(long.place), failing=failing)
        with self._context.database.write() as batch:
            LongTransactionWriter(batch).ended(long)
            PrivateStoreWriter(batch).absent(absent)
