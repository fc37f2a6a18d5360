"""The budgets of blocks that are being built or checked, each for one round: they end with that round.

This is the bound on checking a proposal. A round lasts `requesttimeoutseconds`, doubled from round to round, so a block that
takes long to check costs a round, and one that is worth it passes in a later, longer one. Must not decide which round it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.evm.budget import ExecutionBudget


class ProposalBudgets:
    """Use from the event loop only."""

    def __init__(self) -> None:
        self._reached = (0, 0)
        self._budgets: dict[ExecutionBudget, tuple[int, int]] = {}

    @contextmanager
    def budget(self, height: int, round_: int) -> Iterator[ExecutionBudget]:
        """The budget of work for a round: cancelled once the validator has gone beyond it."""
        budget = ExecutionBudget()
        self._budgets[budget] = (height, round_)
        self._cancel_left()
        try:
            yield budget
        finally:
            del self._budgets[budget]

    def reached(self, height: int, round_: int) -> None:
        """The validator is in this round: work for earlier ones is cancelled."""
        if (height, round_) != self._reached:
            self._reached = (height, round_)
            self._cancel_left()

    def _cancel_left(self) -> None:
        for budget, of in self._budgets.items():
            if of < self._reached:
                budget.cancel()
