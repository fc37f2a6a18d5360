"""A bound on the memory of an execution that nobody paid for (`eth_call` and its kin)."""

from typing import Any

from lacnode.evm.budget import BudgetExceededError

MAX_MEMORY_BYTES = 128 * 2**20
"""Of all nested calls together; gas bounds it only as far as gas itself is bounded."""


def limit_memory(state: Any) -> None:
    """Make every computation of `state` raise BudgetExceededError when memory runs over."""
    base = state.computation_class
    held = 0

    class Limited(base):  # type: ignore[misc, valid-type]
        def extend_memory(self, start_position: int, size: int) -> None:
            nonlocal held
            before = len(self._memory)
            if size and held + start_position + size - before > MAX_MEMORY_BYTES:
                raise BudgetExceededError(f"the execution needs more than {MAX_MEMORY_BYTES} bytes of memory")
            super().extend_memory(start_position, size)
            held += len(self._memory) - before

        def add_child_computation(self, child_computation: Any) -> None:
            nonlocal held
            held -= len(child_computation._memory)
            super().add_child_computation(child_computation)

    state.computation_class = Limited
