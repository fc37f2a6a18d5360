"""Payloads that came late: each is asked for again, with ever longer pauses, and when it is there its group is executed
anew from that block on, in order, and put in place by one commit. Until then the old state stands.

Works in the processor's thread, between its steps.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, islice

import structlog

from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.histories import Histories
from lacnode.privacy.state.marker import payload_key_of
from lacnode.privacy.state.payloads import ForeignPayloadError, ManagerFails, NoPayload, UselessPayload, task_for
from lacnode.privacy.state.processor import PrivateBlock, PrivateProcessor, next_try
from lacnode.privacy.state.store import AbsentMarker, Place, PrivateWriter, StoredPrivate
from lacnode.privacy.state.surroundings import Surroundings
from lacnode.privacy.transaction_manager import ManagerUnreachable

log = structlog.get_logger("privacy")

AT_ONCE = 100
"""Absent payloads asked for in one round."""

RENEWED_AT_ONCE = 5_000
"""Absent markers put to the front in one commit."""


class CannotRebuild(Exception):
    """A payload that a group's history needs is not to be had (again)."""


class Repair:
    """See the module's note."""

    def __init__(self, around: Surroundings, processor: PrivateProcessor) -> None:
        self._around = around
        self._processor = processor
        self._histories = Histories(around)

    def step(self) -> bool:
        """Ask for the absent payloads that are due; False if none was, or the manager does not answer."""
        due = self._due()
        try:
            for marker in due:
                self._try(marker)
        except ManagerUnreachable:
            return False
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
                PrivateWriter(batch).absent(replace(marker, due=int(self._around.now())))
        return True

    def _due(self) -> list[AbsentMarker]:
        now = self._around.now()
        markers: list[AbsentMarker] = []
        with self._around.database.read() as snapshot:
            stored = StoredPrivate(snapshot)
            for due, place in stored.due():
                marker = stored.absent_at(place)
                if due > now or len(markers) == AT_ONCE:
                    break
                if marker is not None:
                    markers.append(marker)
        return markers

    def _try(self, marker: AbsentMarker) -> None:
        transaction = self._transaction(marker.place)
        try:
            self._prepare(marker, transaction)
            task = task_for(self._around.manager, transaction, marker.place.index, self._around.mode)
        except NoPayload:
            self._postpone(marker, failing=False)
        except ManagerFails:
            self._postpone(marker, failing=True)
        except UselessPayload as useless:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(useless))
            with self._around.database.write() as batch:
                PrivateWriter(batch).found(marker.place)
        else:
            try:
                self._rebuild(marker, task)
            except CannotRebuild as cannot:
                log.warning("a group's private state cannot be rebuilt yet", block=marker.place.number, why=str(cannot))
                self._postpone(marker, failing=True)

    def _prepare(self, marker: AbsentMarker, transaction: Transaction) -> None:
        """Have the past of a group there that its new members are told; NoPayload while this is what is waited for."""
        self._processor.rehydration.prepare(transaction, marker.place.number)
        waits_for_history = marker.payload_key != payload_key_of(transaction)
        if waits_for_history and not self._processor.rehydration.has(marker.payload_key):
            raise NoPayload

    def _postpone(self, marker: AbsentMarker, *, failing: bool) -> None:
        tries = marker.tries + 1
        later = replace(marker, failing=failing, tries=tries, due=next_try(self._around.now(), tries))
        with self._around.database.write() as batch:
            PrivateWriter(batch).absent(later)

    # -- executing anew ----------------------------------------------------------------------------------------------

    def _rebuild(self, marker: AbsentMarker, found: PrivateTask) -> None:
        group_id, start = found.group_id, marker.place.number
        with self._around.database.read() as snapshot:
            stored = StoredPrivate(snapshot)
            places = {*stored.markers(group_id, start), marker.place}
            changed = list(stored.changes_from(group_id, start))
            old = [(number, self._block(number)[1]) for number in changed]
            told = {entry.marker_hash for _, hash_ in old for entry in stored.metadata(hash_, group_id)}
        run = self._processor.run_from(start)
        done: list[tuple[Block, BlockRecords]] = []
        for number, tasks in self._by_block(sorted(places), marker.place, found):
            block, hash_ = self._block(number)
            done.append((block, run.block(block, hash_, tasks)))
        with self._around.database.write() as batch:
            writer = PrivateWriter(batch)
            for number, hash_ in old:
                writer.forget_roots(number, hash_, group_id)
            writer.nodes(run.nodes)
            for _, records in done:
                records.write(writer)
            writer.found(marker.place)
            for block, records in done:
                for waiting in self._processor.without_history(block, records):
                    writer.absent(waiting)
            writer.rebuilt(group_id)
        log.info("a group's private state was rebuilt", block=start, transactions=len(places))
        for block, records in done:
            logs = [entry for entry in records.logs.get(group_id, ()) if entry.transaction_hash not in told]
            self._processor.tell(PrivateBlock(block.header, records.hash, {group_id: logs}))

    def _by_block(
        self, places: list[Place], found_at: Place, found: PrivateTask
    ) -> Iterator[tuple[int, list[PrivateTask]]]:
        for number, group in groupby(places, lambda place: place.number):
            tasks = [found if place == found_at else self._again(place) for place in group]
            yield number, [task for task in tasks if task is not None]

    def _again(self, place: Place) -> PrivateTask | None:
        """A private transaction that was executed before; None if it does not belong to the group, as versions before the
        check could not know."""
        transaction = self._transaction(place)
        try:
            return task_for(self._around.manager, transaction, place.index, self._around.mode, admitted=True)
        except ForeignPayloadError as foreign:
            log.warning("private transaction ignored", marker=transaction.hash.hex(), why=str(foreign))
            return None
        except (NoPayload, UselessPayload, ManagerFails):
            told = self._histories.told(transaction.hash)
        if told is None:
            raise CannotRebuild(f"the payload of transaction {place.index} of block {place.number} is lost")
        group_id, private = told
        return PrivateTask(place.index, private, group_id)

    def _transaction(self, place: Place) -> Transaction:
        return self._block(place.number)[0].transactions[place.index]

    def _block(self, number: int) -> tuple[Block, bytes]:
        hash_ = self._around.history.hash_at(number)
        block = None if hash_ is None else self._around.history.block_of(hash_)
        if block is None or hash_ is None:
            raise CannotRebuild(f"block {number} is not there")
        return block, hash_
