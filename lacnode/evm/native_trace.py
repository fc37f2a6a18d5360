"""The native library's record of a transaction, as the data of `lacnode/evm/trace_record.py`.

The library gives tuples. The order of their members is that of `native/src/trace_python.rs`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

from lacnode.chainspec.forks import Fork
from lacnode.evm.py_evm_forks import STATES
from lacnode.evm.trace_opcodes import opcode_name
from lacnode.evm.trace_record import AccountChange, AccountValues, HaltReason, TracedCall, TracedLog, TracedStep

HALTS = tuple(HaltReason)
"""The reasons by the library's numbers."""

OPCODES = 256
STEPS_AT_ONCE = 1_000
"""Steps that are taken from the library at once. Its tuples take more memory than the steps that are made of them."""

NO_INSTRUCTION = -1
"""The gas of a number that is no instruction."""

_CALL_KINDS = {
    0xF0: "CREATE", 0xF1: "CALL", 0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xF5: "CREATE2", 0xFA: "STATICCALL",
    0xFF: "SELFDESTRUCT",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instructions:
    """The instructions of a fork by their numbers, 256 of each: names, and the gas that each costs before its operands
    count. A number without an instruction has the name `INVALID` and the gas `NO_INSTRUCTION`."""

    names: tuple[str, ...]
    static_gas: tuple[int, ...]


@lru_cache(maxsize=16)
def instructions_of(fork: Fork) -> Instructions:
    """Return the instructions of `fork`, as py-evm has them."""
    opcodes = STATES[fork].computation_class.opcodes
    names = tuple(opcode_name(number, opcodes) for number in range(OPCODES))
    return Instructions(names, tuple(_static_gas(opcodes.get(number)) for number in range(OPCODES)))


def _static_gas(instruction: Any) -> int:
    if instruction is None:
        return NO_INSTRUCTION
    found = getattr(instruction, "gas_cost", None)
    return int(instruction.__wrapped__.gas_cost if found is None else found)


class NativeSteps(Sequence[TracedStep]):
    """The steps of one transaction. They are made when they are first asked for: struct logs do not need them."""

    def __init__(self, trace: Any, instructions: Instructions, calls: Sequence[TracedCall]) -> None:
        self._trace = trace
        self._instructions = instructions
        self._calls = calls
        self._made: list[TracedStep] | None = None

    def __len__(self) -> int:
        return len(self._trace)

    def __iter__(self) -> Iterator[TracedStep]:
        return iter(self._steps())

    @overload
    def __getitem__(self, index: int) -> TracedStep: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TracedStep]: ...
    def __getitem__(self, index: int | slice) -> TracedStep | Sequence[TracedStep]:
        return self._steps()[index]

    def struct_logs(
        self, *, stack: bool, memory: bool, storage: bool, max_bytes: int
    ) -> tuple[list[dict[str, object]], int]:
        """Return the steps in the form of struct logs (`debug_traceTransaction`), and the estimated size of their JSON
        text in bytes. `stack`, `memory` and `storage` say which parts each has. After the step with which the size
        exceeds `max_bytes` the list ends early. The returned size is then above `max_bytes`."""
        names = list(self._instructions.names)
        halts = [halt.name for halt in HALTS]
        found: tuple[list[dict[str, object]], int] = self._trace.struct_logs(
            names, halts, (stack, memory, storage), max_bytes
        )
        return found

    def _steps(self) -> list[TracedStep]:
        if self._made is None:
            names, made = self._instructions.names, list[TracedStep]()
            for first in range(0, len(self), STEPS_AT_ONCE):
                made += [_step(record, names, self._calls) for record in self._trace.steps(first, STEPS_AT_ONCE)]
            self._made = made
        return self._made


def _step(record: Any, names: Sequence[str], calls: Sequence[TracedCall]) -> TracedStep:
    numbers, texts, rest = record
    pc, opcode, gas, depth, cost, refund, memory_size, halt, is_virtual, call, child_gas, precompile_gas = numbers
    step = TracedStep(pc, opcode, names[opcode] if opcode < OPCODES else "", gas, depth)
    step.cost, step.refund, step.memory_size, step.is_virtual = cost, refund, memory_size, is_virtual
    step.halt = None if halt is None else HALTS[halt]
    step.call = None if call is None else calls[call]
    step.child_gas, step.precompile_gas = child_gas, precompile_gas
    recipient, value, step.input, step.code, step.output, step.return_data, step.revert_reason, swept = texts
    step.recipient, step.value, step.swept_wei = recipient, int.from_bytes(value), int.from_bytes(swept)
    step.stack, step.produced, step.memory, storage, updated_memory, updated_storage = rest
    if storage:
        step.storage = {int.from_bytes(slot): int.from_bytes(held) for slot, held in storage}
    if updated_memory is not None:
        step.updated_memory = int.from_bytes(updated_memory[0]), updated_memory[1]
    if updated_storage is not None:
        step.updated_storage = int.from_bytes(updated_storage[0]), int.from_bytes(updated_storage[1])
    return step


def decode_traced_calls(trace: Any) -> list[TracedCall]:
    """Return all calls of a library's record in the order in which they began. The first is the transaction's own. The
    `calls` of each one are the calls that it made."""
    calls: list[TracedCall] = []
    for (parent, kind, sender, to, value, gas, data, depth), ended in trace.calls():
        gas_used, output, error, is_reverted, is_precompile, logs = ended
        call = TracedCall(
            _CALL_KINDS[kind], sender, to or b"", int.from_bytes(value), gas, data, depth, gas_used, output,
            None if error is None else HALTS[error], is_reverted, is_precompile,
        )  # fmt: skip
        call.logs = [TracedLog(*log) for log in logs]
        if parent is not None:
            calls[parent].calls.append(call)
        calls.append(call)
    return calls


def decode_account_changes(changes: Any) -> dict[bytes, AccountChange]:
    """Return the changes of accounts in the library's record of a transaction, by address (20 bytes)."""
    return {
        address: AccountChange(
            _values(before),
            _values(after),
            {int.from_bytes(slot): (int.from_bytes(old), int.from_bytes(new)) for slot, old, new in slots},
        )
        for address, before, after, slots in changes
    }


def _values(values: Any) -> AccountValues | None:
    if values is None:
        return None
    nonce, balance, code, code_hash = values
    return AccountValues(nonce, int.from_bytes(balance), code, code_hash)
