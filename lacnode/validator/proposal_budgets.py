"""The budgets of blocks that are being built or checked, each for one round: they end with that round.

This is the bound on checking a proposal. A round lasts `requesttimeoutseconds`, doubled from round to round. So a
block that takes long to check costs a round, and an honest one passes in a later, longer round. Must not decide which
round it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.evm.budget import ExecutionBudget


class ProposalBudgets:
    """The budgets of blocks that are being built or checked, each for one round. A budget is cancelled when its round
    has passed. Use it from the event loop only."""

    def __init__(self) -> None:
        self._reached = (0, 0)
        self._budgets: dict[ExecutionBudget, tuple[int, int]] = {}

    @contextmanager
    def budget_for_round(self, height: int, round_: int) -> Iterator[ExecutionBudget]:
        """For the `with` block, give a budget for work on a block of this round. It is cancelled once the validator has
        gone beyond the round, and from the start if that has happened before. It has no deadline of its own.
        """
        budget = ExecutionBudget()
        self._budgets[budget] = (height, round_)
        # The round may be over already: the task that asks for a budget begins later than the effect that started it.
        self._cancel_left()
        try:
            yield budget
        finally:
            del self._budgets[budget]

    def cancel_earlier_rounds(self, height: int, round_: int) -> None:
        """Cancel the budgets of earlier rounds and heights, because the validator is in this round now."""
        if (height, round_) != self._reached:
            self._reached = (height, round_)
            self._cancel_left()

    def _cancel_left(self) -> None:
        for budget, of in self._budgets.items():
            if of < self._reached:
                budget.cancel()
