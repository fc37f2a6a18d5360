"""Executions for traces: of blocks of the chain and of calls, within the time of the RPC call."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.evm.engine import CallRequest, ExecutionError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.overrides import OverrideError
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.trace_record import RecordingOptions, TracedTransaction, TraceTooLargeError
from lacnode.evm.tracing_executor import BlockToTrace, TracingExecutor
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_CALL,
    INVALID_PARAMS,
    SERVER_ERROR,
    RpcError,
    range_too_large,
    timeout,
    world_state_unavailable,
)
from lacnode.rpc.parameters import parse_block_number
from lacnode.rpc.read_calls import Params, ReadContext, ReadHandler


@contextmanager
def trace_errors() -> Iterator[None]:
    """In the `with` block, turn the errors of an execution into RpcError: the trace is too large, the state is not
    kept, or the call or the block cannot be executed. An execution after its deadline becomes CallTimeoutError. Other
    errors pass unchanged."""
    try:
        yield
    except TraceTooLargeError as error:
        raise range_too_large(str(error)) from None
    except BudgetExceededError:
        raise timeout() from None
    except MissingNodeError:
        # Besu too answers so when it does not keep the state of an old block.
        raise world_state_unavailable() from None
    except OverrideError as error:
        raise RpcError(INVALID_PARAMS, INVALID_CALL, str(error)) from None
    except TransactionRejectedError as error:
        raise RpcError(INTERNAL_ERROR, "Internal error", str(error)) from None
    except ExecutionError as error:
        raise RpcError(SERVER_ERROR, "Block cannot be executed", str(error)) from None


def with_trace_errors(handler: ReadHandler) -> ReadHandler:
    """Return `handler` with the errors of executions raised as RpcError (`trace_errors`)."""

    # `wraps` keeps module and name, by which `pickle` finds the handler.
    @wraps(handler)
    def traced(reading: ReadContext, params: Params) -> object:
        with trace_errors():
            return handler(reading, params)

    return traced


def tracing_executor_of(reading: ReadContext) -> TracingExecutor:
    """Return a new executor for the traces of one RPC call. Its executions end at the deadline of `reading`. It counts
    what it records, so one call must use one executor."""
    return reading.chain.tracing_executor(ExecutionBudget(reading.deadline))


def block_by_number(reading: ReadContext, value: object) -> tuple[Block, bytes] | None:
    """Return the block that a "number" parameter means, with its hash (32 bytes). None above the head. RpcError if the
    value does not fit."""
    hash_ = reading.chain.hash_at(parse_block_number(reading, value))
    found = None if hash_ is None else reading.block_of(hash_)
    return None if found is None or hash_ is None else (found, hash_)


def block_to_trace(reading: ReadContext, block: Block) -> BlockToTrace | None:
    """Return `block` with the root of the state before it. None if its parent is not in the chain, as for the genesis.
    `block` itself need not be in the chain."""
    parent = reading.chain.header_of(block.header.parent_hash)
    if parent is None:
        return None
    return BlockToTrace(parent.state_root, reading.chain.protocols.execution_header(block.header), block.transactions)


def traced_block(
    reading: ReadContext, executor: TracingExecutor, block: Block, recording: RecordingOptions, first: int = 0
) -> Iterator[TracedTransaction]:
    """Yield the traces of a block's transactions from the index `first` on, in order. Those before are executed too,
    but not recorded. There are none for the genesis or if its parent is unknown.

    It executes while it is used, and raises the errors of `TracingExecutor.trace_block`, which `trace_errors` makes
    RpcError.
    """
    traceable = block_to_trace(reading, block)
    return iter(()) if traceable is None else executor.trace_block(traceable, recording, first)


def traced_calls(
    reading: ReadContext, header: BlockHeader, calls: Sequence[tuple[CallRequest, RecordingOptions]]
) -> Iterator[TracedTransaction]:
    """Yield the traces of `calls` on the state after `header`, each on the state that the one before left. It executes
    while it is used, and raises the errors of `TracingExecutor.trace_calls`, which `trace_errors` makes RpcError."""
    return tracing_executor_of(reading).trace_calls(header, calls)


def with_capped_gas(reading: ReadContext, header: BlockHeader, call: CallRequest) -> CallRequest:
    """Return a copy of `call` whose gas is at most `gas_cap` of the settings (0 for no cap). If `call` names no gas,
    the copy has the gas limit of `header`, with the same cap."""
    gas, cap = header.gas_limit if call.gas is None else call.gas, reading.settings.gas_cap
    return replace(call, gas=min(gas, cap) if cap > 0 else gas)
