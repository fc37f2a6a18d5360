"""revm's reasons for the end of a call, in the words that py-evm's reasons have here (see `py_evm_halts`)."""

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import REVERTED
from lacnode.evm.py_evm_halts import has_opcode, why_opcode_is_invalid
from lacnode.evm.transaction_validation import MAX_CODE_BYTES

_OUT_OF_GAS = ("Out of gas", "OutOfGas")

_HALTS: dict[str, tuple[str, str]] = {
    "OutOfGas": _OUT_OF_GAS,
    "InvalidJump": ("Bad jump destination", "InvalidJumpDestination"),
    "StackUnderflow": ("Stack underflow", "InsufficientStack"),
    "StackOverflow": ("Out of stack", "FullStack"),
    "OutOfOffset": ("Out of bounds", "OutOfBoundsRead"),
    "CreateCollision": ("Illegal state change", "ContractCreationCollision"),
    "PrecompileError": ("Precompile error", "VMError"),
    "CreateContractSizeLimit": _OUT_OF_GAS,
    "CreateContractStartingWithEF": ("Code is invalid", "ReservedBytesInCode"),
}
"""Besu's description and the name of py-evm's error, by the native library's name."""


def halt_and_explanation(
    name: str | None, last_opcode: int | None, contract_bytes: int | None, fork: Fork
) -> tuple[str | None, str | None]:
    """Return the `halt` and the `explanation` of a call (see `CallResult`) that ended as the library's `name` says,
    None for success. `last_opcode` is the last instruction, None where none was reached. `contract_bytes` is the
    network's limit of code, None for the fork's. An unknown name stands for itself."""
    if name is None:
        return None, None
    if name == "Revert":
        return REVERTED, None
    # revm charges for an instruction before it looks whether the fork has it. Besu and py-evm look first, so the
    # end by gas is renamed.
    is_invalid = last_opcode is not None and not has_opcode(last_opcode, fork)
    if last_opcode is not None and (name == "InvalidOpcode" or (name == "OutOfGas" and is_invalid)):
        return f"Invalid opcode: 0x{last_opcode:02x}", why_opcode_is_invalid(last_opcode, fork)
    if name == "CreateContractStartingWithEF" and contract_bytes not in (None, MAX_CODE_BYTES):
        return _OUT_OF_GAS  # py-evm_computation's rule for both
    return _HALTS.get(name, (name, name))
