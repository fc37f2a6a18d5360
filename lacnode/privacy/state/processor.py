"""Executes private transactions behind the public chain, block after block.

Public blocks are imported first and do not depend on it. They go on even when the manager does not answer. A cursor has
the last finished block. The private results of a block and the cursor are one commit. After a crash a block is repeated
or nothing is lost. While the manager does not answer, the cursor stays. A marker whose payload the manager does not
have, or does not give, is recorded and asked for again. When its payload comes, its group is executed again from there
(see `payload_repair`). A private transaction that takes long is recorded too and executed apart (see `long_execution`),
while other groups and blocks go on.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.crypto.secp256k1 import recover_sender
from lacnode.evm.budget import BudgetExceededError
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.absent_marker_limit import AbsentMarkerLimit
from lacnode.privacy.state.announced_payloads import is_signer_of_held_payload
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.executed_payloads import ExecutedPayloads
from lacnode.privacy.state.execution import PrivateBlockExecutor, PrivateTask, UnreadTask
from lacnode.privacy.state.execution_progress import ExecutionProgress
from lacnode.privacy.state.flexible.contract_answers import ContractAnswers
from lacnode.privacy.state.flexible.group_contracts import create_group_accounts
from lacnode.privacy.state.flexible.rehydration import Rehydration
from lacnode.privacy.state.group_genesis import GroupGenesis
from lacnode.privacy.state.long_private_transactions import LongTransactionWriter
from lacnode.privacy.state.payload_reader import PayloadReader
from lacnode.privacy.state.prior_execution import StoredPriorFacts
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import GroupMode, read_history_key, read_payload_key
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_state_quota import PrivateStateFullError
from lacnode.privacy.state.private_store import (
    AbsentMarker,
    MarkerPlace,
    PrivateNodeStore,
    PrivateStoreReader,
    PrivateStoreWriter,
)
from lacnode.privacy.state.sliced_execution import SlicedExecution
from lacnode.privacy.state.time_slices import GroupSlices, TimeSlices
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog

log = structlog.get_logger("privacy")

MANAGER_FAILURES_ALLOWED = 3
"""How often a manager that answers may fail to give a payload before the next marker is taken."""

FIRST_PAYLOAD_RETRY_SECONDS, LONGEST_PAYLOAD_RETRY_SECONDS = 30, 6 * 3600
"""The pauses before an absent payload is asked for again: the first one and the longest one."""

MAX_PAYLOAD_REQUESTS = 6
"""The number of requests after which an absent payload is asked for only when the operator wants it."""

BEHIND_BLOCKS = 2
"""The number of waiting blocks from which a group has no time slice if it takes more than its share."""


@dataclass(frozen=True, slots=True)
class PrivateBlock:
    """A block whose private transactions were executed, its on-chain hash (32 bytes), and the new logs of each group by
    the group's id."""

    header: BlockHeader
    hash: bytes
    logs: Mapping[bytes, Sequence[LogWithMetadata]]


Listener = Callable[[PrivateBlock], None]

_NUMBER = re.compile(r"\d+")


class EndLongTransactionTry(Protocol):
    """A function that may end the running try of a long transaction. `waiting` are the ids (32 bytes) of the groups that
    begin to wait, and whether an own or a punctual sender's transaction waits there."""

    def __call__(self, waiting: Mapping[bytes, bool]) -> None: ...


class PrivateProcessor:
    """Executes the private transactions of new blocks. Only `step` and `create_slices` are bound to one thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context
        # In the flexible mode every group begins with its two contracts. The manager's groups begin empty or with the
        # genesis file.
        contracts = create_group_accounts() if context.mode is GroupMode.FLEXIBLE else ()
        self.contract_answers = ContractAnswers(context.engine.initial_state)
        self._genesis = GroupGenesis(context.engine.initial_state, context.genesis, contracts)
        self.rehydration = Rehydration(context, self.create_executor)
        self._store = PrivateNodeStore(context.database)
        self._listeners: list[Listener] = []
        self.progress = ExecutionProgress(context)
        self._failures = 0
        self._log = RateLimitedLog("privacy", time.monotonic)
        self._slices = TimeSlices()
        self.reader = PayloadReader(context)
        self._preempt: EndLongTransactionTry | None = None
        self.absent_limit = AbsentMarkerLimit(context.database)

    # -- listening ---------------------------------------------------------------------------------------------------

    def on_private_logs(self, listener: Listener) -> None:
        """Call `listener` for each later block that gives new private logs, also when a group is executed again. The
        thread that has executed the block calls it, before a read that waits for the block goes on. So the listener
        must be quick and must not wait for private execution. Its errors are logged."""
        self._listeners.append(listener)

    def on_groups_waiting(self, preempt: EndLongTransactionTry) -> None:
        """Set `preempt`, the function that may end the running try of a long transaction, in place of an earlier
        function. The thread of `step` calls it when groups begin to wait for a long transaction."""
        self._preempt = preempt

    # -- working -----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Execute the private transactions of the next block, store the results and return True. False if there is no
        next block, if its data is missing, or if the manager does not answer or fails: the next call tries it again. At
        failure `MANAGER_FAILURES_ALLOWED` for a payload that was never read, the block is executed without it: it is
        recorded as absent, and the result is True. PublicHistoryMissingError if the public block cannot be executed
        again, StorageError if the database fails, ExecutionCancelledError if the node stops."""
        number = self.progress.last_executed_block + 1
        if number > self._context.head():
            self.progress.set_waiting_for_manager(False)
            return False
        hash_ = self._context.history.hash_at(number)
        block = None if hash_ is None else self._context.history.block_of(hash_)
        if block is None or hash_ is None:
            return False
        # Most blocks have no marker. The cursor is stored once in many of them, because each commit costs a disk write.
        if not any(self._context.mode.may_be_marker(transaction) for transaction in block.transactions):
            self.progress.advance_to(number, save=self.progress.is_save_due(number))
            return True
        slices = self.create_slices(is_behind=self._context.head() - number >= BEHIND_BLOCKS)
        absent: list[AbsentMarker] = []
        run = self.create_executor(number)
        try:
            # The histories come first: a member that joins in this block needs them for the transactions in the block.
            self._prepare(block, absent, slices)
            records = SlicedExecution(run, slices, self._context.failures).execute(
                block, hash_, self._tasks(block, absent)
            )
        except (EnclaveUnreachableError, PayloadUnavailableError) as failure:
            # The cursor stays, and nothing of the block was stored. The next call begins the block again. A manager that
            # answers and fails is counted: after some tries the marker is left to the repair, and the chain goes on.
            self._failures += isinstance(failure, PayloadUnavailableError)
            self.progress.set_waiting_for_manager(True)
            self.progress.update_queued_markers()
            return False
        self._failures = 0
        self.progress.set_waiting_for_manager(False)
        self._finish(block, run, records, absent)
        return True

    def _tasks(self, block: Block, absent: list[AbsentMarker]) -> Iterator[UnreadTask]:
        """Yield the tasks of `block` in order. Markers without a payload are put into `absent`. Each payload is read in
        its turn: any account can put hundreds of markers into one block, of a payload that takes 50 MB."""
        # Markers whose history could not be had wait as a whole. They are executed when the history is there.
        without = {marker.place.index for marker in absent}
        for index, transaction in enumerate(block.transactions):
            if self._context.mode.may_be_marker(transaction) and index not in without:
                # The payload is read later, by the executor: after the checks that may show that it has no effect.
                read = partial(self._task, MarkerPlace(block.number, index), transaction, absent)
                yield self.reader.unread_task(transaction, index, read)

    def _task(self, place: MarkerPlace, transaction: Transaction, absent: list[AbsentMarker]) -> PrivateTask | None:
        try:
            return self.reader.read_task(transaction, place.index)
        except PayloadNotFoundError:
            absent.append(self.make_absent_marker(place, transaction, failing=False))
        except PrivateStateFullError as full:
            # The quota has warned already. A warning for each marker would let strangers fill the log.
            log.debug("private transaction waits", marker=transaction.hash.hex(), why=str(full))
            absent.append(self.make_absent_marker(place, transaction, failing=False))
        except UnusablePayloadError as useless:
            log_ignored(self._log, transaction.hash, useless)
        except PayloadUnavailableError as failure:
            absent.append(self._failing(place, transaction, failure))
        except Exception as error:
            absent.append(self._unreadable(place, transaction, error))
        return None

    def _unreadable(self, place: MarkerPlace, marker: Transaction, error: Exception) -> AbsentMarker:
        """Return the marker as it is recorded after an unexpected error. No other group waits for this payload."""
        self._context.failures.record_or_reraise(read_payload_key(marker), "the reading of a payload", error)
        return self.make_absent_marker(place, marker, failing=False)

    def _failing(self, place: MarkerPlace, marker: Transaction, failure: PayloadUnavailableError) -> AbsentMarker:
        """Return the marker as it is recorded after repeated failures of the manager. Raise `failure` before."""
        # The first failures stop at this block: a manager that restarts answers soon, and the order is then kept.
        if self._failures + 1 < MANAGER_FAILURES_ALLOWED:
            raise failure
        self._log.warning("failing", "the manager fails to give a payload", marker=marker.hash.hex(), why=str(failure))
        return self.make_absent_marker(place, marker, failing=True)

    def _prepare(self, block: Block, absent: list[AbsentMarker], slices: GroupSlices) -> None:
        """Take over the histories of flexible groups that markers announce, before the block is executed."""
        for index, transaction in enumerate(block.transactions):
            if not self._context.mode.may_be_marker(transaction) or read_history_key(transaction) is None:
                continue
            # The stop of the node must not wait for all histories of a block.
            self._context.engine.check_running()
            try:
                self._take_over(block, index, slices)
            except (PayloadNotFoundError, UnusablePayloadError, PrivateStateFullError):
                # `_tasks` reports it.
                continue
            except PayloadUnavailableError as failure:
                absent.append(self._failing(MarkerPlace(block.number, index), transaction, failure))
            except Exception as error:
                absent.append(self._unreadable(MarkerPlace(block.number, index), transaction, error))

    def _take_over(self, block: Block, index: int, slices: GroupSlices) -> None:
        """Take over the history of a flexible group, within a time slice like all execution."""
        transaction = block.transactions[index]
        known = self.reader.known_facts_of(transaction)
        if known is not None and not slices.admits(known.group_id, known.private_from):
            return
        started, before = slices.slices.clock(), slices.slices.recently_lost_seconds()
        task = self.reader.read_task(transaction, index)
        try:
            if slices.admits(task.group_id, task.private.private_from):
                with slices.slice(task.group_id, task.private.private_from) as budget:
                    self.rehydration.take_over_history(transaction, block.number, task.group_id, budget)
        except BudgetExceededError:
            # A history that does not fit into the slice is left to the long execution, which begins with it again.
            slices.hold_group(task.group_id)
        finally:
            # The time counts as use without a change: a history alone changes nothing that members see.
            lost = max(0.0, slices.slices.recently_lost_seconds() - before)
            slices.count_use(task.group_id, slices.slices.clock() - started, has_changed=False, lost_seconds=lost)

    def make_absent_marker(
        self, place: MarkerPlace, marker: Transaction, *, failing: bool, key: bytes | None = None
    ) -> AbsentMarker:
        """Return the first record of a marker whose payload (or the payload `key`, 32 bytes) cannot be had, due after
        30 s. It is not stored. `failing` says that the manager has the payload and fails to give it.
        `record_missing_payload_signer` of the context is called with the signer of the marker."""
        signer, key = recover_sender(marker), key or read_payload_key(marker)
        with self._context.database.read() as snapshot:
            # Any account can send markers of missing payloads. Those of a signer with good payloads before come first.
            is_preferred = is_signer_of_held_payload(snapshot, signer)
        self._context.record_missing_payload_signer(key, signer, is_preferred)
        # The first request comes after 30 s. Most missing payloads belong to other groups, so there is no hurry.
        due = next_payload_request_time(self._context.now(), 0)
        return AbsentMarker(place, marker.hash, key, failing, 0, due, is_preferred, signer)

    def _finish(
        self, block: Block, run: PrivateBlockExecutor, records: BlockRecords, absent: list[AbsentMarker]
    ) -> None:
        """Store the results of a block, and let reads that wait for it go on."""
        # All tables and the cursor are one commit. A receipt without its state, or a state without the cursor, would
        # execute a transaction twice after a crash.
        with self._context.database.write() as batch:
            writer = PrivateStoreWriter(batch)
            writer.write_nodes(run.nodes)
            records.write(writer)
            for long in records.long:
                LongTransactionWriter(batch).add(long)
            for place in (stored.place for markers in records.markers.values() for stored in markers):
                # A payload that came here speaks for its marker's signer, whose later absent ones are asked for first.
                writer.write_signer_of_held_payload(recover_sender(block.transactions[place.index]))
            awaited = (*absent, *self.find_missing_histories(block, records))
            for marker in awaited:
                writer.write_absent(marker)
            writer.write_cursor(block.number)
        self.progress.record_cursor_saved(block.number)
        # After the commit: the other thread must find the waiting transaction in the database.
        if self._preempt is not None and records.begin_to_wait_for_long:
            self._preempt(records.begin_to_wait_for_long)
        # After the commit, because the limit counts what is stored.
        self.absent_limit.apply_after_adding(len(awaited))
        if records.markers:
            log.info("private transactions executed", block=block.number, count=sum(map(len, records.markers.values())))
        # The listeners come before the readers. A filter that is made after a receipt was seen must not get this block.
        self.notify_listeners(PrivateBlock(block.header, records.hash, records.logs))
        self.progress.advance_to(block.number, save=False)

    def create_slices(self, *, is_behind: bool) -> GroupSlices:
        """Return the time slices of one block, for the working thread. `is_behind` says that more blocks wait."""
        return GroupSlices(self._slices, StoredPriorFacts(self._context), is_behind=is_behind)

    def find_missing_histories(self, block: Block, records: BlockRecords) -> list[AbsentMarker]:
        """Return the absent histories to store for `block`, whose results are `records`: one for each refused addition
        to a flexible group whose history was not taken over. A record without need has no effect. Nothing is stored."""
        # A node that joins is refused by the contract until it has the history. Besu gives up here, this node waits.
        waiting = []
        groups = {one.marker_hash: group_id for group_id, markers in records.markers.items() for one in markers}
        for index, transaction in enumerate(block.transactions):
            key = read_history_key(transaction) if transaction.hash in records.refused else None
            if key is not None and not self.rehydration.has_taken_over(groups[transaction.hash], key):
                waiting.append(
                    self.make_absent_marker(MarkerPlace(block.number, index), transaction, failing=False, key=key)
                )
        return waiting

    def create_executor(self, number: int, index: int = 0) -> PrivateBlockExecutor:
        """Return an executor in memory. Each group begins with its private state before block `number`, also if `index`
        is not 0: set another one by `begin_group_at_root` after earlier markers in the block. The first marker to
        execute is at `index`. Results stored for this place or later ones do not count as earlier executions."""
        context = self._context
        return PrivateBlockExecutor(
            context.history,
            context.engine,
            self._store,
            lambda group: self.root_at(group, number - 1),
            context.chain_id,
            self._genesis,
            self.reader.known,
            self.contract_answers,
            ExecutedPayloads(context.database, context.history, MarkerPlace(number, index)),
        )

    def root_at(self, group_id: bytes, number: int) -> bytes:
        """Return the state root of `group_id` (32 bytes each) after block `number`, the empty trie's if it has none."""
        with self._context.database.read() as snapshot:
            return PrivateStoreReader(snapshot).root_at(group_id, number)

    def notify_listeners(self, private_block: PrivateBlock) -> None:
        """Call the listeners with `private_block` in this thread if it has logs. Their errors are logged."""
        if not any(private_block.logs.values()):
            return
        for listener in self._listeners:
            try:
                listener(private_block)
            # A listener serves filters and subscriptions. Its failure must not stop private execution.
            except Exception:
                number = private_block.header.number
                self._log.exception("listener", "a listener to private blocks failed", number=number)


def next_payload_request_time(now: float, tries: int) -> int | None:
    """Return the time (Unix seconds) of the next request for an absent payload after `tries` requests. `now` is in Unix
    seconds. None for never: after `MAX_PAYLOAD_REQUESTS`."""
    return (
        # The pauses grow fourfold: 30 s, 2 min, 8 min and so on, up to 6 h.
        int(now) + min(FIRST_PAYLOAD_RETRY_SECONDS << 2 * tries, LONGEST_PAYLOAD_RETRY_SECONDS)
        if tries < MAX_PAYLOAD_REQUESTS
        else None
    )


def log_ignored(log_: RateLimitedLog, marker_hash: bytes, useless: UnusablePayloadError) -> None:
    """Log that the private transaction of the marker `marker_hash` (32 bytes) is ignored because of `useless`."""
    # Any account can send thousands of markers of one such payload. A number in the text makes no other cause: a stranger
    # chooses it.
    why = str(useless)
    log_.warning(_NUMBER.sub("", why), "private transaction ignored", marker=marker_hash.hex(), why=why)
