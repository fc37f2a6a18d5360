"""Why a call ended without success: in Besu's words, and in words of this project where there is more to say."""

from typing import Any

from eth import exceptions

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import REVERTED
from lacnode.evm.py_evm_block import revert_reason
from lacnode.evm.py_evm_forks import STATES

_JUMP_INTO_DATA = "Jump resulted in invalid instruction"

_DESCRIPTIONS: dict[type[Exception], str] = {
    exceptions.OutOfGas: "Out of gas",
    exceptions.InsufficientStack: "Stack underflow",
    exceptions.FullStack: "Out of stack",
    exceptions.InvalidJumpDestination: "Bad jump destination",
    exceptions.OutOfBoundsRead: "Out of bounds",
    exceptions.WriteProtection: "Illegal state change",
    exceptions.ContractCreationCollision: "Illegal state change",
    exceptions.ReservedBytesInCode: "Code is invalid",
    # Looked up by the exact class. So this is the entry of errors that precompiles raise, and not of all
    # subclasses.
    exceptions.VMError: "Precompile error",
}
"""Besu's `ExceptionalHaltReason` for py-evm's errors."""


def failure_in_besu_words(computation: Any) -> str | None:
    """Return why `computation` failed: `REVERTED` after REVERT, or Besu's description of the error that stopped it, such
    as `Out of gas`. None on success only."""
    if computation.is_success:
        return None
    if revert_reason(computation) is not None:
        return REVERTED
    error = corrected_error_class(computation.error)
    if error is exceptions.InvalidInstruction:
        return f"Invalid opcode: 0x{_last_opcode(computation):02x}"
    return _DESCRIPTIONS.get(error, error.__name__)


def halt_name_with_cause(computation: Any, fork: Fork) -> str | None:
    """Return, for the `data` of an error, py-evm's name of the error that stopped `computation` on a network at `fork`,
    such as `OutOfGas`, with its probable cause if there is one. None on success and after REVERT. Besu's words for it
    are those of `failure_in_besu_words`."""
    if computation.is_success or revert_reason(computation) is not None:
        return None
    error = corrected_error_class(computation.error)
    if error is not exceptions.InvalidInstruction:
        return error.__name__
    return why_opcode_is_invalid(_last_opcode(computation), fork)


def corrected_error_class(error: Exception) -> type[Exception]:
    """Return the class of py-evm's `error`. The one exception is a jump into the data of a PUSH: py-evm alone calls it
    an invalid instruction, so the result is InvalidJumpDestination, which other clients say."""
    if str(error) == _JUMP_INTO_DATA:
        return exceptions.InvalidJumpDestination
    return type(error)


def has_opcode(opcode: int, fork: Fork) -> bool:
    """Return whether `fork` has the instruction `opcode`."""
    return opcode in _opcodes(fork)


def why_opcode_is_invalid(opcode: int, fork: Fork) -> str:
    """Return why the instruction `opcode` is invalid at `fork`, as a text. The text names the instruction and the later
    fork that brings it, where there is one. Call it only for an instruction that `fork` does not have: that is not
    checked."""
    name = exceptions.InvalidInstruction.__name__
    # The most common cause: a compiler that is newer than the network, whose PUSH0 or MCOPY the network does not
    # have.
    first = next((later for later in Fork if later > fork and opcode in _opcodes(later)), None)
    if first is None:
        return name
    instruction = _opcodes(first)[opcode].mnemonic
    return (
        f"{name}: {instruction} (0x{opcode:02x}) comes with {first.name}; "
        f"the contract was compiled for a later fork than {fork.name}"
    )


def _opcodes(fork: Fork) -> dict[int, Any]:
    opcodes: dict[int, Any] = STATES[fork].computation_class.opcodes if fork in STATES else {}
    return opcodes


def _last_opcode(computation: Any) -> int:
    """Return the instruction that was read last."""
    code = computation.code
    return int(code._raw_code_bytes[code.program_counter - 1])
