"""The traces of one block on both engines, in every form in which clients see them."""

from collections.abc import Callable, Sequence
from typing import Any

from lacnode.evm.engine import AncestorHash
from lacnode.evm.native_trace import NativeSteps
from lacnode.evm.trace_record import RecordingOptions, TraceDetail, TracedTransaction
from lacnode.evm.tracing_executor import BlockToTrace, TracingEngine
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.call_tree import call_tree, count_selectors, flat_calls
from lacnode.rpc.traces.flat_traces import flat_traces
from lacnode.rpc.traces.prestate import prestate
from lacnode.rpc.traces.state_diff import state_diff
from lacnode.rpc.traces.struct_logs import struct_logs
from lacnode.rpc.traces.trace_files import step_line
from lacnode.rpc.traces.trace_options import TraceOptions
from lacnode.rpc.traces.vm_trace import vm_trace

Form = Callable[[TracedTransaction], object]

FORMS: Sequence[tuple[RecordingOptions, dict[str, Form]]] = (
    (
        RecordingOptions(TraceDetail.STEPS, memory=True),
        {
            "struct logs": lambda traced: struct_logs(traced, TraceOptions(memory=True), AnswerSize()),
            "vmTrace": lambda traced: vm_trace(traced, AnswerSize()),
            "traces by steps": lambda traced: flat_traces(traced, AnswerSize()),
        },
    ),
    (
        RecordingOptions(TraceDetail.CALLS),
        {
            "callTracer": lambda traced: call_tree(traced, TraceOptions(with_log=True), AnswerSize()),
            "flatCallTracer": lambda traced: flat_calls(traced, None, AnswerSize()),
            "4byteTracer": count_selectors,
            "traces": lambda traced: flat_traces(traced, AnswerSize()),
            "stateDiff": lambda traced: state_diff(traced, AnswerSize()),
        },
    ),
    (
        RecordingOptions(TraceDetail.STEPS, reads=True),
        {
            "prestateTracer": lambda traced: prestate(traced, AnswerSize(), is_diff=False),
            "changes": lambda traced: prestate(traced, AnswerSize(), is_diff=True),
        },
    ),
    (
        RecordingOptions(TraceDetail.STEPS, memory_before=True),
        {"file": lambda traced: [step_line(step) for step in traced.steps if not step.is_virtual]},
    ),
)
"""What is recorded, and the forms that are made of it."""


def unlike_traces(
    python: TracingEngine, native: TracingEngine, block: BlockToTrace, hash_of: AncestorHash
) -> tuple[list[str], int, int]:
    """What the traces of `block` say differently, and the number of traces and of those that the library recorded."""
    wrong: list[str] = []
    traces = natively = 0
    for options, forms in FORMS:
        expected = _outcome(lambda: list(python.tracing_executor(hash_of).trace_block(block, options)))  # noqa: B023 - called at once
        found = _outcome(lambda: list(native.tracing_executor(hash_of).trace_block(block, options)))  # noqa: B023
        if not isinstance(expected, list) or not isinstance(found, list):
            wrong += [] if expected == found else [f"traces: {expected} and {found}"]
            continue
        traces += len(found)
        natively += sum(isinstance(traced.steps, NativeSteps) for traced in found)
        for index, (left, right) in enumerate(zip(expected, found, strict=True)):
            for name, form in forms.items():
                one, other = _outcome(lambda: form(left)), _outcome(lambda: form(right))  # noqa: B023
                wrong += [] if one == other else [f"{name} of transaction {index}: {first_difference(one, other)}"]
    return wrong, traces, natively


def _outcome(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        return type(error).__name__, str(error)


def first_difference(one: Any, other: Any, path: str = "") -> str:
    """The first place where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        keys = [key for key in one if one[key] != other[key]]
        return first_difference(one[keys[0]], other[keys[0]], f"{path}.{keys[0]}")
    if isinstance(one, list) and isinstance(other, list):
        for index, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                known = (
                    f" ({one[index - 1]!r:.300})" if index and isinstance(left, dict) and path.endswith("ogs") else ""
                )
                return first_difference(left, right, f"{path}[{index}]{known}")
        return f"{path}: {len(one)} and {len(other)} items"
    return f"{path}: {one!r:.700} and {other!r:.700}"
