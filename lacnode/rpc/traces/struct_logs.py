"""Struct logs: the steps of a transaction, as Besu's DEBUG methods show them."""

from lacnode.evm.native_trace import NativeSteps
from lacnode.evm.trace_record import TracedStep, TracedTransaction
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.trace_options import TraceOptions

STEP_BYTES, ITEM_BYTES, WORD_BYTES, SLOT_BYTES = 120, 3, 70, 140
"""Estimated bytes of JSON text for a step, for an item of its stack and a word of its memory without their digits, and
for a slot."""

Json = dict[str, object]


def struct_logs(traced: TracedTransaction, options: TraceOptions, size: AnswerSize) -> Json:
    """Return the result of `traced` and its steps with the parts that `options` name, in Besu's form. The
    estimated bytes of the steps as JSON are added to `size`, without the output. RpcError if `size` is above its bound
    then."""
    return {
        "gas": traced.gas_used,
        "failed": not traced.is_success,
        "returnValue": traced.output.hex(),
        "structLogs": _steps(traced, options, size),
    }


def _steps(traced: TracedTransaction, options: TraceOptions, size: AnswerSize) -> list[Json]:
    if isinstance(traced.steps, NativeSteps):
        logs, bytes_ = traced.steps.struct_logs(
            stack=options.stack, memory=options.memory, storage=options.storage, max_bytes=size.bytes_left
        )
        size.add(bytes_)
        return logs
    maker = _Maker(options, size)
    return [maker.shown(step) for step in traced.steps]


class _Maker:
    """Shows the steps of one transaction. Memories that are the same object are written once."""

    def __init__(self, options: TraceOptions, size: AnswerSize) -> None:
        self._options = options
        self._size = size
        self._memory: bytes | None = None
        self._words: list[str] = []

    def shown(self, step: TracedStep) -> Json:
        self._size.add(STEP_BYTES)
        shown: Json = {
            "pc": step.pc,
            "op": step.name,
            "gas": step.gas,
            "gasCost": cost_with_call(step),
            "depth": step.depth + 1,
        }
        # A special step has neither stack nor memory: the transaction calls a precompile, and no instruction runs.
        if self._options.stack and step.name:
            stack = [_compact(item) for item in step.stack]
            self._size.add(sum(map(len, stack)) + ITEM_BYTES * len(stack))
            shown["stack"] = stack
        if self._options.memory and step.memory:
            shown["memory"] = self._memory_words(step.memory)
        if self._options.storage and step.storage:
            self._size.add(SLOT_BYTES * len(step.storage))
            shown["storage"] = {f"{slot:x}": f"{value:x}" for slot, value in sorted(step.storage.items())}
        if step.revert_reason is not None:
            shown["reason"] = _compact_bytes(step.revert_reason)
            self._size.add(2 * len(step.revert_reason))
        if step.halt is not None:
            shown["error"] = [step.halt.name]
        return shown

    def _memory_words(self, memory: bytes) -> list[str]:
        self._size.add(WORD_BYTES * ((len(memory) + 31) // 32))
        if memory is not self._memory:
            self._memory = memory
            self._words = [_compact_bytes(memory[start : start + 32]) for start in range(0, len(memory), 32)]
        return self._words


def cost_with_call(step: TracedStep) -> int:
    """Return the gas of a step together with that of the call that it begins, if it begins one, as Besu shows it."""
    return step.cost + (step.child_gas or 0 if step.is_call else 0)


def _compact(item: int | bytes) -> str:
    return hex(item if isinstance(item, int) else int.from_bytes(item))


def _compact_bytes(data: bytes) -> str:
    """Return `data` in 0x-hexadecimal without leading zeros, as Besu shows words. Zeros and no bytes are "0x0"."""
    return hex(int.from_bytes(data))
