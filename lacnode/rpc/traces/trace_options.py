"""The options of a trace, as Besu and geth name them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lacnode.evm.trace_record import RecordingOptions, TraceDetail
from lacnode.rpc.errors import INVALID_PARAMS, RpcError, invalid_params
from lacnode.rpc.parameters import parse_boolean

TRACERS = ("callTracer", "prestateTracer", "4byteTracer", "flatCallTracer")

SHOWN_CHARACTERS = 32
"""Characters of a tracer's name that an error repeats."""

INVALID_TRACE = "Invalid transaction trace params"
INVALID_TRACE_TYPE = "Invalid trace type params"

_INDEX = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """The parts of struct logs that are wanted, or the name of one of geth's tracers (`TRACERS`) with its settings.
    `tracer` is None for struct logs.

    `only_top_call` and `with_log` are for `callTracer`, `diff` is for `prestateTracer`.
    """

    storage: bool = True
    memory: bool = False
    stack: bool = True
    tracer: str | None = None
    only_top_call: bool = False
    with_log: bool = False
    diff: bool = False

    @property
    def recording_options(self) -> RecordingOptions:
        """The parts of the execution to record, so that the trace with these options can be made."""
        if self.tracer is None:
            return RecordingOptions(TraceDetail.STEPS, memory=self.memory)
        if self.tracer == "prestateTracer":
            return RecordingOptions(TraceDetail.STEPS, reads=True)
        return RecordingOptions(TraceDetail.CALLS)


def parse_trace_options(value: object) -> TraceOptions:
    """Parse the options of a trace. None means the defaults. An object without `disableMemory` asks for the memory too,
    as in Besu. RpcError if a member does not fit, or the tracer is not one of `TRACERS`. Unknown members are ignored."""
    if value is None:
        return TraceOptions()
    if not isinstance(value, Mapping):
        raise RpcError(INVALID_PARAMS, INVALID_TRACE, "an object of options was expected")
    tracer = value.get("tracer")
    if tracer is not None:
        return _with_tracer(tracer, value.get("tracerConfig"))
    return TraceOptions(
        storage=not _flag(value, "disableStorage"),
        # Besu shows memory if there are options at all, unless they say otherwise.
        memory=not _flag(value, "disableMemory"),
        stack=not _flag(value, "disableStack"),
    )


def _with_tracer(tracer: object, config: object) -> TraceOptions:
    if not isinstance(tracer, str) or tracer not in TRACERS:
        # Any other text is a program, or the name of one, for a node that runs JavaScript.
        named = str(tracer)[:SHOWN_CHARACTERS]
        raise RpcError(
            INVALID_PARAMS,
            INVALID_TRACE,
            f"this node runs no JavaScript tracers: tracer must be one of {', '.join(TRACERS)}, not {named!r}",
        )
    found = config if isinstance(config, Mapping) else {}
    return TraceOptions(
        tracer=tracer,
        only_top_call=_flag(found, "onlyTopCall"),
        with_log=_flag(found, "withLog"),
        diff=_flag(found, "diffMode"),
    )


def _flag(value: Mapping[str, object], name: str) -> bool:
    found = value.get(name)
    if found is None:
        return False
    try:
        return parse_boolean(found, name)
    except RpcError as error:
        raise RpcError(INVALID_PARAMS, INVALID_TRACE, error.data) from None


@dataclass(frozen=True, slots=True)
class TraceTypes:
    """The parts that a client wants of an answer of `trace_replayBlockTransactions` and the like: `trace`, `vmTrace`
    and `stateDiff`. True for each that is wanted."""

    trace: bool
    vm_trace: bool
    state_diff: bool

    @property
    def recording_options(self) -> RecordingOptions:
        """The parts of the execution to record, so that these parts can be made."""
        if self.vm_trace:
            return RecordingOptions(TraceDetail.STEPS)
        return RecordingOptions(TraceDetail.CALLS)


def parse_trace_types(value: object) -> TraceTypes:
    """Parse an array of `trace`, `vmTrace` and `stateDiff`, in any case. An empty one wants none. RpcError for another
    text or value."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RpcError(INVALID_PARAMS, INVALID_TRACE_TYPE, "an array of trace, vmTrace and stateDiff was expected")
    names = {item.lower() for item in value}
    unknown = names - {"trace", "vmtrace", "statediff"}
    if unknown:
        raise RpcError(INVALID_PARAMS, INVALID_TRACE_TYPE, f"unknown trace type: {min(unknown)[:SHOWN_CHARACTERS]}")
    return TraceTypes("trace" in names, "vmtrace" in names, "statediff" in names)


def parse_trace_index(value: object, what: str) -> int:
    """Parse an index that Besu takes as a JSON integer, which may be negative, or as text of at most 9 decimal digits.
    RpcError, with `what` for the name of the parameter, if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INDEX.fullmatch(value):
        return int(value)
    raise invalid_params(f"{what}: an integer was expected")
