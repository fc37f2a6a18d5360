"""Records the steps and calls of one transaction while py-evm executes it.

A step is recorded as Besu's tracer sees it. In particular a step that begins a call ends, for the record, before the
first instruction of the call. This file must not change the outcome of an execution.
"""

from typing import Any

from eth import exceptions

from lacnode.evm.trace_failures import gas_of_failed_step, halt_reason_of, items_after_failure, memory_after_step
from lacnode.evm.trace_opcodes import (
    CALL_VALUE_OPCODES,
    CALLS,
    CREATES,
    MEMORY_CHANGES,
    RETURN,
    SELFDESTRUCT,
    SSTORE,
    STOP,
    address_of_stack_item,
    count_produced_items,
    find_account_read,
    opcode_name,
    stack_word,
)
from lacnode.evm.trace_record import (
    STACK_ITEM_BYTES,
    STEP_BYTES,
    HaltReason,
    RecordingOptions,
    TraceAllowance,
    TracedCall,
    TraceDetail,
    TracedLog,
    TracedStep,
)

LONG_MEMORY_BYTES = 65_536
"""Length of a memory from which each step that records it looks at the budget."""

CALL_STIPEND_GAS = 2_300
"""Gas that a call with value gets for nothing."""


class _Frame:
    """A call under way."""

    __slots__ = (
        "call", "computation", "finished_calls", "memory", "nonce", "pending", "refund_before", "returned", "written",
    )  # fmt: skip

    def __init__(self, computation: Any, call: TracedCall, refund_before: int) -> None:
        self.computation = computation
        self.call = call
        self.refund_before = refund_before
        self.finished_calls = self.nonce = 0
        self.pending: TracedStep | None = None
        self.returned: tuple[int, bytes] | None = None
        self.memory: bytes | None = None
        self.written: dict[bytes, dict[int, int]] = {}

    @property
    def has_run_to_end(self) -> bool:
        """Return whether its last recorded step ended it, without an error of an instruction."""
        return self.pending is not None and self.pending.opcode in (STOP, RETURN)

    @property
    def refund(self) -> int:
        below = self.computation.children
        return int(self.refund_before + self.computation._gas_meter.gas_refunded + (below[0]._refund if below else 0))

    def storage(self) -> dict[int, int]:
        """Return the slots of its account that it and its calls have written. The result must not be changed."""
        return self.written.get(self.computation.msg.storage_address) or {}

    def copied_memory(self, allowance: TraceAllowance) -> bytes:
        """Return its memory now. Most steps leave the memory as it is, and share one copy."""
        held = self.computation._memory._bytes
        # The budget looks at gas. A cheap step beside a long memory takes as long as thousands of other steps.
        if len(held) > LONG_MEMORY_BYTES:
            self.computation.state.budget.check()
        if self.memory is None or self.memory != held:
            self.memory = bytes(held)
            allowance.count_bytes(len(held))
        return self.memory

    def record_memory(self, piece: tuple[int, bytes] | None, allowance: TraceAllowance) -> None:
        """Record the `piece` of the memory that a step has changed or read."""
        if piece is not None:
            # Each piece is a copy. A contract may copy the same megabyte at every step.
            allowance.count_bytes(len(piece[1]))
            self.returned = piece


class TraceRecorder:
    """Records one transaction in `steps`, `root` (its own call, None before that begins) and `reads` (address, and slot or
    None). Several transactions may share `allowance`. Every method raises TraceTooLargeError if `allowance` is used up."""

    def __init__(self, options: RecordingOptions, allowance: TraceAllowance) -> None:
        self.options = options
        self.steps: list[TracedStep] = []
        self.root: TracedCall | None = None
        self.reads: dict[tuple[bytes, int | None], None] = {}
        self.initcode_gas = 0
        self._allowance = allowance
        self._frames: list[_Frame] = []
        self._all_steps = options.detail is TraceDetail.STEPS

    @property
    def has_open_call(self) -> bool:
        """Whether the transaction's own call has begun and not ended."""
        return bool(self._frames)

    # -- calls ---------------------------------------------------------------------------------------------------

    def begin_call(self, computation: Any) -> None:
        """Begin the call of `computation`, which has executed nothing yet. The step that makes the call ends."""
        message = computation.msg
        parent = self._frames[-1] if self._frames else None
        call = _begun_call(message, parent.pending if parent else None)
        call.is_precompile = message.code_address in computation.precompiles
        self._allowance.count_step(STEP_BYTES + len(call.input))
        if parent is None:
            call.gas -= self.initcode_gas
            self.root = call
        else:
            self._suspend(parent, message, call)
            parent.call.calls.append(call)
        self._frames.append(_Frame(computation, call, parent.refund if parent else 0))

    def _suspend(self, parent: _Frame, message: Any, call: TracedCall) -> None:
        """End the step of `parent` that begins a call, for the record."""
        step = parent.pending
        assert step is not None
        stipend = CALL_STIPEND_GAS if step.opcode in CALL_VALUE_OPCODES and message.value else 0
        step.cost = step.gas - parent.computation._gas_meter.gas_remaining - message.gas + stipend
        step.call = call
        step.child_gas = message.gas
        step.code = message.code
        self._note_after(parent, step)

    def end_call(self, computation: Any) -> None:
        """End the call of `computation`. If the call is a creation, its code is stored by now."""
        frame = self._frames.pop()
        call = frame.call
        call.gas_used = call.gas - computation.get_gas_remaining()
        call.output = bytes(computation.output)
        self._allowance.count_bytes(len(call.output))
        if computation.is_error:
            self._note_error(frame, computation.error)
        if call.is_precompile:
            self._note_precompile(frame)
        if self._frames:
            self._return_to(self._frames[-1], frame)

    def _note_error(self, frame: _Frame, error: Exception) -> None:
        call = frame.call
        if isinstance(error, exceptions.Revert):
            call.is_reverted = True
            return
        call.error = halt_reason_of(error)
        last = frame.pending
        if call.is_precompile or (last is not None and last.halt is not None):
            return
        if frame.has_run_to_end:
            self._note_refused_code(frame)
        else:
            # An instruction that is not recorded failed. Or the transaction creates a contract at a taken address.
            self.steps.append(self._failed_step(frame))

    def _note_refused_code(self, frame: _Frame) -> None:
        """Note that the code of a creation is refused at its end. Besu puts the error on the last step but RETURN."""
        if self._all_steps:
            step = next(step for step in reversed(self.steps) if step.name != "RETURN")
            step.halt = frame.call.error
        else:
            self.steps.insert(len(self.steps) - 1, self._failed_step(frame))

    def _failed_step(self, frame: _Frame) -> TracedStep:
        step = _step_without_instruction(frame, frame.call.gas)
        step.halt = frame.call.error
        return step

    def _note_precompile(self, frame: _Frame) -> None:
        meter = frame.computation._gas_meter
        gas = frame.call.gas
        cost = meter.refused if meter.refused is not None else frame.call.gas_used
        if not self.steps:
            self.steps.append(_step_without_instruction(frame, gas if frame.call.error else gas - cost))
        self.steps[-1].precompile_gas = cost

    def _return_to(self, parent: _Frame, frame: _Frame) -> None:
        parent.finished_calls += 1
        if frame.call.is_success:
            for address, slots in frame.written.items():
                joined = parent.written[address] = {**parent.written.get(address, {}), **slots}
                self._allowance.count_bytes(STACK_ITEM_BYTES * len(joined))
        step = parent.pending
        if step is not None and step.opcode in CALLS:
            parent.record_memory(_returned_memory(step, frame.call.output), self._allowance)

    def add_log(self, address: bytes, topics: tuple[int, ...], data: bytes) -> None:
        """Record a log of the current call: the address (20 bytes), the topics as numbers, the data."""
        frame = self._frames[-1]
        self._allowance.count_bytes(len(data) + 32 * len(topics))
        words = tuple(topic.to_bytes(32) for topic in topics)
        frame.call.logs.append(TracedLog(address, words, data, frame.finished_calls))

    # -- steps ---------------------------------------------------------------------------------------------------

    def begin_step(self, computation: Any, opcode: int, is_virtual: bool) -> None:
        """Begin a step of the current call, with the instruction `opcode`. `is_virtual`: the STOP after the end of the
        code, which is recorded like the others and marked. TraceTooLargeError if the allowance is used up."""
        frame = self._frames[-1]
        program_counter = computation.code.program_counter
        step = TracedStep(
            program_counter if is_virtual else program_counter - 1,
            opcode,
            opcode_name(opcode, computation.opcodes),
            computation._gas_meter.gas_remaining,
            computation.msg.depth,
        )
        step.is_virtual = is_virtual
        step.memory_size = len(computation._memory)
        step.stack = computation._stack.values[:]
        if self.options.memory_before:
            step.memory = frame.copied_memory(self._allowance)
        if opcode == SELFDESTRUCT:
            step.swept_wei = computation.state.get_balance(computation.msg.storage_address)
        if opcode in CREATES:
            frame.nonce = computation.state.get_nonce(computation.msg.storage_address)
        if self.options.reads:
            self._note_reads(computation, opcode, step.stack)
        self._allowance.count_step(STEP_BYTES + STACK_ITEM_BYTES * len(step.stack))
        frame.pending = step
        self.steps.append(step)

    def _note_reads(self, computation: Any, opcode: int, stack: list[int | bytes]) -> None:
        own = computation.msg.storage_address
        self.reads[(own, None)] = None
        found = find_account_read(opcode, own, stack)
        if found is not None:
            self._allowance.count_bytes(STEP_BYTES)
            self.reads[found] = None

    def end_step(self, computation: Any) -> None:
        """End the current step, which has not failed."""
        frame = self._frames[-1]
        step = frame.pending
        assert step is not None
        if step.child_gas is not None:
            return
        remaining = computation._gas_meter.gas_remaining
        step.cost = step.gas - remaining
        if step.opcode in CALLS:
            # The call was not made: its sender has not enough funds, or it would be nested too deep.
            step.cost += CALL_STIPEND_GAS if step.opcode in CALL_VALUE_OPCODES and stack_word(step.stack, 3) else 0
            step.child_gas = remaining
            frame.returned = None
        step.code = computation.msg.code
        step.output = computation._output
        if step.opcode == SELFDESTRUCT:
            self._note_self_destruct(frame, step)
        if step.opcode in CREATES:
            self._note_collision(frame, step)
        if step.opcode == SSTORE:
            self._note_write(frame, step)
        if (change := MEMORY_CHANGES.get(step.opcode)) is not None:
            frame.record_memory(change(step.stack, computation._memory), self._allowance)
        self._note_after(frame, step)
        count = count_produced_items(step.opcode)
        step.produced = computation._stack.values[-count:] if count else []

    def _note_self_destruct(self, frame: _Frame, step: TracedStep) -> None:
        """Add SELFDESTRUCT to the calls: it moves a balance as a call does."""
        own = frame.computation.msg.storage_address
        self._allowance.count_bytes(STEP_BYTES)
        call = TracedCall(step.name, own, address_of_stack_item(step.stack[-1]), step.swept_wei, 0, b"", step.depth + 1)
        frame.call.calls.append(call)

    def _note_collision(self, frame: _Frame, step: TracedStep) -> None:
        """Note a creation at an address that is taken. Besu begins its call and halts it at once. py-evm begins none,
        but has counted the nonce up and taken the gas."""
        computation = frame.computation
        if computation.state.get_nonce(computation.msg.storage_address) == frame.nonce:
            return
        offset, size = stack_word(step.stack, 2), stack_word(step.stack, 3)
        gas = computation._gas_meter.charged
        step.cost -= gas
        step.code = computation.memory_read_bytes(offset, size)
        step.halt = HaltReason.ILLEGAL_STATE_CHANGE
        call = TracedCall(
            step.name,
            computation.msg.storage_address,
            b"",
            stack_word(step.stack, 1),
            gas,
            step.code,
            step.depth + 1,
            gas,
        )
        call.error = step.halt
        frame.call.calls.append(call)

    def _note_write(self, frame: _Frame, step: TracedStep) -> None:
        slot, value = stack_word(step.stack, 1), stack_word(step.stack, 2)
        address = frame.computation.msg.storage_address
        step.updated_storage = slot, value
        # A new dictionary, because earlier steps hold the old one.
        written = frame.written.get(address, {})
        self._allowance.count_bytes(STACK_ITEM_BYTES * len(written) if self._all_steps else 0)
        frame.written[address] = {**written, slot: value}

    def end_step_with_revert(self, computation: Any) -> None:
        """End the current step, which is a REVERT. Its output is the revert reason."""
        self.end_step(computation)
        step = self.steps[-1]
        step.revert_reason = step.output

    def end_step_with_error(self, computation: Any, error: Exception) -> None:
        """End the current step with `error`, which ends the call."""
        frame = self._frames[-1]
        step = frame.pending
        assert step is not None
        if step.child_gas is not None:
            return
        step.halt = halt_reason_of(error)
        step.cost = gas_of_failed_step(step, computation, error)
        step.code = computation.msg.code
        if step.opcode in CALLS:
            step.child_gas = step.gas
        self._note_after(frame, step)
        step.produced = items_after_failure(step, computation._stack.values)

    def _note_after(self, frame: _Frame, step: TracedStep) -> None:
        message = frame.computation.msg
        step.recipient, step.value, step.input = message.storage_address, message.value, message.data
        step.refund = frame.refund
        step.storage = frame.storage()
        step.produced = step.stack[-1:]
        step.return_data = b"" if step.call is not None else frame.computation.return_data
        step.updated_memory, frame.returned = frame.returned, None
        if self.options.memory:
            step.memory = memory_after_step(step, frame.copied_memory(self._allowance))


def _begun_call(message: Any, step: TracedStep | None) -> TracedCall:
    if message.is_create:
        kind = "CREATE" if step is None else step.name
        return TracedCall(
            kind, message.sender, message.storage_address, message.value, message.gas, message.code, message.depth
        )
    kind = "CALL" if step is None else step.name
    # The sender of a delegated call is the calling contract, although the code sees the caller's caller.
    sender = message.storage_address if kind in ("DELEGATECALL", "CALLCODE") else message.sender
    to = message.to if step is None or len(step.stack) < 2 else address_of_stack_item(step.stack[-2])
    return TracedCall(kind, sender, to, message.value, message.gas, bytes(message.data), message.depth)


def _step_without_instruction(frame: _Frame, gas: int) -> TracedStep:
    """Return the step that Besu shows where a call ends without an instruction, such as a transaction to a precompile."""
    message = frame.computation.msg
    step = TracedStep(0, 0xFFFF, "", gas, message.depth)
    step.is_virtual = True
    step.recipient, step.value, step.input = message.storage_address, message.value, bytes(message.data)
    return step


def _returned_memory(step: TracedStep, output: bytes) -> tuple[int, bytes] | None:
    """Return where in the memory the output of the call goes that `step` began, and the part that fits."""
    position = 7 if step.opcode in CALL_VALUE_OPCODES else 6
    offset, size = stack_word(step.stack, position - 1), stack_word(step.stack, position)
    part = output[:size]
    return (offset, part) if part else None
