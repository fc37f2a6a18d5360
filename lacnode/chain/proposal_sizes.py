"""The bounds on memory and logs of a new proposal, and when they end.

Validators of other clients have no such bounds. A transaction beyond them stays in their pools, and each of their proposals
has it. So the bounds end when more proposers than may be faulty go beyond them: one of them at least is correct.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.consensus.bft.quorum import max_faulty
from lacnode.evm.block_limits import MAX_PROPOSAL_LOG_BYTES, MAX_PROPOSAL_MEMORY_BYTES
from lacnode.evm.budget import ExecutionBudget, SizeExceededError, SizeLimits

PROPOSER_SECONDS = 86_400.0
"""The time for which a proposer counts whose proposal was refused for its size."""


class ProposalSizeBounds:
    """The bounds on memory and logs for new proposals of one chain, and which proposers went beyond them. `clock`
    returns monotonic seconds. The caller makes one call after the other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused_at: dict[bytes, float] = {}
        """When the last proposal of a proposer (20 bytes) was refused for its size."""

    @contextmanager
    def bounded_budget(
        self, budget: ExecutionBudget, proposer: bytes, validators: tuple[bytes, ...], *, is_prepared: bool
    ) -> Iterator[ExecutionBudget]:
        """Give `budget` with the bounds on memory and logs for the execution of a new proposal of `proposer` (20
        bytes). If the execution inside this context exceeds them, BlockRefusedError ("proposal-size") is raised, and
        the refusal counts for `proposer`.

        `budget` is given as it is, without these bounds, if a quorum has prepared the block (`is_prepared`), or if
        proposals of more than f of `validators` were refused for their size in the last `PROPOSER_SECONDS`.
        """
        now = self._clock()
        # A former validator must not count for ever, and must not take memory.
        self._refused_at = {
            address: seconds
            for address, seconds in self._refused_at.items()
            if address in validators and now - seconds < PROPOSER_SECONDS
        }
        # A prepared block may have the votes of validators without such bounds. It has to be executed.
        if is_prepared or len(self._refused_at) > max_faulty(len(validators)):
            yield budget
            return
        try:
            yield budget.with_sizes(SizeLimits(MAX_PROPOSAL_MEMORY_BYTES, MAX_PROPOSAL_LOG_BYTES))
        except SizeExceededError as exceeded:
            self._refused_at[proposer] = now
            raise BlockRefusedError("proposal-size", f"too large for a new proposal: {exceeded}") from None
