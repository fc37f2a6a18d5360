"""py-evm's gas meter, with a look at the execution's budget every few thousand units of gas.

Gas is the measure of work, so the looks are counted in gas: every instruction costs at least one unit, and the most
expensive instructions look each time.
"""

from typing import Any, Protocol

from eth.exceptions import OutOfGas
from eth.vm.gas_meter import GasMeter

CHECK_EVERY_GAS = 10_000
"""Units of gas between two looks at the budget: 5 ms of the slowest instructions, and of ordinary ones less."""


class Checkable(Protocol):
    """An execution's budget, or something that asks it."""

    def check(self) -> None:
        """Return if the execution may go on. ExecutionInterruptedError otherwise."""


class BudgetMeter(GasMeter):
    """The gas meter of one call. It asks `budget` at the first charge, and then once in `CHECK_EVERY_GAS`. The charge
    raises ExecutionInterruptedError if the budget is used up or cancelled."""

    def __init__(self, start_gas: int, refund_strategy: Any, budget: Checkable) -> None:
        super().__init__(start_gas, refund_strategy)
        self._budget = budget
        # The first charge asks the budget: a loop of short calls has no other look.
        self._check_below_gas = start_gas

    def consume_gas(self, amount: int, reason: str) -> None:
        """Charge `amount` gas. py-evm's OutOfGas, with `reason`, if less is left: nothing is charged then.
        ExecutionInterruptedError if the budget is asked now, and is used up or cancelled: the gas is charged then."""
        remaining = self.gas_remaining - amount
        if remaining < 0:
            raise OutOfGas(f"Out of gas: Needed {amount} - Remaining {self.gas_remaining} - Reason: {reason}")
        self.gas_remaining = remaining
        if remaining < self._check_below_gas:
            self._budget.check()
            self._check_below_gas = remaining - CHECK_EVERY_GAS

    def return_gas(self, amount: int) -> None:
        """Give `amount` gas back, which a call has left over."""
        super().return_gas(amount)
        # Without this, a call that gives its gas back would buy as much time without a look.
        self._check_below_gas = max(self._check_below_gas, self.gas_remaining - CHECK_EVERY_GAS)
