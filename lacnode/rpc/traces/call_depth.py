"""The depth of calls that a trace in the form of a tree may have."""

from lacnode.evm.trace_record import TracedTransaction
from lacnode.rpc.errors import range_too_large

MAX_NESTED_CALLS = 80
"""Calls inside one another that a trace in the form of a tree shows. The writer of JSON refuses deeper trees."""


def check_call_depth(traced: TracedTransaction) -> None:
    """Check that the calls of `traced` can be shown as a tree. RpcError if they are nested deeper than
    `MAX_NESTED_CALLS`."""
    waiting = [] if traced.call is None else [traced.call]
    while waiting:
        call = waiting.pop()
        if call.depth > MAX_NESTED_CALLS:
            raise range_too_large(f"calls are nested deeper than {MAX_NESTED_CALLS}")
        waiting += call.calls
