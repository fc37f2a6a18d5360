"""How an instruction failed: Besu's reason for py-evm's error, and the gas that Besu shows for the instruction."""

import re
from typing import Any

from eth import constants, exceptions
from eth._utils.numeric import ceil32
from eth.vm.computation import memory_gas_cost

from lacnode.evm.py_evm_halts import corrected_error_class
from lacnode.evm.trace_opcodes import (
    CALLS,
    CREATES,
    SELFDESTRUCT,
    SSTORE,
    address_of_stack_item,
    count_produced_items,
    stack_word,
)
from lacnode.evm.trace_record import HaltReason, TracedStep

SSTORE_LEAST_GAS = 2_300
"""Gas that must be left for SSTORE (EIP-2200)."""

NEW_ACCOUNT_GAS = 25_000
"""Gas of SELFDESTRUCT for a beneficiary that does not exist."""

LOG1, LOG4 = 0xA1, 0xA4

_HALTS: dict[type[Exception], HaltReason] = {
    exceptions.OutOfGas: HaltReason.INSUFFICIENT_GAS,
    exceptions.InsufficientStack: HaltReason.INSUFFICIENT_STACK_ITEMS,
    exceptions.FullStack: HaltReason.TOO_MANY_STACK_ITEMS,
    exceptions.InvalidJumpDestination: HaltReason.INVALID_JUMP_DESTINATION,
    exceptions.InvalidInstruction: HaltReason.INVALID_OPERATION,
    exceptions.OutOfBoundsRead: HaltReason.INVALID_RETURN_DATA_BUFFER_ACCESS,
    exceptions.WriteProtection: HaltReason.ILLEGAL_STATE_CHANGE,
    exceptions.ContractCreationCollision: HaltReason.ILLEGAL_STATE_CHANGE,
    exceptions.ReservedBytesInCode: HaltReason.INVALID_CODE,
}

_FREE_HALTS = frozenset(
    {
        HaltReason.INSUFFICIENT_STACK_ITEMS,
        HaltReason.TOO_MANY_STACK_ITEMS,
        HaltReason.INVALID_OPERATION,
        HaltReason.INVALID_RETURN_DATA_BUFFER_ACCESS,
    }
)
"""Errors for which Besu shows no cost of the step."""

_NEEDED = re.compile(r"Needed (\d+)")


def halt_reason_of(error: Exception) -> HaltReason:
    """Return Besu's reason for py-evm's `error`. An error without an entry here, such as that of a
    precompile, is `PRECOMPILE_ERROR`."""
    if isinstance(error, exceptions.OutOfGas) and str(error).startswith(("Contract code size", "code of ")):
        return HaltReason.CODE_TOO_LARGE
    if isinstance(error, exceptions.OutOfGas) and str(error).startswith("code that begins"):
        return HaltReason.INVALID_CODE
    return _HALTS.get(corrected_error_class(error), HaltReason.PRECOMPILE_ERROR)


def gas_of_failed_step(step: TracedStep, computation: Any, error: Exception) -> int:
    """Return the gas that Besu shows for `step`, which failed with py-evm's `error` in `computation` (py-evm's). The caller
    has set `step.halt` to the reason of this failure (`halt_reason_of`)."""
    spent = int(step.gas - computation._gas_meter.gas_remaining)
    if step.halt in _FREE_HALTS:
        return 0
    if step.halt is HaltReason.ILLEGAL_STATE_CHANGE:
        return step.gas if step.opcode == SSTORE else 0
    if step.halt is not HaltReason.INSUFFICIENT_GAS:
        return spent
    refused = computation._gas_meter.refused
    if refused is not None:
        return spent + int(refused) + (0 if spent else _further_gas(step, computation))
    if step.opcode == SSTORE:
        return SSTORE_LEAST_GAS
    found = _NEEDED.search(str(error))
    return spent + (int(found[1]) if found else 0)


def _further_gas(step: TracedStep, computation: Any) -> int:
    """Return the gas that py-evm would have charged after its first charge, and Besu charges at once."""
    if step.opcode in CREATES:
        held, size = len(computation._memory), stack_word(step.stack, 3)
        end = stack_word(step.stack, 2) + size
        return int(memory_gas_cost(ceil32(end)) - memory_gas_cost(held)) if size and end > held else 0
    if step.opcode == SELFDESTRUCT:
        beneficiary = address_of_stack_item(step.stack[-1])
        is_dead = not computation.state.account_exists(beneficiary) or computation.state.account_is_empty(beneficiary)
        return NEW_ACCOUNT_GAS if is_dead and step.swept_wei else 0
    return 0


def items_after_failure(step: TracedStep, stack: list[int | bytes]) -> list[int | bytes]:
    """Return the items at the top of the stack that Besu shows as written by `step`, which failed. `stack` is py-evm's after
    it. CALL and CREATE take their inputs in Besu when nothing can fail any more."""
    count = count_produced_items(step.opcode)
    left = step.stack if step.opcode in CALLS or step.opcode in CREATES else stack
    return left[-count:] if count else []


def memory_after_step(step: TracedStep, memory: bytes) -> bytes:
    """Return `memory`, which py-evm has after `step`, as Besu has it. If the step failed, set `step.halt` to the reason
    before (`halt_reason_of`).

    Besu extends the memory when the instruction can pay for everything, py-evm before its last charge. LOG reads the memory
    before it takes the topics in Besu, and after that in py-evm.
    """
    if step.halt is HaltReason.INSUFFICIENT_GAS:
        return memory[: step.memory_size]
    is_read = LOG1 <= step.opcode <= LOG4 and len(step.stack) > 1
    if is_read and step.halt is HaltReason.INSUFFICIENT_STACK_ITEMS and (size := stack_word(step.stack, 2)):
        end = max(ceil32(stack_word(step.stack, 1) + size), step.memory_size)
        topics = step.opcode - LOG1 + 1
        gas = constants.GAS_LOG + constants.GAS_LOGTOPIC * topics + constants.GAS_LOGDATA * size
        gas += memory_gas_cost(end) - memory_gas_cost(step.memory_size)
        return memory.ljust(end, b"\0") if gas <= step.gas else memory
    return memory
