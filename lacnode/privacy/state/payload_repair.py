"""Payloads that came late: each is asked for again, with ever longer pauses, and when it is there its group is executed
anew from that block on, in order, and put in place by one commit. Until then the old state stands.

Works in the processor's thread, between its steps. A late payload has a slice of time, like one that came in time, and what
does not end in it is executed apart (see `long_execution`). After `REPAIR_STEP_SECONDS` new blocks go first: anybody
can send many
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
from lacnode.privacy.state.group_rebuilding import GroupRebuilder, GroupRebuildError
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction, LongTransactionWriter
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import read_payload_key
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_store import AbsentMarker, MarkerPlace, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state.processor import PrivateProcessor, next_retry_time
from lacnode.privacy.state.time_slices import GroupSlices
from lacnode.privacy.transaction_manager import EnclaveUnreachableError

log = structlog.get_logger("privacy")

MAX_PAYLOADS_AT_ONCE = 100
"""Absent payloads asked for in one round."""

REPAIR_STEP_SECONDS = 0.5
"""After which no more payloads are asked for in one step."""

DUE_AT_ONCE = 0
"""When a payload that has come is due: before all others."""

MARKERS_RENEWED_AT_ONCE = 5_000
"""Absent markers put to the front in one commit."""


class PayloadRepair:
    """See the module's note."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        self._rebuilding = GroupRebuilder(context, processor)

    def step(self) -> bool:
        """Ask for the absent payloads that are due; False if none was, or the manager does not answer."""
        due, waiting = self._due(), list[AbsentMarker]()
        try:
            until = time.monotonic() + REPAIR_STEP_SECONDS
            for marker in due:
                waiting.extend(self._try(marker))
                if time.monotonic() > until:
                    break
        except EnclaveUnreachableError:
            return False
        finally:
            self._wait_on(waiting)
        return bool(due)

    def retry_all(self) -> int:
        """Have every absent payload asked for at once, those given up too; how many there are."""
        count, start = 0, MarkerPlace(0, 0)
        while True:
            with self._context.database.write() as batch:
                markers = list(islice(PrivateStoreReader(batch).absent(start), MARKERS_RENEWED_AT_ONCE))
                for marker in markers:
                    PrivateStoreWriter(batch).absent(replace(marker, due=int(self._context.now()), tries=0))
            count += len(markers)
            if len(markers) < MARKERS_RENEWED_AT_ONCE:
                return count
            start = MarkerPlace(markers[-1].place.number, markers[-1].place.index + 1)

    def note_arrival(self, payload_key: bytes) -> bool:
        """A payload has come to the manager; whether something waited for it, which is then done in the next step."""
        with self._context.database.read() as snapshot:
            if not any(PrivateStoreReader(snapshot).awaited(payload_key)):
                return False
        with self._context.database.write() as batch:
            for marker in list(PrivateStoreReader(batch).awaited(payload_key)):
                PrivateStoreWriter(batch).absent(replace(marker, due=DUE_AT_ONCE, is_preferred=True))
        return True

    def _due(self) -> list[AbsentMarker]:
        """What is asked for next: what has come, then what a known signer announced, then what waits longest."""
        now = self._context.now()
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            due = takewhile(lambda entry: entry[0] <= now, stored.due())
            next_ones = nsmallest(MAX_PAYLOADS_AT_ONCE, due, key=lambda entry: (not entry[1], entry[0], entry[2]))
            markers = [stored.absent_at(place) for _, _, place in next_ones]
        return [marker for marker in markers if marker is not None]

    def _try(self, marker: AbsentMarker) -> list[AbsentMarker]:
        """The marker as it waits on, if it does."""
        transaction = self._rebuilding.transaction(marker.place)
        self._context.engine.check_running()
        try:
            self._read_and_execute(marker, transaction)
        except PayloadNotFoundError:
            return [self._postponed(marker, failing=False)]
        except PayloadUnavailableError:
            return [self._postponed(marker, failing=True)]
        except UnusablePayloadError as useless:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(useless))
            with self._context.database.write() as batch:
                PrivateStoreWriter(batch).found(marker.place)
        except GroupRebuildError as cannot:
            log.warning("a group's private state cannot be rebuilt yet", block=marker.place.number, why=str(cannot))
            return [self._postponed(marker, failing=True)]
        return []

    def _read_and_execute(self, marker: AbsentMarker, transaction: Transaction) -> None:
        """Execute the group anew, or leave it to who executes apart: at once where that one works on the group already."""
        slices, known = self._processor.slices(is_behind=False), self._processor.reader.known_of(transaction)
        if known is not None and not slices.admits(known.group_id, known.private_from):
            self._execute_apart(marker, known.group_id, known.private_from, slices)
            return
        started = slices.slices.clock()
        task = self._processor.reader.read(transaction, marker.place.index)
        try:
            self._execute(marker, transaction, task, slices)
        finally:
            slices.used(task.group_id, slices.slices.clock() - started, has_changed=True)

    def _execute(self, marker: AbsentMarker, transaction: Transaction, task: PrivateTask, slices: GroupSlices) -> None:
        private_from = task.private.private_from
        if not slices.admits(task.group_id, private_from):
            self._execute_apart(marker, task.group_id, private_from, slices)
            return
        try:
            with slices.slices.slice() as budget:
                self._prepare(marker, transaction, task, budget)
                self._rebuilding.rebuild(marker.place, task.group_id, task, budget)
        except BudgetExceededError:
            self._execute_apart(marker, task.group_id, private_from, slices)

    def _execute_apart(self, marker: AbsentMarker, group_id: bytes, private_from: bytes, slices: GroupSlices) -> None:
        is_preferred = slices.prior.is_known_sender(private_from)
        with self._context.database.write() as batch:
            PrivateStoreWriter(batch).found(marker.place)
            long = LongPrivateTransaction(group_id, marker.place, marker.marker_hash, is_preferred=is_preferred)
            LongTransactionWriter(batch).waits(long)

    def _prepare(
        self, marker: AbsentMarker, transaction: Transaction, task: PrivateTask, budget: ExecutionBudget
    ) -> None:
        """Have the past of a group there that its new members are told; PayloadNotFoundError while this is what is
        waited for."""
        rehydration = self._processor.rehydration
        rehydration.prepare(transaction, marker.place.number, task.group_id, budget)
        waits_for_history = marker.payload_key != read_payload_key(transaction)
        if waits_for_history and not rehydration.has(marker.payload_key):
            raise PayloadNotFoundError

    def _postponed(self, marker: AbsentMarker, *, failing: bool) -> AbsentMarker:
        tries = marker.tries + 1
        return replace(marker, failing=failing, tries=tries, due=next_retry_time(self._context.now(), tries))

    def _wait_on(self, waiting: list[AbsentMarker]) -> None:
        """In one commit: most payloads that are asked for are others' and never come."""
        if waiting:
            with self._context.database.write() as batch:
                for marker in waiting:
                    PrivateStoreWriter(batch).absent(marker)
