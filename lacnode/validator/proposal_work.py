"""The work on blocks that are not decided: building one, checking one, and searching the pool for what one could have.

Each piece of work runs in a worker. It is answered by an event, unless it is void or no block can be made. It ends with
its round (`proposal_budgets`). Must not decide when to work, or what an answer means.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.bft.effects import BuildBlock, CheckProposal, SearchPool
from lacnode.consensus.bft.events import BlockBuilt, Event, PoolSearched, ProposalChecked
from lacnode.evm.budget import ExecutionBudget, ExecutionInterruptedError
from lacnode.primitives.block import Block
from lacnode.validator.block_creator import StaleHeightError
from lacnode.validator.proposal_budgets import ProposalBudgets
from lacnode.workers.worker import Worker

log = structlog.get_logger("consensus")


class BlockCreator(Protocol):
    """Builds the block that this validator proposes (`validator.block_creator`)."""

    def build(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> Block:
        """Build the block of (`height`, `round_`) with this timestamp (Unix seconds). StaleHeightError if the head had
        moved on before this began, ExecutionCancelledError when `budget` is cancelled or an import begins,
        BlockRefusedError if no valid block can be made, StorageError if the state cannot be read. Runs in a worker thread.
        """

    def has_transaction(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> bool:
        """Return whether the block that `build` makes of these parameters would have a transaction. Runs in a worker
        thread. The parameters and errors are those of `build`.
        """


class ProposalWork:
    """Builds blocks after the head of `chain`, checks proposed ones, and searches the pool, all in `worker`. An answer is
    an event, such as `BlockBuilt`. `deliver` is called with it, on the event loop. `build` and `search` may end without an
    answer.
    """

    def __init__(
        self, chain: Blockchain, block_creator: BlockCreator, worker: Worker, deliver: Callable[[Event], None]
    ) -> None:
        self._chain = chain
        self._block_creator = block_creator
        self._worker = worker
        self._deliver = deliver
        self._budgets = ProposalBudgets()
        self._search_budget: ExecutionBudget | None = None

    def cancel_earlier_rounds(self, height: int, round_: int) -> None:
        """Cancel the work for earlier rounds and heights, because the validator is in this round now."""
        self._budgets.cancel_earlier_rounds(height, round_)

    async def build(self, effect: BuildBlock) -> None:
        """Build a block in the worker, and deliver `BlockBuilt`. Nothing is delivered, and no error is raised, if no
        block can be made, or if the end of the round or an import interrupts the work (these are logged), or if the head
        has moved on. StorageError if the state cannot be read.
        """
        try:
            with self._budgets.budget_for_round(effect.height, effect.round) as budget:
                build = partial(self._block_creator.build, effect.height, effect.round, effect.timestamp, budget)
                block = await self._worker.run(build)
        # The import of the new head is an event of its own, and the machine asks for the next block after it.
        except StaleHeightError:
            return
        except ExecutionInterruptedError as interrupted:
            log.info("no block built", height=effect.height, round=effect.round, reason=str(interrupted))
            return
        # The round passes without a proposal. The next proposer has its own view of the pool.
        except BlockRefusedError as error:
            log.error("no block built", height=effect.height, round=effect.round, reason=str(error))
            return
        self._deliver(BlockBuilt(effect.height, effect.round, block))

    async def search(self, effect: SearchPool) -> None:
        """Find out in the worker whether the pool has a transaction for the next block, and deliver `PoolSearched`. A
        search that fails has found nothing. Nothing is delivered if the head has moved on. StorageError if the state
        cannot be read.
        """
        found = False
        search = self._block_creator.has_transaction
        try:
            with self._budgets.budget_for_round(effect.height, effect.round) as budget:
                self._search_budget = budget
                found = await self._worker.run(partial(search, effect.height, effect.round, effect.timestamp, budget))
        except StaleHeightError:
            return
        except (ExecutionInterruptedError, BlockRefusedError) as error:
            # A search that failed has found nothing. The machine must learn it, so that it searches again.
            log.info("pool not searched", height=effect.height, round=effect.round, reason=str(error))
        self._deliver(PoolSearched(effect.height, effect.round, found))

    async def check(self, effect: CheckProposal) -> None:
        """Check a proposed block in the worker, and deliver `ProposalChecked`. An invalid block, or a check that the
        end of the round or the import of another block interrupts, is delivered with a `failure`. A search of the pool
        that is under way is cancelled. StorageError if the state cannot be read.
        """
        if self._search_budget is not None:
            # The proposal that the search waited for is here. Slow transactions in the pool must not delay its check.
            self._search_budget.cancel()
        failure: str | None = None
        check = partial(self._chain.check_proposal, is_prepared=effect.is_prepared)
        try:
            with self._budgets.budget_for_round(effect.block.number, effect.round) as budget:
                await self._worker.run(partial(check, effect.block, budget))
        except BlockRefusedError as error:
            failure = str(error)
        except ExecutionInterruptedError:
            # An unfinished check is no vote for the block. The machine learns it as a failure, so that nothing waits
            # for the check.
            failure = f"check-interrupted: the check did not end within round {effect.round}"
        self._deliver(ProposalChecked(effect.round, effect.digest, failure))
