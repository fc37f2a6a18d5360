"""DEBUG: traces of transactions, blocks and calls. All methods execute again, in a reader process."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from lacnode.evm.trace_record import RecordingOptions, TraceDetail, TracedTransaction
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.call_parameters import parse_call_request
from lacnode.rpc.errors import INVALID_BLOCK, INVALID_PARAMS, SERVER_ERROR, RpcError, block_not_found
from lacnode.rpc.method_registry import Method
from lacnode.rpc.parameters import header_by_number_or_hash, optional, parse_bytes, parse_hash32, required
from lacnode.rpc.read_calls import Params, ReadContext, check_time, run_in_reader
from lacnode.rpc.trace_execution import (
    block_by_number,
    traced_block,
    traced_calls,
    tracing_executor_of,
    with_capped_gas,
    with_trace_errors,
)
from lacnode.rpc.traces.call_tree import call_tree, count_selectors, flat_calls
from lacnode.rpc.traces.flat_traces import TransactionPlace
from lacnode.rpc.traces.prestate import prestate
from lacnode.rpc.traces.struct_logs import struct_logs
from lacnode.rpc.traces.trace_files import TraceFiles
from lacnode.rpc.traces.trace_options import TraceOptions, parse_trace_options

Json = dict[str, object]


@with_trace_errors
def debug_traceTransaction(reading: ReadContext, params: Params) -> object:
    """Execute the transaction with a hash again, and return its trace in the form that the options name. None if no
    block has it. `params` are the hash and, if wanted, the options.

    RpcError if a parameter does not fit, the trace is too large, or the state is not kept. CallTimeoutError if it takes
    too long.
    """
    transaction_hash = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    location = reading.chain.transaction_location(transaction_hash)
    block = None if location is None else reading.block_of(location.block_hash)
    if location is None or block is None:
        return None
    options = parse_trace_options(optional(params, 1))
    traced = next(traced_block(reading, tracing_executor_of(reading), block, options.recording_options, location.index))
    place = TransactionPlace(location.block_hash, location.number, location.index, transaction_hash)
    return _shown(traced, options, AnswerSize(), place)


@with_trace_errors
def debug_traceCall(reading: ReadContext, params: Params) -> object:
    """Execute a call on the state after a block, and return its trace in the form that the options name. `params` are
    the call object and, if wanted, the block (number, tag or hash, the head for null or none) and the options, which are
    the third parameter.

    RpcError if a parameter does not fit, there is no such block, the call cannot begin, the trace is too large, or the
    state is not kept. CallTimeoutError if it takes too long.
    """
    call, _ = parse_call_request(required(params, 0, "call"))
    block = optional(params, 1)
    options = parse_trace_options(optional(params, 2))
    header = header_by_number_or_hash(reading, "latest" if block is None else block)
    # The call is free, and its sender may name a later nonce, as in Besu.
    request = with_capped_gas(reading, header, replace(call, allow_exceeding_balance=True))
    traced = next(traced_calls(reading, header, [(request, options.recording_options)]))
    return _shown(traced, options, AnswerSize(), None)


@with_trace_errors
def debug_traceBlockByNumber(reading: ReadContext, params: Params) -> object:
    """Execute the block with a number or a tag again, and return the trace of each transaction with its hash, in order.
    None if there is no such block, and for the genesis. `params` are the number and, if wanted, the options.

    RpcError if a parameter does not fit, the traces are too large, or the state is not kept. CallTimeoutError if it
    takes too long.
    """
    found = block_by_number(reading, required(params, 0, "block"))
    return None if found is None else _traced(reading, *found, parse_trace_options(optional(params, 1)))


@with_trace_errors
def debug_traceBlockByHash(reading: ReadContext, params: Params) -> object:
    """Execute the block with a hash again, and return the trace of each transaction with its hash, in order. None if
    there is no such block, and for the genesis. `params` are the hash and, if wanted, the options.

    RpcError if a parameter does not fit, the traces are too large, or the state is not kept. CallTimeoutError if it
    takes too long.
    """
    hash_ = parse_hash32(required(params, 0, "block hash"), "block hash")
    options = parse_trace_options(optional(params, 1))
    block = reading.block_of(hash_)
    return None if block is None else _traced(reading, block, hash_, options)


@with_trace_errors
def debug_traceBlock(reading: ReadContext, params: Params) -> object:
    """Execute a block that is given in RLP (hexadecimal), and return the trace of each transaction with its hash, in
    order. `params` are the block and, if wanted, the options. The block need not be in the chain and is not stored.

    RpcError if the block cannot be read or executed, its parent is unknown (as for the genesis), the traces are too
    large, or the state is not kept. CallTimeoutError if it takes too long.
    """
    try:
        block = Block.decode(parse_bytes(required(params, 0, "block"), "block"))
    except RlpError as error:
        raise RpcError(INVALID_PARAMS, INVALID_BLOCK, str(error)) from None
    options = parse_trace_options(optional(params, 1))
    if reading.chain.header_of(block.header.parent_hash) is None:
        raise RpcError(SERVER_ERROR, "Parent block not found")
    return _traced(reading, block, None, options)


def _traced(reading: ReadContext, block: Block, hash_: bytes | None, options: TraceOptions) -> list[Json] | None:
    """Return the traces of all transactions of `block`. None for the genesis, as in Besu."""
    if block.number == 0:
        return None
    size, shown = AnswerSize(), list[Json]()
    for index, traced in enumerate(
        traced_block(reading, tracing_executor_of(reading), block, options.recording_options)
    ):
        check_time(reading)
        transaction_hash = traced.hash or b""
        place = None if hash_ is None else TransactionPlace(hash_, block.number, index, transaction_hash)
        shown.append({"txHash": to_hex(transaction_hash), "result": _shown(traced, options, size, place)})
    return shown


def _shown(
    traced: TracedTransaction, options: TraceOptions, size: AnswerSize, place: TransactionPlace | None
) -> object:
    if options.tracer == "callTracer":
        return call_tree(traced, options, size)
    if options.tracer == "prestateTracer":
        return prestate(traced, size, is_diff=options.diff)
    if options.tracer == "4byteTracer":
        return count_selectors(traced)
    if options.tracer == "flatCallTracer":
        return flat_calls(traced, place, size)
    return struct_logs(traced, options, size)


@with_trace_errors
def debug_replayBlock(reading: ReadContext, params: Params) -> object:
    """Execute the block with this number or tag again, and return "Success". The results are not compared with the
    header. Nothing is stored. The genesis is not executed, and is a success. RpcError if the parameter does not fit,
    there is no such block, the state before it is not kept, or a transaction cannot be in it. CallTimeoutError if it
    takes too long."""
    found = block_by_number(reading, required(params, 0, "block"))
    if found is None:
        raise block_not_found()
    for _ in traced_block(
        reading, tracing_executor_of(reading), found[0], TraceOptions().recording_options, len(found[0].transactions)
    ):
        pass
    return "Success"


@with_trace_errors
def debug_standardTraceBlockToFile(reading: ReadContext, params: Params) -> object:
    """Write the steps of a block's transactions to files, one for each. Return their paths. `params` are the block's
    hash and, if wanted, options: `txHash` chooses one transaction. If the block does not have it, no file is written and
    the answer is empty.

    RpcError if there is no such block, `trace_directory` of the settings is None, or the files cannot be written or are
    too large. Files that were written before the error stay.
    CallTimeoutError if it takes too long.
    """
    hash_ = parse_hash32(required(params, 0, "block hash"), "block hash")
    options = optional(params, 1)
    memory = True if options is None else parse_trace_options(options).memory
    only = options.get("txHash") if isinstance(options, Mapping) else None
    block, directory = reading.block_of(hash_), reading.settings.trace_directory
    if block is None or directory is None:
        raise block_not_found()
    files = TraceFiles(directory, hash_, partial(check_time, reading))
    recording, paths = RecordingOptions(TraceDetail.STEPS, memory_before=memory), []
    begun = time.monotonic()
    for index, traced in enumerate(traced_block(reading, tracing_executor_of(reading), block, recording)):
        if only in (None, to_hex(traced.hash or b"")):
            paths.append(files.write(index, traced, time.monotonic() - begun))
        begun = time.monotonic()
    return paths


DEBUG_TRACE_METHODS = tuple(
    Method(handler.__name__, "DEBUG", run_in_reader(handler, is_long=True))
    for handler in (
        debug_traceTransaction,
        debug_traceCall,
        debug_traceBlock,
        debug_traceBlockByHash,
        debug_traceBlockByNumber,
        debug_replayBlock,
        debug_standardTraceBlockToFile,
    )
)
