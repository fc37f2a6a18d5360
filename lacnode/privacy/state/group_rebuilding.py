"""Executes a group again from a marker on, with each later private transaction of the group at its own marker.

One commit puts the result in place. Until then the old state stays.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.execution import PrivateBlockExecutor, PrivateTask, UnreadTask
from lacnode.privacy.state.flexible.group_history_reader import GroupHistoryReader
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction, LongTransactionWriter
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import (
    ForeignPayloadError,
    PayloadNotFoundError,
    PayloadUnavailableError,
    UnusablePayloadError,
)
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state.private_transaction import PrivateTransaction
from lacnode.privacy.state.processor import PrivateBlock, PrivateProcessor, log_ignored
from lacnode.privacy.state.unstored_results import ResultsTooLargeError
from lacnode.rate_limited_log import RateLimitedLog

Executed = list[tuple[Block, BlockRecords]]
ReadTask = Callable[[MarkerPlace], PrivateTask | None]
ReadHistory = Callable[[], Mapping[bytes, PrivateTransaction]]


class GroupRebuildError(Exception):
    """A block or a payload of the group's past is missing, or the results are too large, so that the group cannot be
    executed again now. The text says which of these."""


class GroupRebuilder:
    """Executes groups again from a late marker on. For one thread at a time. Two rebuilders must not work on the same
    group at the same time."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        self._histories = GroupHistoryReader(context)
        self._last_block: tuple[Block, bytes] | None = None
        # Strangers can have any number of groups with late payloads.
        self._log = RateLimitedLog("privacy", time.monotonic)

    def rebuild(
        self,
        group_id: bytes,
        found: Mapping[MarkerPlace, PrivateTask | UnreadTask],
        budget: ExecutionBudget,
        begin: Callable[[MarkerPlace], None] = lambda _: None,
    ) -> None:
        """Execute the late tasks `found` (at least one, by their places) at their markers, and again all later private
        transactions of the group `group_id` (32 bytes). Listeners are notified of new logs.

        Everything is stored in one commit, or nothing and an error is raised. There is one exception: if the time of
        `budget` ends and the group has no stored transaction after the first of `found`, those of `found` that were
        executed are stored, and no error is raised. `begin` is called before each marker.

        GroupRebuildError if a payload or a block is lost, or if all results are too large for one commit.
        EnclaveUnreachableError if the manager does not answer. ExecutionInterruptedError if the time of `budget` ends and
        nothing is stored. The other errors of `PrivateBlockExecutor.execute_block` pass through.
        """
        first = min(found)
        # The list of markers, and the old blocks, are read before the execution. The old rows are deleted by it later.
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            begun = self._begun_block(stored, group_id, first)
            later = [place for place in stored.marker_places(group_id, first.number) if place > first]
            old = [(number, self._hash_at(number)) for number in stored.changed_blocks_down_to(group_id, first.number)]
            # The markers that succeeded before. Their logs were sent to listeners already and are not sent again.
            told = {entry.marker_hash for _, hash_ in old for entry in stored.roots_in_block(hash_, group_id)}
        # The executor begins with the state before the late marker. Everything after it may change.
        run = self._processor.create_executor(first.number, first.index)
        if group_id in begun.roots:
            run.begin_group_at_root(group_id, begun.roots[group_id][-1].root)
        # A part can be stored only if nothing of the group comes after it.
        if not later:
            run.allow_results_to_wait()
        # A late member's history is read once, and only if it is needed.
        told_here = cache(partial(self._histories.transactions_of, group_id))
        read = partial(self._again, group_id, told_here)
        # The late markers themselves are not recorded for the group yet. They are added here.
        done: Executed = []
        for number, tasks in self._by_block(_announced({*later, *found}, begin), found, read):
            block, hash_ = self.read_block(number)
            records = begun if number == first.number else BlockRecords(number, hash_)
            done.append((block, records))
            try:
                run.execute_block(block, hash_, tasks, budget, records)
            except BudgetExceededError:
                found = _executed(found, records, group_id)
                # What is stored of the group after them would have the wrong state before it.
                if later or not found:
                    raise
                break
            except ResultsTooLargeError:
                raise GroupRebuildError(
                    "the results of the group's transactions are too large for one commit"
                ) from None
        self._store(group_id, found, run, done, old)
        text, count = "a group's private state was rebuilt", len(later) + len(found)
        self._log.info("rebuilt", text, block=first.number, transactions=count)
        self._notify_of_new_logs(group_id, done, told)

    def _begun_block(self, stored: PrivateStoreReader, group_id: bytes, at: MarkerPlace) -> BlockRecords:
        """Return the results of the group's private transactions before `at` in its block."""
        # They are not executed again. A sender with many markers in one block would have each of them executed as often as
        # there are markers after it.
        block, hash_ = self.read_block(at.number)
        records = BlockRecords(at.number, hash_)
        indexes = {transaction.hash: index for index, transaction in enumerate(block.transactions[: at.index])}
        for entry in stored.roots_in_block(hash_, group_id):
            index = indexes.get(entry.marker_hash)
            if index is not None:
                receipt = stored.receipt(hash_, entry.marker_hash, group_id)
                records.roots.setdefault(group_id, []).append(entry)
                records.add_logs(group_id, block, index, () if receipt is None else receipt.logs)
        return records

    def _store(
        self,
        group_id: bytes,
        found: Iterable[MarkerPlace],
        run: PrivateBlockExecutor,
        done: Executed,
        old: Iterable[tuple[int, bytes]],
    ) -> None:
        """Store the results `done` in place of the `old` blocks."""
        awaited = 0
        # One commit for the removal of the old states and the new ones. A crash leaves one of the two, never a mixture
        # that no other member has.
        with self._context.database.write() as batch:
            writer = PrivateStoreWriter(batch)
            # All old roots are removed first. A transaction that succeeded before may fail now, and its root must not
            # stay.
            for number, hash_ in old:
                writer.delete_roots(number, hash_, group_id)
            writer.write_nodes(run.nodes)
            for _, records in done:
                records.write(writer)
            for at in found:
                writer.delete_absent(at)
                LongTransactionWriter(batch).remove(LongPrivateTransaction(group_id, at, self.read_marker(at).hash))
            for block, records in done:
                for waiting in self._processor.find_missing_histories(block, records):
                    writer.write_absent(waiting)
                    awaited += 1
            # The revision grows: digests and comparisons of the old state do not hold any more.
            writer.start_new_revision(group_id)
        # After the commit, because the limit counts what is stored.
        self._processor.absent_limit.apply_after_adding(awaited)

    def read_marker(self, place: MarkerPlace) -> Transaction:
        """Return the public transaction at `place`. GroupRebuildError if its block is missing."""
        return self.read_block(place.number)[0].transactions[place.index]

    def _hash_at(self, number: int) -> bytes:
        """Return the hash of a public block. GroupRebuildError if it is missing."""
        hash_ = self._context.history.hash_at(number)
        if hash_ is None:
            raise GroupRebuildError(f"block {number} is not there")
        return hash_

    def read_block(self, number: int) -> tuple[Block, bytes]:
        """Return public block `number` and its hash (32 bytes). The last one is remembered. GroupRebuildError if it is
        missing."""
        # Each marker of a block asks for its block. To decode it each time would take longer than most transactions.
        if self._last_block is not None and self._last_block[0].number == number:
            return self._last_block
        # A node that pruned old blocks cannot rebuild from there. The caller then tries again later or reports it.
        hash_ = self._hash_at(number)
        block = self._context.history.block_of(hash_)
        if block is None:
            raise GroupRebuildError(f"block {number} is not there")
        self._last_block = block, hash_
        return block, hash_

    def _notify_of_new_logs(self, group_id: bytes, done: Executed, told: set[bytes]) -> None:
        for block, records in done:
            # Clients get the new logs only. A log that is gone cannot be taken back, as the chain has no
            # reorganisation.
            logs = [entry for entry in records.logs.get(group_id, ()) if entry.transaction_hash not in told]
            self._processor.notify_listeners(PrivateBlock(block.header, records.hash, {group_id: logs}))

    def _by_block(
        self, places: Iterable[MarkerPlace], found: Mapping[MarkerPlace, PrivateTask | UnreadTask], read: ReadTask
    ) -> Iterator[tuple[int, Iterator[PrivateTask | UnreadTask]]]:
        for number, group in groupby(places, lambda place: place.number):
            # One payload at a time. A block may have hundreds of the group, and each takes 50 MB when it is decoded.
            yield number, (found.get(place) or self.unread_task(place, read) for place in group)

    def unread_task(self, place: MarkerPlace, read: ReadTask) -> UnreadTask:
        """Return a task for the marker at `place`. Its payload is not read now: the task calls `read(place)` when it is
        executed. GroupRebuildError at once if the block of the marker is missing."""
        return self._processor.reader.unread_task(self.read_marker(place), place.index, partial(read, place))

    def read_task(self, place: MarkerPlace) -> PrivateTask:
        """Read the payload of the marker at `place` and return its task. The payload was accepted before, so a group
        that is unknown now is no error. GroupRebuildError if the block of the marker is missing. PayloadNotFoundError,
        UnusablePayloadError, PayloadUnavailableError or EnclaveUnreachableError if there is no usable payload."""
        return self._processor.reader.read_task(self.read_marker(place), place.index, admitted=True)

    def _again(self, group_id: bytes, told: ReadHistory, place: MarkerPlace) -> PrivateTask | None:
        """Return the task of a transaction that was executed before, None if it does not belong to the group.

        Versions before this check did not know that. `told` returns the group's history.
        """
        transaction = self.read_marker(place)
        try:
            task = self.read_task(place)
        except ForeignPayloadError as foreign:
            log_ignored(self._log, transaction.hash, foreign)
            return None
        except (PayloadNotFoundError, UnusablePayloadError, PayloadUnavailableError):
            task = None
        # A stranger's history of its own group may name the marker of another group, whose payload is here. The other group
        # would be executed on its state from before this rebuild.
        if task is not None and task.group_id == group_id:
            return task
        # The payload may also be from before this node was a member. Then it is in the group's history.
        private = told().get(transaction.hash)
        if private is None:
            raise GroupRebuildError(f"the payload of transaction {place.index} of block {place.number} is lost")
        # The contract was asked when it was executed first, so the task has no version.
        return PrivateTask(place.index, private, group_id, is_from_history=True)


def _announced(places: Iterable[MarkerPlace], begin: Callable[[MarkerPlace], None]) -> Iterator[MarkerPlace]:
    """Yield the places in the order of the chain, each after it was given to `begin`."""
    for place in sorted(places):
        begin(place)
        yield place


def _executed(
    found: Mapping[MarkerPlace, PrivateTask | UnreadTask], records: BlockRecords, group_id: bytes
) -> dict[MarkerPlace, PrivateTask | UnreadTask]:
    """Return those of `found` that have a result."""
    executed = {marker.place for marker in records.markers.get(group_id, ())}
    return {place: task for place, task in found.items() if place in executed}
