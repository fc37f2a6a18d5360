"""Traces on both engines in one run, from the block to the JSON text of the answer."""

from collections.abc import Callable

import orjson

from benchmarks.engines import Bench, best_of_rounds, workloads
from benchmarks.measure import Measure
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.evm.trace_record import RecordingOptions, TraceDetail, TracedTransaction
from lacnode.evm.tracing_executor import BlockToTrace
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.call_tree import call_tree
from lacnode.rpc.traces.flat_traces import flat_traces
from lacnode.rpc.traces.struct_logs import struct_logs
from lacnode.rpc.traces.trace_options import TraceOptions

Form = Callable[[TracedTransaction], object]


def _flat(traced: TracedTransaction) -> object:
    return flat_traces(traced, AnswerSize())


def _logs(traced: TracedTransaction) -> object:
    return struct_logs(traced, TraceOptions(), AnswerSize())


def _tree(traced: TracedTransaction) -> object:
    return call_tree(traced, TraceOptions(), AnswerSize())


def _seconds(bench: Bench, block: BlockToTrace, kind: EngineKind, options: RecordingOptions, form: Form) -> float:
    def answer() -> None:
        traces = bench.engines[kind].tracing_executor(lambda number: None).trace_block(block, options)
        orjson.dumps([form(traced) for traced in traces])

    answer()
    return best_of_rounds(answer).seconds


def _measure(
    bench: Bench, name: str, block: BlockToTrace, options: RecordingOptions, form: Form, aim: float
) -> Measure:
    python, native = (_seconds(bench, block, kind, options, form) for kind in (EngineKind.PYTHON, EngineKind.NATIVE))
    note = f"py-evm {python * 1000:.0f} ms: {python / native:.1f} times"
    return Measure(name, native * 1000, "ms", aim, at_most=True, note=note)


def measure() -> list[Measure]:
    """Trace a block of token transfers, and a call of 123,000 gas. Nothing without the native library."""
    if why_no_library() is not None:
        return []
    bench, blocks = Bench(), {workload.name: workload for workload in workloads()}
    tokens, relay = blocks["1,000 ERC-20 transfers"], blocks["300 relay-like calls"]
    header = bench.after(tokens.setup)
    token_block = BlockToTrace(header.state_root, header, tokens.block[:100])
    header = bench.after(relay.setup)
    relay_block = BlockToTrace(header.state_root, header, relay.block[:1])
    calls, steps = RecordingOptions(TraceDetail.CALLS), RecordingOptions(TraceDetail.STEPS)
    return [
        _measure(bench, "trace_block of 100 ERC-20 transfers", token_block, calls, _flat, 300.0),
        _measure(bench, "debug_traceTransaction of a relay-like call", relay_block, steps, _logs, 30.0),
        _measure(bench, "the same with callTracer", relay_block, calls, _tree, 30.0),
    ]
