"""Executing a group anew from a marker on: every later private transaction of the group on the public state of its own
marker, put in place by one commit. Until then the old state stands.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby

import structlog

from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.execution import PrivateTask, UnreadTask
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
from lacnode.privacy.state.processor import PrivateBlock, PrivateProcessor

log = structlog.get_logger("privacy")

Executed = list[tuple[Block, BlockRecords]]


class GroupRebuildError(Exception):
    """A payload that a group's history needs is not to be had (again)."""


class GroupRebuilder:
    """One thread at a time works on a group."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor) -> None:
        self._context = context
        self._processor = processor
        self._histories = GroupHistoryReader(context)

    def rebuild(
        self, at: MarkerPlace, group_id: bytes, found: PrivateTask | UnreadTask, budget: ExecutionBudget
    ) -> None:
        """Execute `found`, whose marker is `at`, and everything of its group after it. GroupRebuildError where a payload is
        lost; EnclaveUnreachableError, and what reading `found` raises; ExecutionInterruptedError when `budget` says so."""
        start = at.number
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            places = {*stored.markers(group_id, start), at}
            old = [(number, self.block(number)[1]) for number in stored.changes_from(group_id, start)]
            told = {entry.marker_hash for _, hash_ in old for entry in stored.metadata(hash_, group_id)}
        run = self._processor.create_executor(start)
        done: Executed = []
        for number, tasks in self._by_block(sorted(places), at, found):
            block, hash_ = self.block(number)
            done.append((block, run.block(block, hash_, tasks, budget)))
        with self._context.database.write() as batch:
            writer = PrivateStoreWriter(batch)
            for number, hash_ in old:
                writer.forget_roots(number, hash_, group_id)
            writer.nodes(run.nodes)
            for _, records in done:
                records.write(writer)
            writer.found(at)
            LongTransactionWriter(batch).ended(LongPrivateTransaction(group_id, at, self.transaction(at).hash))
            for block, records in done:
                for waiting in self._processor.find_missing_histories(block, records):
                    writer.absent(waiting)
            writer.rebuilt(group_id)
        log.info("a group's private state was rebuilt", block=start, transactions=len(places))
        self._tell(group_id, done, told)

    def transaction(self, place: MarkerPlace) -> Transaction:
        """The marker at `place`."""
        return self.block(place.number)[0].transactions[place.index]

    def block(self, number: int) -> tuple[Block, bytes]:
        """A public block and its hash; GroupRebuildError where it is not there."""
        hash_ = self._context.history.hash_at(number)
        block = None if hash_ is None else self._context.history.block_of(hash_)
        if block is None or hash_ is None:
            raise GroupRebuildError(f"block {number} is not there")
        return block, hash_

    def _tell(self, group_id: bytes, done: Executed, told: set[bytes]) -> None:
        for block, records in done:
            logs = [entry for entry in records.logs.get(group_id, ()) if entry.transaction_hash not in told]
            self._processor.tell(PrivateBlock(block.header, records.hash, {group_id: logs}))

    def _by_block(
        self, places: list[MarkerPlace], found_at: MarkerPlace, found: PrivateTask | UnreadTask
    ) -> Iterator[tuple[int, Iterator[PrivateTask | UnreadTask]]]:
        for number, group in groupby(places, lambda place: place.number):
            # One payload at a time: a block may have hundreds of the group, of which each takes fifty megabytes.
            yield number, (found if place == found_at else self.unread(place, self._again) for place in group)

    def unread(self, place: MarkerPlace, read: Callable[[MarkerPlace], PrivateTask | None]) -> UnreadTask:
        """The marker at `place`, whose payload `read` gives."""
        return self._processor.reader.unread(self.transaction(place), place.index, partial(read, place))

    def read(self, place: MarkerPlace) -> PrivateTask:
        """What is to be executed at a marker that was admitted before; raises like `payloads.receive_owned`."""
        return self._processor.reader.read(self.transaction(place), place.index, admitted=True)

    def _again(self, place: MarkerPlace) -> PrivateTask | None:
        """A private transaction that was executed before; None if it does not belong to the group, as versions before the
        check could not know."""
        transaction = self.transaction(place)
        try:
            return self.read(place)
        except ForeignPayloadError as foreign:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(foreign))
            return None
        except (PayloadNotFoundError, UnusablePayloadError, PayloadUnavailableError):
            told = self._histories.told(transaction.hash)
        if told is None:
            raise GroupRebuildError(f"the payload of transaction {place.index} of block {place.number} is lost")
        group_id, private = told
        return PrivateTask(place.index, private, group_id, is_told=True)
