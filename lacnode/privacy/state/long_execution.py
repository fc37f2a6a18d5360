"""Executing the private transactions that take long, apart from the others and without a limit but gas.

One at a time: each has a first time, and when it does not end in it, the others' turn comes before it is tried again with
twice as much. So it ends, since its gas does, and a short one does not wait for the end of a long one. As long as a group
has one, only this thread executes for the group.
"""

import time

import structlog

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.long_transactions import LongTransaction, LongWriter, StoredLong
from lacnode.privacy.state.payloads import ManagerFails, NoPayload, UselessPayload, task_for
from lacnode.privacy.state.processor import PrivateProcessor
from lacnode.privacy.state.rebuilding import CannotRebuild, Rebuilding
from lacnode.privacy.state.store import PrivateWriter
from lacnode.privacy.state.surroundings import Surroundings
from lacnode.privacy.transaction_manager import ManagerUnreachable

log = structlog.get_logger("privacy")

FIRST_SECONDS = 10.0
"""What a long transaction may take at first; twice as much each time after."""

DOUBLINGS = 20
"""After which the time does not grow any more; it is four months then."""

SHARE = 0.5
"""The share of its time for which this thread works: the interpreter is the whole node's."""


class LongExecution:
    """One thread at a time calls `step`."""

    def __init__(self, around: Surroundings, processor: PrivateProcessor) -> None:
        self._around = around
        self._processor = processor
        self._rebuilding = Rebuilding(around, processor)

    def step(self) -> bool:
        """Try the one that was tried least; False if there is none, or the manager does not answer."""
        with self._around.database.read() as snapshot:
            long = min(StoredLong(snapshot).firsts(), key=lambda first: (first.tries, first.place), default=None)
        if long is None:
            return False
        try:
            self._try(long)
        except ManagerUnreachable:
            return False
        return True

    def _try(self, long: LongTransaction) -> None:
        transaction = self._rebuilding.transaction(long.place)
        try:
            # What was admitted at its marker is admitted here.
            task = task_for(self._around.manager, transaction, long.place.index, self._around.mode, admitted=True)
            self._execute(long, task)
        except BudgetExceededError:
            with self._around.database.write() as batch:
                LongWriter(batch).waits(long.again())
        except (NoPayload, ManagerFails, CannotRebuild) as cannot:
            self._give_up(long, failing=not isinstance(cannot, NoPayload))
        except UselessPayload as useless:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(useless))
            with self._around.database.write() as batch:
                LongWriter(batch).ended(long)

    def _execute(self, long: LongTransaction, task: PrivateTask) -> None:
        seconds = FIRST_SECONDS * 2 ** min(long.tries, DOUBLINGS)
        budget = ExecutionBudget(time.monotonic() + seconds, SHARE)
        transaction = self._rebuilding.transaction(long.place)
        self._processor.rehydration.prepare(transaction, long.place.number, task.group_id, budget)
        self._rebuilding.rebuild(long.place, task, budget)

    def _give_up(self, long: LongTransaction, *, failing: bool) -> None:
        """What cannot be had any more is asked for like any other absent payload."""
        absent = self._processor.absent(long.place, self._rebuilding.transaction(long.place), failing=failing)
        with self._around.database.write() as batch:
            LongWriter(batch).ended(long)
            PrivateWriter(batch).absent(absent)
