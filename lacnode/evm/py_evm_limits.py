"""Bounds on the memory and the logs of the executions that may end as too large: of `eth_call` and its kin, traces,
private messages, the transactions of a block that this node builds, and new proposals. Memory includes what they read
and change of the state.

Gas bounds both only as far as gas itself is bounded.
"""

from collections.abc import Callable
from typing import Any

from eth._utils.numeric import ceil32
from eth.vm.computation import memory_gas_cost

from lacnode.evm.block_limits import MAX_BLOCK_LOG_BYTES, MAX_TRANSACTION_MEMORY_BYTES, estimated_log_bytes
from lacnode.evm.budget import BudgetExceededError, SizeExceededError, SizeLimits
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_meter import Checkable
from lacnode.evm.py_evm_transient_storage import CountedTransientStorage

MAX_CALL_MEMORY_BYTES = 128 * 2**20
"""Bytes of the memory of all nested calls of a call together, with what it reads and changes of the state, and bytes of its
logs."""


class HeldBytes:
    """The bytes that the memory of all calls (`memory`) and the logs (`logs`) of the current execution hold. The caller
    sets both to 0 before the next execution."""

    def __init__(self) -> None:
        self.memory = 0
        self.logs = 0


def limit_call_memory_and_logs(state: Any) -> HeldBytes:
    """Make every computation of `state` raise SizeExceededError when the memory and the state that a call holds, or its
    logs, have more than `MAX_CALL_MEMORY_BYTES`. Set the returned counts to 0 before each further call on `state`."""
    return limit_total_memory_and_logs(state, MAX_CALL_MEMORY_BYTES, MAX_CALL_MEMORY_BYTES)


def limit_total_memory_and_logs(state: Any, max_memory: int, max_logs: int) -> HeldBytes:
    """Make every computation of `state` raise SizeExceededError when the memory of all calls, with what the transaction
    holds of the state, has more than `max_memory` bytes, or all logs have more than `max_logs`. Set the returned counts
    to 0 before each execution."""
    base = state.computation_class
    held = HeldBytes()

    def too_much_memory() -> SizeExceededError:
        return SizeExceededError(f"it needs more than {max_memory} bytes of memory")

    def exceeds_memory(further: int) -> bool:
        return held.memory + further + _state_bytes(state) > max_memory

    def check_memory() -> None:
        if exceeds_memory(0):
            raise too_much_memory()

    class Limited(base):  # type: ignore[misc, valid-type]
        def __init__(self, state: Any, message: Any, context: Any) -> None:
            super().__init__(state, message, context)
            # The input of a call is a copy of its caller's memory, so it counts beside it.
            held.memory += len(message.data)

        @property
        def metered_budget(self) -> Any:
            return _BudgetAndMemory(super().metered_budget, check_memory)

        def extend_memory(self, start_position: int, size: int) -> None:
            before = len(self._memory)
            end = start_position + size
            if not size or end <= before:
                return
            # A call that has too little gas for it runs out of gas here, as it does in a block of another validator.
            if exceeds_memory(end - before) and _can_pay(self, before, end):
                raise too_much_memory()
            super().extend_memory(start_position, size)
            held.memory += len(self._memory) - before

        def add_log_entry(self, account: Any, topics: tuple[int, ...], data: bytes) -> None:
            held.logs += estimated_log_bytes(len(topics), data)
            if held.logs > max_logs:
                raise SizeExceededError(f"it writes more than {max_logs} bytes of logs")
            super().add_log_entry(account, topics, data)

        def add_child_computation(self, child_computation: Any) -> None:
            before = len(self.return_data)
            super().add_child_computation(child_computation)
            # The caller keeps a copy of the output. Everything else of the call is free again.
            held.memory += len(self.return_data) - before - _bytes_of(child_computation)

    state.computation_class = Limited
    return held


def _state_bytes(state: Any) -> int:
    """Return about how many bytes the current transaction holds of accounts, slots, changes and transient storage."""
    accounts: Accounts = state._account_db
    # Forks before Cancun have no transient storage.
    transient: CountedTransientStorage | None = getattr(state, "transient_storage", None)
    return accounts.held_bytes + (0 if transient is None else transient.held_bytes)


class _BudgetAndMemory:
    """A budget that is asked together with `check_memory`."""

    def __init__(self, budget: Checkable, check_memory: Callable[[], None]) -> None:
        self._budget = budget
        self._check_memory = check_memory

    def check(self) -> None:
        """Return if the execution may go on. ExecutionInterruptedError otherwise."""
        self._budget.check()
        self._check_memory()


def limits_of_new_block() -> SizeLimits:
    """Return the limits of a block that this node builds."""
    return SizeLimits(MAX_TRANSACTION_MEMORY_BYTES, MAX_BLOCK_LOG_BYTES)


class TransactionLimits:
    """The limits for the transactions of one block, which is executed on `state`. Nothing is bounded if `limits` are
    None. `is_new` says that this node builds the block."""

    def __init__(self, state: Any, limits: SizeLimits | None, *, is_new: bool) -> None:
        self._is_new = is_new
        self._held = HeldBytes()
        self._log_bytes = 0
        self._limits = limits
        if limits is not None:
            self._held = limit_total_memory_and_logs(state, limits.memory_bytes, limits.log_bytes)

    def begin_transaction(self) -> None:
        """Begin a transaction, or a call that the block makes by itself: its memory and logs are counted from 0."""
        self._held.memory = self._held.logs = 0

    def check_logs(self) -> None:
        """Return if the logs of the transaction that has ended fit the block. Otherwise BudgetExceededError for a new
        block, and SizeExceededError for a block of another validator. The logs are not added to those of the block here
        (`count_logs_of_added_transaction`)."""
        if self._limits is not None and self._log_bytes + self._held.logs > self._limits.log_bytes:
            # Another new block has place for the transaction. A block of another validator stays as it is.
            error = BudgetExceededError if self._is_new else SizeExceededError
            raise error("the block has no place for its logs")

    def count_logs_of_added_transaction(self) -> None:
        """Add the logs of the transaction to those of its block. Call it once the block has the transaction. Nothing is
        checked here: `check_logs` did that before."""
        self._log_bytes += self._held.logs


def _bytes_of(computation: Any) -> int:
    """Return the bytes that it holds and its caller does not: its memory, and copies of others' memory."""
    return len(computation._memory) + len(computation.msg.data) + len(computation.return_data)


def _can_pay(computation: Any, before: int, end: int) -> bool:
    """Return whether its gas suffices for memory that grows from `before` to `end` bytes."""
    cost = memory_gas_cost(ceil32(end)) - memory_gas_cost(ceil32(before))
    return bool(cost <= computation._gas_meter.gas_remaining)
