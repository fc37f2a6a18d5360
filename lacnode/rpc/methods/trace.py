"""TRACE: the calls, steps and changes of transactions, in the forms of OpenEthereum as Besu has them.

All methods execute blocks again, in a reader process.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from lacnode.crypto.secp256k1 import SignatureError, recover_sender
from lacnode.evm.engine import CallRequest
from lacnode.evm.trace_record import RecordingOptions, TraceDetail, TracedTransaction
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.call_parameters import parse_call_request
from lacnode.rpc.errors import (
    INVALID_COUNT,
    INVALID_FILTER,
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    RpcError,
    block_not_found,
    invalid_params,
    range_too_large,
    with_error_message,
)
from lacnode.rpc.method_registry import Method
from lacnode.rpc.parameters import (
    MAX_ADDRESSES,
    optional,
    parse_address,
    parse_block_number,
    parse_bytes,
    parse_hash32,
    required,
)
from lacnode.rpc.read_calls import Params, ReadContext, check_time, run_in_reader
from lacnode.rpc.trace_execution import (
    block_by_number,
    traced_block,
    traced_calls,
    tracing_executor_of,
    with_capped_gas,
    with_trace_errors,
)
from lacnode.rpc.traces.flat_traces import TransactionPlace, flat_traces
from lacnode.rpc.traces.rewards import reward_trace
from lacnode.rpc.traces.state_diff import state_diff
from lacnode.rpc.traces.trace_options import TraceTypes, parse_trace_types
from lacnode.rpc.traces.vm_trace import vm_trace

MAX_TRACED_CALLS = 100
"""Calls that one `trace_callMany` may have. Besu has no such bound."""

INVALID_CALLS, INVALID_TRACE_NUMBERS = "Invalid trace call many params", "Invalid trace numbers params"
INVALID_TRANSACTION = "Invalid transaction params (missing or incorrect)"

_TRACE_NUMBER = re.compile("(0x)?[0-9a-fA-F]{1,8}")

CALLS = RecordingOptions(TraceDetail.CALLS)

Json = dict[str, object]


@with_trace_errors
def trace_block(reading: ReadContext, params: Params) -> object:
    """Execute the block with a number or a tag again, and return its flat traces and its reward. None if there is no
    such block. Empty for the genesis. RpcError if the parameter does not fit, the answer is too large, or the state is
    not kept. CallTimeoutError if it takes too long."""
    found = block_by_number(reading, required(params, 0, "block"))
    if found is None:
        return None
    block, hash_ = found
    return [] if block.number == 0 else list(_traces_of_block(reading, block, hash_, AnswerSize()))


def _traces_of_block(reading: ReadContext, block: Block, hash_: bytes, size: AnswerSize) -> Iterator[Json]:
    """Return the flat traces of a block, its reward last."""
    for position, traced in enumerate(traced_block(reading, tracing_executor_of(reading), block, CALLS)):
        yield from flat_traces(traced, size, _place(block, hash_, position))
    yield reward_trace(reading.chain.spec, block.header, hash_)


def _place(block: Block, hash_: bytes, position: int) -> TransactionPlace:
    return TransactionPlace(hash_, block.number, position, block.transactions[position].hash)


@with_trace_errors
def trace_transaction(reading: ReadContext, params: Params) -> object:
    """Execute the transaction with a hash again, and return its flat traces. Empty if no block has it. RpcError if the
    parameter does not fit, the answer is too large, or the state is not kept. CallTimeoutError if it takes too long."""
    return _traces_of(reading, parse_hash32(required(params, 0, "transaction hash"), "transaction hash"))


def _traces_of(reading: ReadContext, transaction_hash: bytes) -> list[Json]:
    """Return the flat traces of one transaction. None of them if it is unknown."""
    location = reading.chain.transaction_location(transaction_hash)
    block = None if location is None else reading.block_of(location.block_hash)
    if location is None or block is None:
        return []
    traced = next(traced_block(reading, tracing_executor_of(reading), block, CALLS, location.index))
    return flat_traces(traced, AnswerSize(), _place(block, location.block_hash, location.index))


@with_trace_errors
def trace_get(reading: ReadContext, params: Params) -> object:
    """Return the flat trace at a trace address of a transaction. None if no block has the transaction, or if it has no
    trace there. `params` are the transaction's hash and an array of hexadecimal numbers. RpcError for another number of
    parameters, if a parameter does not fit, if the traces are too large, or if the state is not kept. CallTimeoutError
    if it takes too long."""
    if len(params) != 2:
        raise RpcError(INVALID_PARAMS, INVALID_COUNT)
    transaction_hash = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    wanted = _trace_address(required(params, 1, "trace address"))
    return next((trace for trace in _traces_of(reading, transaction_hash) if trace["traceAddress"] == wanted), None)


def _trace_address(value: object) -> list[int]:
    if not isinstance(value, list) or not all(
        isinstance(item, str) and _TRACE_NUMBER.fullmatch(item) for item in value
    ):
        raise RpcError(INVALID_PARAMS, INVALID_TRACE_NUMBERS, "an array of hexadecimal numbers was expected")
    return [int(item, 16) for item in value]


# -- blocks executed again -------------------------------------------------------------------------------------------


@with_trace_errors
def trace_replayBlockTransactions(reading: ReadContext, params: Params) -> object:
    """Execute the block with a number or a tag again, and return the wanted parts of each transaction, in order. None
    if there is no such block. Empty for the genesis. `params` are the block (number or tag) and an array of `trace`,
    `vmTrace` and `stateDiff`.

    RpcError if a parameter does not fit, the answer is too large, or the state is not kept. CallTimeoutError if it
    takes too long.
    """
    number = parse_block_number(reading, required(params, 0, "block"))
    types = parse_trace_types(optional(params, 1))
    found = block_by_number(reading, number)
    if found is None:
        return None
    size = AnswerSize()
    return [
        _replayed(traced, types, size)
        for traced in traced_block(reading, tracing_executor_of(reading), found[0], types.recording_options)
    ]


def _replayed(traced: TracedTransaction, types: TraceTypes, size: AnswerSize) -> Json:
    shown: Json = {"output": to_hex(traced.output)}
    if traced.revert_reason is not None:
        shown["revertReason"] = to_hex(traced.revert_reason)
    parts = _parts(traced, types, size, names_creation=True)
    shown["stateDiff"], shown["trace"] = parts["stateDiff"], parts["trace"]
    shown["transactionHash"] = to_hex(traced.hash or b"")
    shown["vmTrace"] = parts["vmTrace"]
    return shown


def _parts(traced: TracedTransaction, types: TraceTypes, size: AnswerSize, *, names_creation: bool) -> Json:
    return {
        "stateDiff": state_diff(traced, size) if types.state_diff else None,
        "trace": flat_traces(traced, size, names_creation=names_creation) if types.trace else [],
        "vmTrace": vm_trace(traced, size) if types.vm_trace else None,
    }


@with_trace_errors
def trace_replayTransaction(reading: ReadContext, params: Params) -> object:
    """Execute one transaction again, and return its wanted parts. None if no block has it. `params` are its hash and an
    array of `trace`, `vmTrace` and `stateDiff`. Besu does not have this method of OpenEthereum.

    RpcError if a parameter does not fit, the answer is too large, or the state is not kept. CallTimeoutError if it
    takes too long.
    """
    transaction_hash = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    types = parse_trace_types(optional(params, 1))
    location = reading.chain.transaction_location(transaction_hash)
    block = None if location is None else reading.block_of(location.block_hash)
    if location is None or block is None:
        return None
    traced = next(traced_block(reading, tracing_executor_of(reading), block, types.recording_options, location.index))
    return _replayed(traced, types, AnswerSize())


# -- calls -----------------------------------------------------------------------------------------------------------


@with_trace_errors
def trace_call(reading: ReadContext, params: Params) -> object:
    """Execute a call on the state after a block, and return its wanted parts. `params` are the call object, an array of
    `trace`, `vmTrace` and `stateDiff` and, if wanted, the block (number or tag, the head without it).

    RpcError if a parameter does not fit, there is no such block, the call cannot begin, the answer is too large, or the
    state is not kept. CallTimeoutError if it takes too long.
    """
    call = _call(reading, required(params, 0, "call"))
    types = parse_trace_types(optional(params, 1))
    return _traced_calls(reading, [(call, types)], optional(params, 2))[0]


@with_trace_errors
def trace_callMany(reading: ReadContext, params: Params) -> object:
    """Execute calls one after the other, the first on the state after a block and each other one on the state that the
    one before left. Return the wanted parts of each. Nothing is stored. There are exactly two `params`: an array of
    pairs (call object, array of `trace`, `vmTrace` and `stateDiff`) and the block (number or tag, null for the head).

    RpcError for another number of parameters, if one does not fit, if there are more than `MAX_TRACED_CALLS` calls, if
    there is no such block or its state is not kept, if a call cannot begin, or if the answer is too large.
    CallTimeoutError if it takes too long.
    """
    if len(params) != 2:
        raise RpcError(INVALID_PARAMS, INVALID_COUNT)
    given = params[0]
    if not isinstance(given, list) or not all(isinstance(item, list) and len(item) >= 2 for item in given):
        raise RpcError(INVALID_PARAMS, INVALID_CALLS, "an array of [call, trace types] was expected")
    if len(given) > MAX_TRACED_CALLS:
        raise RpcError(LIMIT_EXCEEDED, f"Number of calls exceeds maximum of {MAX_TRACED_CALLS}")
    with with_error_message(INVALID_CALLS):
        calls = [(_call(reading, item[0]), parse_trace_types(item[1])) for item in given]
    return _traced_calls(reading, calls, params[1])


@with_trace_errors
def trace_rawTransaction(reading: ReadContext, params: Params) -> object:
    """Execute a signed transaction on the state after the head, and return its wanted parts. It is not sent. `params`
    are the transaction in hexadecimal and an array of `trace`, `vmTrace` and `stateDiff`.

    RpcError for another number of parameters, or if one does not fit, the transaction cannot begin, the answer is too
    large, or the state is not kept. CallTimeoutError if it takes too long.
    """
    if len(params) != 2:
        raise RpcError(INVALID_PARAMS, INVALID_COUNT)
    with with_error_message(INVALID_TRANSACTION):
        call = _call_of(parse_bytes(required(params, 0, "transaction"), "transaction"))
    return _traced_calls(reading, [(call, parse_trace_types(params[1]))], "latest")[0]


def _call(reading: ReadContext, value: object) -> CallRequest:
    call, _ = parse_call_request(value)
    # The sender must be able to pay, as in Besu.
    return replace(call, allow_exceeding_balance=False)


def _call_of(raw: bytes) -> CallRequest:
    """Return the call that a signed transaction makes."""
    try:
        transaction = Transaction.decode(raw)
        sender = recover_sender(transaction)
    except (RlpError, SignatureError) as error:
        raise invalid_params(str(error)) from None
    return CallRequest(
        sender=sender,
        to=transaction.to,
        gas=transaction.gas_limit,
        gas_price=transaction.gas_price,
        max_fee_per_gas=None if transaction.gas_price is not None else transaction.max_gas_price,
        max_priority_fee_per_gas=transaction.max_priority_fee_per_gas,
        value=transaction.value,
        data=transaction.data,
        access_list=transaction.access_list,
        nonce=transaction.nonce,
        chain_id=transaction.chain_id,
        allow_exceeding_balance=False,
    )


def _traced_calls(reading: ReadContext, calls: list[tuple[CallRequest, TraceTypes]], block: object) -> list[Json]:
    """Return the traces of `calls`, each on the state that the one before left."""
    header = reading.chain.header_at(parse_block_number(reading, "latest" if block is None else block))
    if header is None:
        raise block_not_found()
    size = AnswerSize()
    requests = [(with_capped_gas(reading, header, call), types.recording_options) for call, types in calls]
    traces = traced_calls(reading, header, requests)
    return [_shown_call(traced, types, size) for traced, (_, types) in zip(traces, calls, strict=True)]


def _shown_call(traced: TracedTransaction, types: TraceTypes, size: AnswerSize) -> Json:
    output = traced.output if traced.revert_reason is None else traced.revert_reason
    return {"output": to_hex(output), **_parts(traced, types, size, names_creation=False)}


# -- filter ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Filter:
    """The traces that are wanted. Empty sets of addresses fit every trace. `count` is None for all traces."""

    first: int
    last: int
    senders: frozenset[str]
    recipients: frozenset[str]
    after: int
    count: int | None

    def matches(self, trace: Json) -> bool:
        action = trace["action"]
        assert isinstance(action, dict)
        return (not self.senders or action.get("from") in self.senders) and (
            not self.recipients or action.get("to") in self.recipients
        )


@with_trace_errors
def trace_filter(reading: ReadContext, params: Params) -> object:
    """Return the flat traces of a range of blocks that fit a filter object, in order. The rewards of the blocks are
    among them if the filter names no addresses. `after` of the filter skips traces, and `count` bounds them.

    RpcError if the filter does not fit, the last minus the first block number is more than `max_trace_filter_range` of
    the settings (0 for no bound), the answer is too large, or the state is not kept. CallTimeoutError if it takes too
    long.
    """
    wanted = _filter(reading, required(params, 0, "filter"))
    limit = reading.settings.max_trace_filter_range
    if 0 < limit < wanted.last - wanted.first:
        raise range_too_large(f"at most {limit} blocks")
    end = None if wanted.count is None else wanted.after + wanted.count
    return list(islice(_filtered(reading, wanted), wanted.after, end))


def _filtered(reading: ReadContext, wanted: _Filter) -> Iterator[Json]:
    size = AnswerSize()
    for number in range(max(1, wanted.first), min(wanted.last, reading.chain.head.header.number) + 1):
        check_time(reading)
        found = block_by_number(reading, number)
        if found is not None:
            yield from filter(wanted.matches, _traces_of_block(reading, *found, size))


@with_error_message(INVALID_FILTER)
def _filter(reading: ReadContext, value: object) -> _Filter:
    if not isinstance(value, Mapping):
        raise invalid_params("filter: an object was expected")
    return _Filter(
        first=parse_block_number(reading, _or_latest(value.get("fromBlock"))),
        last=parse_block_number(reading, _or_latest(value.get("toBlock"))),
        senders=_addresses(value.get("fromAddress")),
        recipients=_addresses(value.get("toAddress")),
        after=_count(value.get("after"), "after") or 0,
        count=_count(value.get("count"), "count"),
    )


def _or_latest(value: object) -> object:
    return "latest" if value is None else value


def _addresses(value: object) -> frozenset[str]:
    given = [] if value is None else value if isinstance(value, list) else [value]
    if len(given) > MAX_ADDRESSES:
        raise RpcError(LIMIT_EXCEEDED, f"Number of addresses exceeds maximum of {MAX_ADDRESSES}")
    return frozenset(to_hex(parse_address(item, "address")) for item in given)


def _count(value: object, what: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    raise invalid_params(f"{what}: a number that is not negative was expected")


TRACE_METHODS = tuple(
    Method(handler.__name__, "TRACE", run_in_reader(handler, is_long=True))
    for handler in (
        trace_block,
        trace_transaction,
        trace_get,
        trace_filter,
        trace_call,
        trace_callMany,
        trace_rawTransaction,
        trace_replayTransaction,
        trace_replayBlockTransactions,
    )
)
