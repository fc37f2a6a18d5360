"""Asks again for absent payloads, with growing pauses. When one comes, its group is executed again from that block on.

One commit puts the result in place. Until then the old state stays. The repair works in the processor's thread, between its
steps. A late payload has a time slice like any other one. If it does not end, it is executed apart (see `long_execution`).
After `REPAIR_STEP_SECONDS` new blocks come first: any account can send many markers, and later their slow payloads.
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
from lacnode.privacy.state.private_state_quota import PrivateStateFullError
from lacnode.privacy.state.private_store import AbsentMarker, MarkerPlace, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state.processor import PrivateProcessor, next_retry_time
from lacnode.privacy.state.time_slices import GroupSlices
from lacnode.privacy.transaction_manager import EnclaveUnreachableError

log = structlog.get_logger("privacy")

MAX_PAYLOADS_AT_ONCE = 100
"""The largest number of absent payloads that are asked for in one step."""

REPAIR_STEP_SECONDS = 0.5
"""The time after which no more payloads are asked for in one step."""

DUE_AT_ONCE = 0
"""The due time of a payload that has arrived. It comes before all others."""

MARKERS_RENEWED_AT_ONCE = 5_000
"""The largest number of absent markers that one commit makes due."""


class PayloadRepair:
    """Asks the manager again for absent payloads, and rebuilds the groups whose payload has come."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        self._rebuilding = GroupRebuilder(context, processor)

    def step(self) -> bool:
        """Ask for the absent payloads that are due. False if none is due or the manager does not answer."""
        # The list is read before the work. What becomes due meanwhile has its turn in the next step.
        due, waiting = self._due(), list[AbsentMarker]()
        try:
            until = time.monotonic() + REPAIR_STEP_SECONDS
            # A step handles as many as fit into its time. The others stay due.
            for marker in due:
                waiting.extend(self._try(marker))
                if time.monotonic() > until:
                    break
        except EnclaveUnreachableError:
            return False
        finally:
            # Also after an error: each request that was made must count, or the same payload would be asked for
            # without a pause.
            self._wait_on(waiting)
        return bool(due)

    def retry_all(self) -> int:
        """Make every absent payload due now, also those that were given up. Return their number."""
        count, start = 0, MarkerPlace(0, 0)
        # Several commits, each with a bounded number of rows. One commit of all rows would block other writers for seconds.
        while True:
            with self._context.database.write() as batch:
                markers = list(islice(PrivateStoreReader(batch).absent_markers(start), MARKERS_RENEWED_AT_ONCE))
                for marker in markers:
                    PrivateStoreWriter(batch).write_absent(replace(marker, due=int(self._context.now()), tries=0))
            count += len(markers)
            if len(markers) < MARKERS_RENEWED_AT_ONCE:
                return count
            start = MarkerPlace(markers[-1].place.number, markers[-1].place.index + 1)

    def note_arrival(self, payload_key: bytes) -> bool:
        """Make a payload due that has arrived at the manager. True if a marker waited for it."""
        with self._context.database.read() as snapshot:
            # Most payloads that arrive are for markers that are not mined yet. They must not cost a write.
            if not any(PrivateStoreReader(snapshot).absent_markers_of(payload_key)):
                return False
        with self._context.database.write() as batch:
            for marker in list(PrivateStoreReader(batch).absent_markers_of(payload_key)):
                PrivateStoreWriter(batch).write_absent(replace(marker, due=DUE_AT_ONCE, is_preferred=True))
        return True

    def _due(self) -> list[AbsentMarker]:
        """Return the next payloads: those that have arrived, those of known signers, then those that waited longest."""
        now = self._context.now()
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            # The table is sorted by time, so the reading ends at the first entry that is not due. There may be 10,000.
            due = takewhile(lambda entry: entry[0] <= now, stored.due_times())
            # Only as many as one step can ask for are sorted out. The whole list may have 10,000 entries.
            next_ones = nsmallest(MAX_PAYLOADS_AT_ONCE, due, key=lambda entry: (not entry[1], entry[0], entry[2]))
            markers = [stored.absent_at(place) for _, _, place in next_ones]
        return [marker for marker in markers if marker is not None]

    def _try(self, marker: AbsentMarker) -> list[AbsentMarker]:
        """Ask for one payload. Return the marker if it still waits, else an empty list."""
        self._context.engine.check_running()
        try:
            self._read_and_execute(marker, self._rebuilding.read_marker(marker.place))
        except PayloadNotFoundError:
            return [self._postponed(marker, failing=False)]
        except PayloadUnavailableError as failure:
            # A full quota is no failure of the manager. Only the group of this payload waits then.
            return [self._postponed(marker, failing=not isinstance(failure, PrivateStateFullError))]
        except UnusablePayloadError as useless:
            log.warning("private transaction ignored", marker=marker.marker_hash.hex(), why=str(useless))
            with self._context.database.write() as batch:
                PrivateStoreWriter(batch).delete_absent(marker.place)
        except GroupRebuildError as cannot:
            log.warning("a group's private state cannot be rebuilt yet", block=marker.place.number, why=str(cannot))
            return [self._postponed(marker, failing=True)]
        except Exception as error:
            # It would be the first one again at each step, and no other group would be repaired.
            self._context.failures.record_failure(marker.payload_key, "the execution of a late payload", error)
            return [self._postponed(marker, failing=True)]
        return []

    def _read_and_execute(self, marker: AbsentMarker, transaction: Transaction) -> None:
        """Execute the group again, or leave it to the long execution, which may work on the group already."""
        # The slice is asked for before the payload is read. A payload of 15 MB takes a fifth of a second to read.
        slices, known = self._processor.slices(is_behind=False), self._processor.reader.known_of(transaction)
        if known is not None and not slices.admits(known.group_id, known.private_from):
            self._execute_apart(marker, known.group_id, known.private_from, slices)
            return
        started = slices.slices.clock()
        task = self._processor.reader.read_task(transaction, marker.place.index)
        try:
            self._execute(marker, transaction, task, slices)
        finally:
            # A rebuild always changes the state, so only its time beyond the ordinary counts.
            slices.count_use(task.group_id, slices.slices.clock() - started, has_changed=True)

    def _execute(self, marker: AbsentMarker, transaction: Transaction, task: PrivateTask, slices: GroupSlices) -> None:
        private_from = task.private.private_from
        if not slices.admits(task.group_id, private_from):
            self._execute_apart(marker, task.group_id, private_from, slices)
            return
        try:
            with slices.slice(task.group_id, private_from) as budget:
                self._prepare(marker, transaction, task, budget)
                self._rebuilding.rebuild(task.group_id, {marker.place: task}, budget)
        except BudgetExceededError:
            self._execute_apart(marker, task.group_id, private_from, slices)

    def _execute_apart(self, marker: AbsentMarker, group_id: bytes, private_from: bytes, slices: GroupSlices) -> None:
        is_preferred = slices.prior.is_own_or_punctual_sender(private_from)
        with self._context.database.write() as batch:
            PrivateStoreWriter(batch).delete_absent(marker.place)
            # In the same commit: the marker leaves the absent ones and joins the long ones. A crash must not lose it.
            long = LongPrivateTransaction(group_id, marker.place, marker.marker_hash, is_preferred=is_preferred)
            LongTransactionWriter(batch).add(long)

    def _prepare(
        self, marker: AbsentMarker, transaction: Transaction, task: PrivateTask, budget: ExecutionBudget
    ) -> None:
        """Take over the group history for new members. PayloadNotFoundError if the marker waits for it and it is absent."""
        rehydration = self._processor.rehydration
        # The history comes before the transaction that added this node, so it is executed before it.
        rehydration.prepare(transaction, marker.place.number, task.group_id, budget)
        # A marker with two keys may wait for the history. The payload key in the record says which of the two is
        # missing.
        waits_for_history = marker.payload_key != read_payload_key(transaction)
        if waits_for_history and not rehydration.has(marker.payload_key):
            raise PayloadNotFoundError

    def _postponed(self, marker: AbsentMarker, *, failing: bool) -> AbsentMarker:
        # A failure counts like a missing payload. Both mean that asking at once again would not help.
        tries = marker.tries + 1
        return replace(marker, failing=failing, tries=tries, due=next_retry_time(self._context.now(), tries))

    def _wait_on(self, waiting: list[AbsentMarker]) -> None:
        """Store the markers that still wait, in one commit. Most payloads belong to other groups and never come."""
        if waiting:
            with self._context.database.write() as batch:
                for marker in waiting:
                    PrivateStoreWriter(batch).write_absent(marker)
