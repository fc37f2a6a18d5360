"""py-evm's computations with a recorder that is told of every step and call.

The instructions are replaced in a class of one state alone: other executions share the fork's class and stay as quick as
they are. This file must not change the outcome of an execution.
"""

from collections.abc import Callable, Iterator
from typing import Any

from eth.exceptions import Halt, Revert, VMError
from eth.vm.logic.invalid import InvalidOpcode

from lacnode.evm.py_evm_code import Code
from lacnode.evm.py_evm_meter import BudgetMeter
from lacnode.evm.py_evm_recorder import TraceRecorder
from lacnode.evm.trace_opcodes import CALL_STEPS
from lacnode.evm.trace_record import TraceDetail

STOP = 0x00


class TracedCode(Code):
    """Code that knows whether the walk through it has come to its end (`has_ended`). After the last instruction the
    walk gives one STOP that is not in the code."""

    __slots__ = ("has_ended",)

    def __init__(self, code: bytes) -> None:
        super().__init__(code)
        self.has_ended = False

    def __iter__(self) -> Iterator[int]:
        code = self._raw_code_bytes
        while self.program_counter < len(code):
            opcode = code[self.program_counter]
            self.program_counter += 1
            yield opcode
        # py-evm and Besu execute a STOP here that stands nowhere.
        self.has_ended = True
        yield STOP


class ChargeRecordingMeter(BudgetMeter):
    """A meter that remembers its last charge (`charged`), and the gas that it did not have (`refused`, None if no
    charge failed)."""

    charged = 0
    refused: int | None = None

    def consume_gas(self, amount: int, reason: str) -> None:
        """Charge `amount` gas and remember it. The errors are those of `BudgetMeter.consume_gas`."""
        if amount > self.gas_remaining:
            self.refused = amount
        self.charged = amount
        super().consume_gas(amount, reason)


class TracedOpcodes(dict[int, Any]):
    """Instructions by their numbers. A number without an instruction gives one that fails and is recorded too."""

    def __init__(self, opcodes: dict[int, Any], wrapped: Callable[[int, Any], Any]) -> None:
        super().__init__(opcodes)
        self._wrapped = wrapped

    def __missing__(self, opcode: int) -> Any:
        return self._wrapped(opcode, InvalidOpcode(opcode))


def make_traced_class(base: Any, recorder: TraceRecorder) -> Any:
    """Return a subclass of `base`, a class of computations, that tells `recorder` of every call, and of the steps that
    the options of `recorder` ask for."""

    class Traced(base):  # type: ignore[misc]
        opcodes = _traced_opcodes(base.opcodes, recorder)

        def __init__(self, state: Any, message: Any, context: Any) -> None:
            super().__init__(state, message, context)
            if message.is_delegation and message.code_address in self.precompiles:
                # A delegation to a precompile is one to no code (EIP-7702). py-evm returns before the first instruction
                # where it finds a precompile, and Besu executes the STOP that it also executes for other empty code.
                message.code_address = message.to
            self.code = TracedCode(message.code)
            recorder.begin_call(self)

        def _configure_gas_meter(self) -> Any:
            meter = super()._configure_gas_meter()
            return ChargeRecordingMeter(meter.start_gas, meter.refund_strategy, self.metered_budget)

        def add_child_computation(self, child_computation: Any) -> None:
            # Before the base class gives up what the child holds.
            recorder.end_call(child_computation)
            super().add_child_computation(child_computation)

        def add_log_entry(self, account: Any, topics: tuple[int, ...], data: bytes) -> None:
            super().add_log_entry(account, topics, data)
            recorder.add_log(account, topics, data)

    return Traced


def _traced_opcodes(opcodes: dict[int, Any], recorder: TraceRecorder) -> dict[int, Any]:
    detail = recorder.options.detail

    def wrapped(opcode: int, run: Any) -> Any:
        return _traced(opcode, run, recorder)

    if detail is TraceDetail.STATE and not recorder.options.reads:
        return opcodes
    chosen = {opcode for opcode in opcodes if detail is TraceDetail.STEPS or opcode in CALL_STEPS}
    traced = {opcode: wrapped(opcode, run) if opcode in chosen else run for opcode, run in opcodes.items()}
    return TracedOpcodes(traced, wrapped)


def _traced(opcode: int, run: Any, recorder: TraceRecorder) -> Any:
    """Return the instruction `run`, recorded."""

    def traced(computation: Any) -> Any:
        recorder.begin_step(computation, opcode, computation.code.has_ended)
        try:
            run(computation=computation)
        except Halt:
            recorder.end_step(computation)
            raise
        except Revert:
            recorder.end_step_with_revert(computation)
            raise
        except VMError as error:
            recorder.end_step_with_error(computation, error)
            raise
        recorder.end_step(computation)

    # py-evm looks for the name of an instruction here.
    traced.mnemonic = getattr(run, "mnemonic", None) or run.__wrapped__.mnemonic  # type: ignore[attr-defined]
    return traced
