"""Calls and estimates on the state after a block."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lacnode.evm.engine import CallRequest, CallResult
from lacnode.graphql.query_context import QueryContext
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.methods.calls import estimate_gas, result_of_call

CallData = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The result of a call. `data` is its output. `gasUsed` is in units of gas. `status` is 1 for success and 0 for
    failure."""

    data: bytes
    gasUsed: int
    status: int


def call(context: QueryContext, header: BlockHeader, data: CallData) -> CallOutcome:
    """Execute the call `data` on the state after the block of `header`, and return its outcome, which may be a failure.
    Nothing is stored. The call has the gas that `data` names, or the block's limit if it names none, at most the cap of
    the settings.

    RpcError if the call cannot begin, CallTimeoutError if it takes too long, MissingNodeError if the state is not kept.
    """
    result = result_of_call(context.reading, header, _request(data))
    return CallOutcome(result.output, result.gas_used, int(result.success))


def estimate(context: QueryContext, header: BlockHeader, data: CallData) -> int:
    """Return gas with which the call `data` succeeded in an execution on the state after the block of `header`. The gas
    that `data` names is ignored.

    This is the used gas if it suffices, as in Besu, and JSON-RPC's estimate if it does not. RpcError if the call does
    not succeed with any gas, CallTimeoutError if it takes too long, MissingNodeError if the state is not kept.
    """
    # The gas of the call is ignored, as it is by JSON-RPC's estimate.
    request = replace(_request(data), gas=None)
    first = result_of_call(context.reading, header, request)
    if first.success and _suffices(context, header, request, first):
        return first.gas_used
    return estimate_gas(context.reading, header, request)


def _suffices(context: QueryContext, header: BlockHeader, request: CallRequest, first: CallResult) -> bool:
    if first.gas_used < first.gas_before_refund:
        # There was a refund, which comes at the end. More gas than the used gas is needed before it.
        return False
    return result_of_call(context.reading, header, replace(request, gas=first.gas_used)).success


def _request(data: CallData) -> CallRequest:
    # The scalars have read the members. Only their presence is open, so other types count as missing.
    def number(name: str) -> int | None:
        value = data.get(name)
        return value if isinstance(value, int) else None

    def octets(name: str) -> bytes | None:
        value = data.get(name)
        return value if isinstance(value, bytes) else None

    return CallRequest(
        sender=octets("from") or bytes(20),
        to=octets("to"),
        gas=number("gas"),
        gas_price=number("gasPrice"),
        max_fee_per_gas=number("maxFeePerGas"),
        max_priority_fee_per_gas=number("maxPriorityFeePerGas"),
        value=number("value") or 0,
        data=octets("data") or b"",
        allow_exceeding_balance=True,
    )
