"""Executing the private transactions that take long, apart from the others and without a limit but gas.

One at a time: each has a first time, and when it does not end in it, the others' turn comes before it is tried again with
twice as much. So it ends, since its gas does, and a short one does not wait for the end of a long one. As long as a group
has one, only this thread executes for the group.
"""

import time

import structlog

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.group_rebuilding import GroupRebuilder, GroupRebuildError
from lacnode.privacy.state.long_private_transactions import (
    LongPrivateTransaction,
    LongTransactionReader,
    LongTransactionWriter,
)
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import (
    PayloadNotFoundError,
    PayloadUnavailableError,
    UnusablePayloadError,
    task_for,
)
from lacnode.privacy.state.private_store import PrivateStoreWriter
from lacnode.privacy.state.processor import PrivateProcessor
from lacnode.privacy.transaction_manager import EnclaveUnreachableError

log = structlog.get_logger("privacy")

FIRST_BUDGET_SECONDS = 10.0
"""What a long transaction may take at first; twice as much each time after."""

BUDGET_DOUBLINGS = 20
"""After which the time does not grow any more; it is four months then."""

LONG_EXECUTION_SHARE = 0.5
"""The share of its time for which this thread works: the interpreter is the whole node's."""


class LongExecution:
    """One thread at a time calls `step`."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        self._rebuilding = GroupRebuilder(context, processor)

    def step(self) -> bool:
        """Try the one that was tried least; False if there is none, or the manager does not answer."""
        with self._context.database.read() as snapshot:
            long = min(
                LongTransactionReader(snapshot).first_of_each_group(),
                key=lambda first: (first.tries, first.place),
                default=None,
            )
        if long is None:
            return False
        try:
            self._try(long)
        except EnclaveUnreachableError:
            return False
        return True

    def _try(self, long: LongPrivateTransaction) -> None:
        transaction = self._rebuilding.transaction(long.place)
        try:
            # What was admitted at its marker is admitted here.
            task = task_for(self._context.manager, transaction, long.place.index, self._context.mode, admitted=True)
            self._execute(long, task)
        except BudgetExceededError:
            with self._context.database.write() as batch:
                LongTransactionWriter(batch).waits(long.again())
        except (PayloadNotFoundError, PayloadUnavailableError, GroupRebuildError) as cannot:
            self._give_up(long, failing=not isinstance(cannot, PayloadNotFoundError))
        except UnusablePayloadError as useless:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(useless))
            with self._context.database.write() as batch:
                LongTransactionWriter(batch).ended(long)

    def _execute(self, long: LongPrivateTransaction, task: PrivateTask) -> None:
        seconds = FIRST_BUDGET_SECONDS * 2 ** min(long.tries, BUDGET_DOUBLINGS)
        budget = ExecutionBudget(time.monotonic() + seconds, LONG_EXECUTION_SHARE)
        transaction = self._rebuilding.transaction(long.place)
        self._processor.rehydration.prepare(transaction, long.place.number, task.group_id, budget)
        self._rebuilding.rebuild(long.place, task, budget)

    def _give_up(self, long: LongPrivateTransaction, *, failing: bool) -> None:
        """What cannot be had any more is asked for like any other absent payload."""
        absent = self._processor.absent(long.place, self._rebuilding.transaction(long.place), failing=failing)
        with self._context.database.write() as batch:
            LongTransactionWriter(batch).ended(long)
            PrivateStoreWriter(batch).absent(absent)
