"""Executes the private transactions of one new block, each within a time slice. A transaction that does not end waits.

The slices keep one group from delaying the others. This module must not store anything.
"""

import time
from collections.abc import Iterable

from lacnode.evm.budget import BudgetExceededError
from lacnode.primitives.block import Block
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.execution import NOT_OF_TRANSACTION, PrivateBlockExecutor, PrivateTask, UnreadTask
from lacnode.privacy.state.group_failures import GroupFailures
from lacnode.privacy.state.known_payloads import PayloadFacts
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction
from lacnode.privacy.state.private_store import MarkerPlace
from lacnode.privacy.state.public_block import PublicBlockExecution
from lacnode.privacy.state.time_slices import SLICE_SECONDS, GroupSlices
from lacnode.privacy.state.unstored_results import ResultMustWaitError
from lacnode.rate_limited_log import RateLimitedLog

EXECUTION = "the execution of a private transaction"
PUBLIC_EXECUTION = "the execution of the public transactions before a private one"

# For all blocks. A block may have hundreds of such transactions.
_log = RateLimitedLog("privacy", time.monotonic)


class SlicedExecution:
    """Executes the private transactions of one new block with `executor`, each in a time slice of `slices`. Failures of
    single groups are counted in `failures`."""

    def __init__(self, executor: PrivateBlockExecutor, slices: GroupSlices, failures: GroupFailures) -> None:
        self._executor = executor
        self._slices = slices
        self._failures = failures

    def execute(self, block: Block, hash_: bytes, tasks: Iterable[UnreadTask]) -> BlockRecords:
        """Execute the tasks of `block`, whose on-chain hash is `hash_` (32 bytes), in time slices, in order, and return
        their results. Nothing is stored. A task that gets no slice (`GroupSlices.admits`), does not end in its slice,
        or fails for a reason of its group alone, is `long` in the records, and so are those of its group after it. The
        same holds if a public transaction before it fails by an unexpected error.

        PublicHistoryMissingError if the public block cannot be executed again. ExecutionCancelledError if the node
        stops. The errors of `UnreadTask.read` pass through if nothing is known of the payload. Otherwise only those do
        whose cause is this node (`GroupFailures.record_or_reraise`).
        """
        records, slices = BlockRecords(block.number, hash_), self._slices
        self._executor.allow_results_to_wait()
        public = self._executor.open_public_block(block, hash_)
        for task in tasks:
            known = task.known
            if known is not None and not slices.admits(known.group_id, known.private_from):
                self._wait(records, public, task.index, known)
                continue
            started = slices.slices.clock()
            try:
                private = self._executor.read_task(records, public, task)
            except Exception as error:
                # Without the facts the group is not known, and the reader has treated the errors of the payload.
                if known is None:
                    raise
                self._failures.record_or_reraise(known.group_id, EXECUTION, error)
                self._wait(records, public, task.index, known)
                continue
            if private is not None:
                self._execute_in_slice(records, public, private, slices.slices.clock() - started)
        return records

    def _execute_in_slice(
        self, records: BlockRecords, public: PublicBlockExecution, task: PrivateTask, read_seconds: float
    ) -> None:
        """Execute `task` or let it wait. The time for reading counts to the group's use too."""
        slices, group_id, private_from = self._slices, task.group_id, task.private.private_from
        # The facts before reading may be missing. Now the group and the sender are known for certain, so the slice is
        # asked for again.
        # The number of roots shows whether this transaction changed the state: a success adds one.
        before, started = len(records.roots.get(group_id, ())), slices.slices.clock()
        ends = slices.admits(group_id, private_from) and self._ends_in_slice(records, public, task)
        if not ends:
            self._wait(records, public, task.index, PayloadFacts(group_id, private_from))
        has_changed = len(records.roots.get(group_id, ())) > before
        # The use is counted for each transaction, also for one that waits. Reading it has cost the time already.
        taken = slices.slices.clock() - started
        slices.count_use(group_id, read_seconds + taken, has_changed=has_changed, lost_seconds=0.0 if ends else taken)
        if has_changed:
            records.punctual_senders.add(private_from)

    def _wait(self, records: BlockRecords, public: PublicBlockExecution, index: int, known: PayloadFacts) -> None:
        slices, marker, private_from = self._slices, public.block.transactions[index], known.private_from
        is_preferred = private_from not in records.slow_senders and slices.prior.is_own_or_punctual_sender(private_from)
        # Only the first one of a group preempts the running try. The later ones change nothing for it.
        if not slices.is_waiting(known.group_id):
            records.begin_to_wait_for_long[known.group_id] = is_preferred
        slices.hold_group(known.group_id)
        place = MarkerPlace(public.block.number, index)
        records.long.append(LongPrivateTransaction(known.group_id, place, marker.hash, is_preferred=is_preferred))

    def _ends_in_slice(self, records: BlockRecords, public: PublicBlockExecution, task: PrivateTask) -> bool:
        slices = self._slices
        try:
            # The public part has its own budget. Otherwise a full block would use up the slice of an honest transaction.
            public.execute_up_to(task.index, slices.slices.public_budget())
        except BudgetExceededError:
            text = "the public transactions before a private one take long"
            _log.info("public", text, block=records.number, index=task.index)
            return False
        except NOT_OF_TRANSACTION:
            # This node cannot read the public state now. That says nothing of the group, and the block is tried again.
            raise
        except Exception as error:
            # It succeeded at the import, so this is a fault of this program. Without this the block would be tried again
            # for ever, and all groups would stop.
            self._failures.record_or_reraise(task.group_id, PUBLIC_EXECUTION, error)
            return False
        is_shortened = slices.slices.recently_lost_seconds() > SLICE_SECONDS / 2
        try:
            with slices.slice(task.group_id, task.private.private_from) as budget:
                self._executor.execute_task(records, public, task, budget)
        except ResultMustWaitError:
            # The results of others take the place. That says nothing of this sender.
            _log.info("result", "the result of a private transaction waits for a later commit", block=records.number)
            return False
        except BudgetExceededError:
            _log.info("private", "a private transaction takes long", block=records.number, index=task.index)
            # A shortened slice says nothing of the sender: others may have taken the time.
            if not is_shortened:
                records.slow_senders.add(task.private.private_from)
            return False
        except Exception as error:
            # A damaged state of one group must not stop the others. The transaction waits and is tried apart.
            self._failures.record_or_reraise(task.group_id, EXECUTION, error)
            return False
        return True
