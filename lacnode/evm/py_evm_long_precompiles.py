"""Calls of precompiles that would run long, for an engine that cannot interrupt its own precompiles. Those in Python
can be interrupted."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from eth.exceptions import VMError

from lacnode.chainspec.forks import Fork
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.precompiles.py_evm_precompiles import replace_precompiles

LongPrecompile = Callable[[int, bytes, int], tuple[int, bytes] | None]
"""From the number of a precompile, its input and the gas of the call to the gas used and the output. None if it fails."""


class _OutOfGasError(Exception):
    """The call has less gas than the precompile costs."""


class _Call:
    """The parts of a computation that a precompile reads and writes."""

    def __init__(self, data: bytes, gas: int, budget: ExecutionBudget) -> None:
        self.msg = SimpleNamespace(data_as_bytes=data)
        self.state = SimpleNamespace(budget=budget)
        self.output = b""
        self.gas_used = 0
        self._gas = gas

    def consume_gas(self, amount: int, reason: str) -> None:
        self.gas_used += amount
        # The precompile charges before it works, so a call with too little gas costs no time.
        if self.gas_used > self._gas:
            raise _OutOfGasError(reason)


def run_precompile(fork: Fork, number: int, data: bytes, gas: int, budget: ExecutionBudget) -> tuple[int, bytes] | None:
    """Execute the precompile `number` of `fork` in Python, with the input `data` and the `gas` of its call. Return the
    gas used and the output, or None if the call fails because its input is invalid or its gas does not suffice.
    KeyError for a number that this project does not compute. ExecutionInterruptedError if `budget` is used up or
    cancelled."""
    call: Any = _Call(data, gas, budget)
    try:
        replace_precompiles({}, fork)[number.to_bytes(20)](call)
    except (VMError, _OutOfGasError):
        return None
    return call.gas_used, bytes(call.output)
