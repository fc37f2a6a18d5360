"""Bounds on a call that nobody paid for (`eth_call` and its kin): how long it may run and how much memory it may hold."""

import time
from typing import Any

from eth.vm.gas_meter import GasMeter

from lacnode.evm.engine import CallExpired

MAX_MEMORY = 128 * 2**20
"""Bytes of memory of all nested calls together; gas bounds it only as far as gas itself is bounded."""

CHECK_EVERY = 2048
"""Charges of gas between two looks at the clock."""

_SLOW_PRECOMPILES = (("ECPAIRING", 2e-5), ("Blake2b", 1e-5))
"""Precompiles that, in Python, run long on one charge of gas, by the reason they give, and the seconds a unit takes."""


def limit(state: Any, deadline: float) -> None:
    """Make every computation of `state` raise CallExpired once `deadline` (monotonic seconds) has passed, or when memory
    runs over."""
    base = state.computation_class
    held = 0

    class Limited(base):  # type: ignore[misc, valid-type]
        def _configure_gas_meter(self) -> Any:
            meter = super()._configure_gas_meter()
            return _TimedMeter(meter.start_gas, meter.refund_strategy, deadline)

        def extend_memory(self, start_position: int, size: int) -> None:
            nonlocal held
            before = len(self._memory)
            if size and held + start_position + size - before > MAX_MEMORY:
                raise CallExpired(f"the call needs more than {MAX_MEMORY} bytes of memory")
            super().extend_memory(start_position, size)
            held += len(self._memory) - before

        def add_child_computation(self, child_computation: Any) -> None:
            nonlocal held
            held -= len(child_computation._memory)
            super().add_child_computation(child_computation)

    state.computation_class = Limited


class _TimedMeter(GasMeter):
    def __init__(self, start_gas: int, refund_strategy: Any, deadline: float) -> None:
        super().__init__(start_gas, refund_strategy)
        self._deadline = deadline
        self._left = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        self._left -= 1
        if self._left < 0:
            self._left = CHECK_EVERY
            self._check(0)
        if amount >= CHECK_EVERY and amount <= self.gas_remaining:
            self._check(next((amount * each for name, each in _SLOW_PRECOMPILES if reason.startswith(name)), 0))
        super().consume_gas(amount, reason)

    def _check(self, seconds: float) -> None:
        if time.monotonic() + seconds > self._deadline:
            raise CallExpired("the call takes too long")
