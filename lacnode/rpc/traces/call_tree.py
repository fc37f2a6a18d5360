"""The calls of a transaction in the forms of geth's tracers: `callTracer`, `flatCallTracer` and `4byteTracer`."""

from collections import Counter
from collections.abc import Iterator

from lacnode.evm.trace_opcodes import CREATES
from lacnode.evm.trace_record import HaltReason, TracedCall, TracedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.revert_text import revert_text
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.call_depth import check_call_depth
from lacnode.rpc.traces.flat_traces import TransactionPlace
from lacnode.rpc.traces.trace_options import TraceOptions

CALL_BYTES, LOG_BYTES = 500, 400
"""Estimated bytes of JSON text for a call and for a log. Input, output and data come on top."""

SELECTOR_BYTES = 4

_GETH_ERRORS = {
    HaltReason.INSUFFICIENT_GAS: "out of gas",
    HaltReason.INSUFFICIENT_STACK_ITEMS: "stack underflow",
    HaltReason.INVALID_JUMP_DESTINATION: "invalid jump destination",
    HaltReason.INVALID_OPERATION: "invalid opcode",
    HaltReason.INVALID_RETURN_DATA_BUFFER_ACCESS: "return data out of bounds",
    HaltReason.TOO_MANY_STACK_ITEMS: "stack limit reached",
    HaltReason.ILLEGAL_STATE_CHANGE: "write protection",
    HaltReason.CODE_TOO_LARGE: "max code size exceeded",
    HaltReason.INVALID_CODE: "invalid code: must not begin with 0xef",
    HaltReason.PRECOMPILE_ERROR: "precompile error",
}
"""Geth's words for Besu's reasons."""

Json = dict[str, object]


def call_tree(traced: TracedTransaction, options: TraceOptions, size: AnswerSize) -> Json:
    """Return the calls as `callTracer` shows them, one inside the other. Their bytes are added to `size`. RpcError if
    `size` is above its bound then, or if the calls are nested too deep."""
    assert traced.call is not None
    check_call_depth(traced)
    shown = _shown(traced.call, options, size, logs_count=True)
    # The transaction's own call has the gas of the whole transaction.
    shown["gas"], shown["gasUsed"] = hex(traced.gas_limit), hex(traced.gas_used)
    return shown


def _walk(root: TracedCall | None) -> Iterator[tuple[TracedCall, list[int]]]:
    """Yield all calls with their trace addresses, a call before those that it makes."""
    waiting: list[tuple[TracedCall, list[int]]] = [] if root is None else [(root, [])]
    while waiting:
        call, address = waiting.pop()
        yield call, address
        waiting.extend((inner, [*address, index]) for index, inner in reversed(list(enumerate(call.calls))))


def _shown(call: TracedCall, options: TraceOptions, size: AnswerSize, *, logs_count: bool) -> Json:
    size.add(CALL_BYTES + 2 * len(call.input) + 2 * len(call.output))
    shown: Json = {"from": to_hex(call.sender), "gas": hex(call.gas), "gasUsed": hex(call.gas_used)}
    is_refused_creation = call.kind in CREATES.values() and not call.is_success
    if not is_refused_creation:
        shown["to"] = to_hex(call.to)
    shown["input"] = to_hex(call.input)
    if call.output:
        shown["output"] = to_hex(call.output)
    if not call.is_success:
        shown["error"] = _geth_error(call)
    if call.is_reverted and (text := revert_text(call.output)) is not None:
        shown["revertReason"] = text
    # The logs of a call that failed do not count, nor do those of the calls inside it.
    logs_count = logs_count and call.is_success
    if call.calls and not options.only_top_call:
        shown["calls"] = [_shown(inner, options, size, logs_count=logs_count) for inner in call.calls]
    if options.with_log and logs_count and call.logs:
        shown["logs"] = _logs(call, size)
    if call.kind != "STATICCALL":
        shown["value"] = hex(call.value)
    shown["type"] = call.kind
    return shown


def _logs(call: TracedCall, size: AnswerSize) -> list[Json]:
    size.add(sum(LOG_BYTES + 2 * len(log.data) for log in call.logs))
    return [
        {
            "address": to_hex(log.address),
            "topics": [to_hex(topic) for topic in log.topics],
            "data": to_hex(log.data),
            "position": hex(log.position),
        }
        for log in call.logs
    ]


def _geth_error(call: TracedCall) -> str:
    """Return geth's words for the error of a call that failed. KeyError if geth has none for its reason."""
    return "execution reverted" if call.error is None else _GETH_ERRORS[call.error]


def count_selectors(traced: TracedTransaction) -> dict[str, int]:
    """Return how often each selector was called with data of each length, as `4byteTracer` shows them. A key is the
    selector in 0x-hexadecimal, a hyphen, and the number of bytes after it. Creations, calls of precompiled contracts,
    and calls with less than 4 bytes of data are left out."""
    found: Counter[str] = Counter()
    for call, _ in _walk(traced.call):
        is_message = call.kind not in CREATES.values() and not call.is_precompile
        if is_message and len(call.input) >= SELECTOR_BYTES:
            selector = to_hex(call.input[:SELECTOR_BYTES])
            found[f"{selector}-{len(call.input) - SELECTOR_BYTES}"] += 1
    return dict(found)


def flat_calls(traced: TracedTransaction, place: TransactionPlace | None, size: AnswerSize) -> list[Json]:
    """Return the calls as `flatCallTracer` shows them: in a list, a call before those that it makes, without the calls
    to precompiled contracts. The transaction's own call is shown in each case. `place` is None for a call that is in no
    block. Their bytes are added to `size`. RpcError if `size` is above its bound then."""
    shown = []
    for call, address in _walk(traced.call):
        if call.is_precompile and address:
            continue
        size.add(CALL_BYTES + 2 * len(call.input) + 2 * len(call.output) + 4 * len(address))
        shown.append(_flat(call, address, place))
    return shown


def _flat(call: TracedCall, address: list[int], place: TransactionPlace | None) -> Json:
    action, result, kind = _parts(call)
    shown: Json = {"action": action}
    if place is not None:
        shown["blockHash"], shown["blockNumber"] = to_hex(place.block_hash), place.block_number
    if call.is_success:
        shown["result"] = result
    else:
        shown["error"] = "Reverted" if call.error is None else call.error.value
    shown["subtraces"] = sum(not inner.is_precompile for inner in call.calls)
    shown["traceAddress"] = address
    if place is not None:
        shown["transactionHash"], shown["transactionPosition"] = to_hex(place.transaction_hash), place.position
    shown["type"] = kind
    return shown


def _parts(call: TracedCall) -> tuple[Json, Json | None, str]:
    """Return the action, the result and the type of a flat call."""
    if call.kind == "SELFDESTRUCT":
        ended: Json = {"address": to_hex(call.sender), "refundAddress": to_hex(call.to), "balance": hex(call.value)}
        return ended, None, "suicide"
    action: Json = {"from": to_hex(call.sender), "gas": hex(call.gas), "value": hex(call.value)}
    used: Json = {"gasUsed": hex(call.gas_used)}
    if call.kind in CREATES.values():
        created = {**used, "address": to_hex(call.to), "code": to_hex(call.output)}
        return {**action, "creationMethod": call.kind.lower(), "init": to_hex(call.input)}, created, "create"
    action |= {"callType": call.kind.lower(), "input": to_hex(call.input), "to": to_hex(call.to)}
    return action, {**used, "output": to_hex(call.output)}, "call"
