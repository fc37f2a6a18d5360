"""Payloads that came late: each is asked for again, with ever longer pauses, and when it is there its group is executed
anew from that block on, in order, and put in place by one commit. Until then the old state stands.

Works in the processor's thread, between its steps. A late payload has a slice of time, like one that came in time, and what
does not end in it is executed apart (see `long_execution`). After `STEP_SECONDS` new blocks go first: anybody can send many
markers, and the payloads that take long later.
"""

import time
from dataclasses import replace
from heapq import nsmallest
from itertools import islice, takewhile

import structlog

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.long_transactions import LongTransaction, LongWriter
from lacnode.privacy.state.marker import payload_key_of
from lacnode.privacy.state.payloads import ManagerFails, NoPayload, UselessPayload, task_for
from lacnode.privacy.state.processor import PrivateProcessor, next_try
from lacnode.privacy.state.rebuilding import CannotRebuild, Rebuilding
from lacnode.privacy.state.store import AbsentMarker, Place, PrivateWriter, StoredPrivate
from lacnode.privacy.state.surroundings import Surroundings
from lacnode.privacy.transaction_manager import ManagerUnreachable

log = structlog.get_logger("privacy")

AT_ONCE = 100
"""Absent payloads asked for in one round."""

STEP_SECONDS = 0.5
"""After which no more payloads are asked for in one step."""

ARRIVED = 0
"""When a payload that has come is due: before all others."""

RENEWED_AT_ONCE = 5_000
"""Absent markers put to the front in one commit."""


class Repair:
    """See the module's note."""

    def __init__(self, around: Surroundings, processor: PrivateProcessor) -> None:
        self._around = around
        self._processor = processor
        self._rebuilding = Rebuilding(around, processor)

    def step(self) -> bool:
        """Ask for the absent payloads that are due; False if none was, or the manager does not answer."""
        due, waiting = self._due(), list[AbsentMarker]()
        try:
            until = time.monotonic() + STEP_SECONDS
            for marker in due:
                waiting.extend(self._try(marker))
                if time.monotonic() > until:
                    break
        except ManagerUnreachable:
            return False
        finally:
            self._wait_on(waiting)
        return bool(due)

    def ask_now(self) -> int:
        """Have every absent payload asked for at once, those given up too; how many there are."""
        count, start = 0, Place(0, 0)
        while True:
            with self._around.database.write() as batch:
                markers = list(islice(StoredPrivate(batch).absent(start), RENEWED_AT_ONCE))
                for marker in markers:
                    PrivateWriter(batch).absent(replace(marker, due=int(self._around.now()), tries=0))
            count += len(markers)
            if len(markers) < RENEWED_AT_ONCE:
                return count
            start = Place(markers[-1].place.number, markers[-1].place.index + 1)

    def arrived(self, payload_key: bytes) -> bool:
        """A payload has come to the manager; whether something waited for it, which is then done in the next step."""
        with self._around.database.read() as snapshot:
            if not any(StoredPrivate(snapshot).awaited(payload_key)):
                return False
        with self._around.database.write() as batch:
            for marker in list(StoredPrivate(batch).awaited(payload_key)):
                PrivateWriter(batch).absent(replace(marker, due=ARRIVED, is_preferred=True))
        return True

    def _due(self) -> list[AbsentMarker]:
        """What is asked for next: what has come, then what a known signer announced, then what waits longest."""
        now = self._around.now()
        with self._around.database.read() as snapshot:
            stored = StoredPrivate(snapshot)
            due = takewhile(lambda entry: entry[0] <= now, stored.due())
            next_ones = nsmallest(AT_ONCE, due, key=lambda entry: (not entry[1], entry[0], entry[2]))
            markers = [stored.absent_at(place) for _, _, place in next_ones]
        return [marker for marker in markers if marker is not None]

    def _try(self, marker: AbsentMarker) -> list[AbsentMarker]:
        """The marker as it waits on, if it does."""
        transaction = self._rebuilding.transaction(marker.place)
        try:
            task = task_for(self._around.manager, transaction, marker.place.index, self._around.mode)
            self._execute(marker, transaction, task)
        except NoPayload:
            return [self._postponed(marker, failing=False)]
        except ManagerFails:
            return [self._postponed(marker, failing=True)]
        except UselessPayload as useless:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(useless))
            with self._around.database.write() as batch:
                PrivateWriter(batch).found(marker.place)
        except CannotRebuild as cannot:
            log.warning("a group's private state cannot be rebuilt yet", block=marker.place.number, why=str(cannot))
            return [self._postponed(marker, failing=True)]
        return []

    def _execute(self, marker: AbsentMarker, transaction: Transaction, task: PrivateTask) -> None:
        """Execute the group anew, or leave it to who executes apart: at once where that one works on the group already."""
        slices = self._processor.slices_at(marker.place.number)
        if not slices.admits(task.group_id):
            self._execute_apart(marker, task)
            return
        try:
            with slices.slices.slice() as budget:
                self._prepare(marker, transaction, task, budget)
                self._rebuilding.rebuild(marker.place, task, budget)
        except BudgetExceededError:
            self._execute_apart(marker, task)

    def _execute_apart(self, marker: AbsentMarker, task: PrivateTask) -> None:
        with self._around.database.write() as batch:
            PrivateWriter(batch).found(marker.place)
            LongWriter(batch).waits(LongTransaction(task.group_id, marker.place, marker.marker_hash))

    def _prepare(
        self, marker: AbsentMarker, transaction: Transaction, task: PrivateTask, budget: ExecutionBudget
    ) -> None:
        """Have the past of a group there that its new members are told; NoPayload while this is what is waited for."""
        rehydration = self._processor.rehydration
        rehydration.prepare(transaction, marker.place.number, task.group_id, budget)
        waits_for_history = marker.payload_key != payload_key_of(transaction)
        if waits_for_history and not rehydration.has(marker.payload_key):
            raise NoPayload

    def _postponed(self, marker: AbsentMarker, *, failing: bool) -> AbsentMarker:
        tries = marker.tries + 1
        return replace(marker, failing=failing, tries=tries, due=next_try(self._around.now(), tries))

    def _wait_on(self, waiting: list[AbsentMarker]) -> None:
        """In one commit: most payloads that are asked for are others' and never come."""
        if waiting:
            with self._around.database.write() as batch:
                for marker in waiting:
                    PrivateWriter(batch).absent(marker)
