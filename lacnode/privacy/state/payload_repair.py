"""Asks again for absent payloads, with growing pauses. When one comes, its group is executed again from that block on.

One commit puts the result in place. Until then the old state stays, except after a history that the operator has
accepted: it is stored in a commit before. The repair works in the processor's thread, between its steps. The late
payloads of a group that have come are executed in one rebuild, except that one with a history has a rebuild of its own.
It has a time slice like any other execution. If it does not end, they are executed apart (see `long_execution`). A
group whose rebuilds lately took long waits until more payloads are collected: a member can keep payloads back, and send
them one by one. After `REPAIR_STEP_SECONDS` new blocks come first: any account can send many markers, and later their
slow payloads.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import islice, takewhile

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.group_rebuilding import GroupRebuilder, GroupRebuildError
from lacnode.privacy.state.group_use import GroupUse
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction, LongTransactionWriter
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import read_history_key, read_payload_key
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_state_quota import PrivateStateFullError
from lacnode.privacy.state.private_store import AbsentMarker, MarkerPlace, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state.processor import PrivateProcessor, log_ignored, next_payload_request_time
from lacnode.privacy.state.time_slices import GroupSlices
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog

MAX_PAYLOADS_AT_ONCE = 100
"""The largest number of absent payloads that are asked for in one step."""

REPAIR_STEP_SECONDS = 0.5
"""The time after which no more payloads are asked for in one step."""

DUE_AT_ONCE = 0
"""The due time of a payload that has arrived. It comes before all others."""

MARKERS_RENEWED_AT_ONCE = 5_000
"""The largest number of absent markers that one commit makes due."""


LATE_PAYLOAD = "the execution of a late payload"

REBUILDS_SECONDS = 1.0
"""The seconds that the rebuilds of one group may lately have taken. Beyond them its late payloads wait and are collected."""

ALL_REBUILDS_SECONDS = 4.0
"""The seconds that the rebuilds of all other groups may lately have taken. Beyond them a group is rebuilt apart."""

REBUILDS_HALF_LIFE_SECONDS = 10.0
"""The time in which half of this use is forgotten."""

_EXPECTED = (PayloadNotFoundError, PayloadUnavailableError, UnusablePayloadError, GroupRebuildError)


@dataclass(frozen=True, slots=True)
class _LatePayload:
    """A payload that has come, its marker, its group and the key of its sender."""

    marker: AbsentMarker
    transaction: Transaction
    group_id: bytes
    private_from: bytes

    def batch_key(self) -> bytes:
        """Return the key of the payloads that are executed in one rebuild with this one."""
        # A marker with a history is alone: its history may be absent, and the others must not wait for it.
        has_history = read_history_key(self.transaction) is not None
        return self.group_id + (self.marker.place.key() if has_history else b"")


class PayloadRepair:
    """Asks the manager again for absent payloads, and rebuilds the groups whose payload has come.

    `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        context: PrivacyContext,
        processor: PrivateProcessor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._use = GroupUse(clock, REBUILDS_HALF_LIFE_SECONDS)
        self._context = context
        self._processor = processor
        self._rebuilding = GroupRebuilder(context, processor)
        self._log = RateLimitedLog("privacy", clock)

    def step(self) -> bool:
        """Ask the manager for absent payloads that are due, and execute the groups of those that came. Return True if
        some were due, with or without success. False if none is due or the manager does not answer. StorageError if the
        database fails, ExecutionCancelledError if the node stops."""
        # The list is read before the work. What becomes due meanwhile has its turn in the next step.
        due, waiting, groups = self._due(), list[AbsentMarker](), dict[bytes, list[_LatePayload]]()
        try:
            until = time.monotonic() + REPAIR_STEP_SECONDS
            # A step handles as many as fit into its time. The others stay due.
            for marker in due:
                waiting.extend(self._collect(marker, groups))
                if time.monotonic() > until:
                    break
            # Each group is executed once for all its late payloads, from the first of their markers on.
            for group in groups.values():
                waiting.extend(self._execute(group))
                if time.monotonic() > until:
                    break
        except EnclaveUnreachableError:
            return False
        finally:
            # Also after an error: each request that was made must count, or the same payload would be asked for
            # without a pause.
            self._wait_on(waiting, due)
        return bool(due)

    def make_all_due(self) -> int:
        """Make every absent marker due now, also those that were given up, so that the next steps ask for them. Return
        their number. Nothing is asked here. Markers beyond the limit, which are only found when their payload arrives,
        are not counted."""
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

    def make_due(self, payload_key: bytes) -> bool:
        """Make the markers of the payload `payload_key` (32 bytes) due at once: it has arrived at the manager. False if
        no marker waits for it."""
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

    def _collect(self, marker: AbsentMarker, groups: dict[bytes, list[_LatePayload]]) -> list[AbsentMarker]:
        """Ask for one payload and put it to those of its group. Return the marker if it still waits, else an empty list."""
        self._context.engine.check_running()
        try:
            transaction = self._rebuilding.read_marker(marker.place)
            late = self._read(marker, transaction)
        except _EXPECTED as error:
            return self._after_failure([marker], error)
        except Exception as error:
            self._context.failures.record_or_reraise(marker.payload_key, LATE_PAYLOAD, error)
            return [self._postponed(marker, failing=False)]
        if isinstance(late, _LatePayload):
            groups.setdefault(late.batch_key(), []).append(late)
            return []
        return late

    def _read(self, marker: AbsentMarker, transaction: Transaction) -> "_LatePayload | list[AbsentMarker]":
        """Return the payload, or the marker if it waits. It is empty if the payload is executed apart."""
        # The slice is asked for before the payload is read. A payload of 15 MB takes a fifth of a second to read.
        slices, known = (
            self._processor.create_slices(is_behind=False),
            self._processor.reader.known_facts_of(transaction),
        )
        if known is not None:
            late = _LatePayload(marker, transaction, known.group_id, known.private_from)
            if not self._admits(slices, late):
                self._execute_apart([late], slices)
                return []
            if self._seconds_to_wait(known.group_id):
                return [self._collected_later(late)]
        started = slices.slices.clock()
        task = self._processor.reader.read_task(transaction, marker.place.index)
        slices.count_use(task.group_id, slices.slices.clock() - started, has_changed=True)
        return _LatePayload(marker, transaction, task.group_id, task.private.private_from)

    def _execute(self, group: list[_LatePayload]) -> list[AbsentMarker]:
        """Execute a group again with its late payloads. Return the markers that still wait."""
        try:
            return self._execute_or_wait(group)
        except _EXPECTED as error:
            return self._after_failure([late.marker for late in group], error)
        except Exception as error:
            # They would be the first ones again at each step, and no other group would be repaired.
            self._context.failures.record_or_reraise(group[0].group_id, LATE_PAYLOAD, error)
            return [self._postponed(late.marker, failing=False) for late in group]

    def _execute_or_wait(self, group: list[_LatePayload]) -> list[AbsentMarker]:
        slices, group_id = self._processor.create_slices(is_behind=False), group[0].group_id
        # The slice is that of an own or a punctual sender, if there is one. The group is the same.
        first = next((late for late in group if slices.prior.is_own_or_punctual_sender(late.private_from)), group[0])
        if not self._admits(slices, first):
            self._execute_apart(group, slices)
            return []
        if self._seconds_to_wait(group_id):
            return [self._collected_later(late) for late in group]
        started = slices.slices.clock()
        try:
            with slices.slice(group_id, first.private_from) as budget:
                self._rebuild(group, budget)
        except BudgetExceededError:
            self._execute_apart(group, slices)
        finally:
            seconds = slices.slices.clock() - started
            # A rebuild always changes the state, so only its time beyond the ordinary counts.
            slices.count_use(group_id, seconds, has_changed=True)
            self._use.add(group_id, seconds)
        return []

    def _admits(self, slices: GroupSlices, late: _LatePayload) -> bool:
        # Many groups with late payloads are left to the other thread, which chooses the group with the least use.
        others_seconds = self._use.total() - self._use.seconds_of(late.group_id)
        return others_seconds <= ALL_REBUILDS_SECONDS and slices.admits(late.group_id, late.private_from)

    def _seconds_to_wait(self, group_id: bytes) -> float:
        """Return the seconds until the group is executed again for late payloads."""
        # A rebuild executes everything after the late marker. A member could keep payloads back, and send them one by one.
        used_seconds = self._use.seconds_of(group_id)
        if used_seconds <= REBUILDS_SECONDS:
            return 0.0
        return REBUILDS_HALF_LIFE_SECONDS * math.log2(used_seconds / REBUILDS_SECONDS)

    def _collected_later(self, late: _LatePayload) -> AbsentMarker:
        """Return the marker as it waits for one rebuild with all that come until then. This is no try."""
        return replace(
            late.marker, due=math.ceil(self._context.now() + self._seconds_to_wait(late.group_id)), is_preferred=True
        )

    def _rebuild(self, group: list[_LatePayload], budget: ExecutionBudget) -> None:
        for late in group:
            self._prepare(late, budget)
        found = {late.marker.place: self._rebuilding.unread_task(late.marker.place, self._read_again) for late in group}
        self._rebuilding.rebuild(group[0].group_id, found, budget)

    def _read_again(self, place: MarkerPlace) -> PrivateTask:
        return self._processor.reader.read_task(self._rebuilding.read_marker(place), place.index)

    def _execute_apart(self, group: list[_LatePayload], slices: GroupSlices) -> None:
        """Leave the payloads to the long execution, which may work on the group already."""
        with self._context.database.write() as batch:
            for late in group:
                is_preferred, place = slices.prior.is_own_or_punctual_sender(late.private_from), late.marker.place
                PrivateStoreWriter(batch).delete_absent(place)
                # In the same commit: the marker leaves the absent ones and joins the long ones. A crash must not lose it.
                LongTransactionWriter(batch).add(
                    LongPrivateTransaction(late.group_id, place, late.marker.marker_hash, is_preferred=is_preferred)
                )

    def _prepare(self, late: _LatePayload, budget: ExecutionBudget) -> None:
        """Take over the group history for new members. PayloadNotFoundError if the marker waits for it and it is absent."""
        rehydration, marker = self._processor.rehydration, late.marker
        # The history comes before the transaction that added this node, so it is executed before it.
        rehydration.take_over_history(late.transaction, marker.place.number, late.group_id, budget)
        # A marker with two keys may wait for the history. The payload key in the record says which of the two is
        # missing.
        waits_for_history = marker.payload_key != read_payload_key(late.transaction)
        if waits_for_history and not rehydration.has_taken_over(late.group_id, marker.payload_key):
            raise PayloadNotFoundError

    def _after_failure(self, markers: list[AbsentMarker], error: Exception) -> list[AbsentMarker]:
        """Return the markers that still wait after the expected `error`."""
        if isinstance(error, GroupRebuildError):
            text, number = "a group's private state cannot be rebuilt yet", markers[0].place.number
            self._log.warning("rebuild", text, block=number, why=str(error))
        # The reading of one payload shows that it is useless. After a rebuild of several it is not known which one is.
        if isinstance(error, UnusablePayloadError) and len(markers) == 1:
            log_ignored(self._log, markers[0].marker_hash, error)
            with self._context.database.write() as batch:
                PrivateStoreWriter(batch).delete_absent(markers[0].place)
            return []
        # A full quota is no failure of the manager. Only the group of this payload waits then.
        is_failing = not isinstance(error, (PayloadNotFoundError, PrivateStateFullError))
        return [self._postponed(marker, failing=is_failing) for marker in markers]

    def _postponed(self, marker: AbsentMarker, *, failing: bool) -> AbsentMarker:
        # A failure counts like a missing payload. Both mean that asking at once again would not help.
        tries = marker.tries + 1
        return replace(marker, failing=failing, tries=tries, due=next_payload_request_time(self._context.now(), tries))

    def _wait_on(self, waiting: list[AbsentMarker], due: list[AbsentMarker]) -> None:
        """Store the markers that still wait, in one commit, each in place of its record in `due`. Most payloads belong to
        other groups and never come."""
        if not waiting:
            return
        before = {marker.place: marker for marker in due}
        with self._context.database.write() as batch:
            stored, writer = PrivateStoreReader(batch), PrivateStoreWriter(batch)
            for marker in waiting:
                # The manager may take seconds to answer. Meanwhile another thread may have made the marker due, or an
                # operator may have decided about it.
                if stored.absent_at(marker.place) == before[marker.place]:
                    writer.write_absent(marker)
