"""Notes whether an execution looked at more than code and storage: at the block, at a balance, at a nonce.

Permission rules are asked again and again. An answer that code and storage alone decided holds until one of them
changes. The instructions that ran count, not those that the code holds: code can hide an instruction in bytes that
look like data. This file must not change the outcome of an execution.
"""

from collections.abc import Callable
from typing import Any

from eth.exceptions import VMError

CALL, CALLCODE = 0xF1, 0xF2
WITH_VALUE = (CALL, CALLCODE)
"""Instructions whose success depends on a balance if they carry a value."""

READS = (
    0x31,  # BALANCE
    0x3F,  # EXTCODEHASH tells an account without code from one that does not exist
    *range(0x40, 0x4B),  # BLOCKHASH to BLOBBASEFEE; CHAINID and GASLIMIT among them do no harm
    0xF0,  # CREATE hangs on a nonce
    0xF5,  # CREATE2 hangs on whether the account exists
)

NAMING = (0x3B, 0x3C, CALL, CALLCODE, 0xF4, 0xFA, 0xFF)
"""Instructions that name an account: EXTCODESIZE, EXTCODECOPY, CALL to STATICCALL, SELFDESTRUCT. Those of `READS` are
noted anyway."""


class EnvironmentReadDetector:
    """Watches the instructions of the computations of `state`, a py-evm state that has executed nothing yet. `happened`
    becomes True when one of them reads more than code and storage: the block, a balance, a nonce, or whether an account
    exists. It also does when one of them fails at an account that it names."""

    def __init__(self, state: Any) -> None:
        self.happened = False
        base = state.computation_class
        opcodes = {**base.opcodes}
        for opcode in READS:
            if opcode in opcodes:
                opcodes[opcode] = self._noting(opcodes[opcode])
        for opcode in WITH_VALUE:
            opcodes[opcode] = self._noting_value(opcodes[opcode])
        for opcode in NAMING:
            if opcode in opcodes:
                opcodes[opcode] = self._noting_failure(opcodes[opcode])
        # The instructions are replaced in a class of this state alone: other executions share the fork's class.
        state.computation_class = type(f"Watched{base.__name__}", (base,), {"opcodes": opcodes})

    def _noting(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def noted(computation: Any) -> Any:
            self.happened = True
            return run(computation)

        return noted

    def _noting_value(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def noted(computation: Any) -> Any:
            values = computation._stack.values
            # The value is below gas and address. A stack that is too short fails in the instruction itself.
            if len(values) >= 3 and _is_positive(values[-3]):
                self.happened = True
            return run(computation)

        return noted

    def _noting_failure(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def noted(computation: Any) -> Any:
            try:
                return run(computation)
            except VMError:
                # An account that the call cannot pay for is not read. It costs less if it is the block's coinbase.
                self.happened = True
                raise

        return noted


def _is_positive(word: int | bytes) -> bool:
    return any(word) if isinstance(word, bytes) else word > 0
