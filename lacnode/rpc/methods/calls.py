"""ETH: what a transaction would do, without sending one."""

from dataclasses import replace

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from lacnode.evm.engine import CallExpired, CallRequest, CallResult
from lacnode.evm.merkle_trie import MissingNode
from lacnode.evm.rejection import TransactionRejected
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import AccessListEntry
from lacnode.rpc import results
from lacnode.rpc.errors import (
    SERVER_ERROR,
    CallTimeoutError,
    RpcError,
    internal_error,
    rejected,
    timeout,
    world_state_unavailable,
)
from lacnode.rpc.parameters import call_request, header_by_number_or_hash, required
from lacnode.rpc.reading import Params, Reading, in_reader
from lacnode.rpc.registry import Method

ERROR_SELECTOR = bytes.fromhex("08c379a0")
"""Selector of Solidity's `Error(string)`."""


def eth_call(reading: Reading, params: Params) -> object:
    call, strict = call_request(required(params, 0, "call"))
    header = header_by_number_or_hash(reading, required(params, 1, "block"))
    free = call.gas_price in (None, 0)
    if header.base_fee is not None:
        free = free and not call.max_fee_per_gas and not call.max_priority_fee_per_gas
    allowed = free if strict is None else not strict
    return to_hex(_succeeded(_run(reading, header, replace(call, allow_exceeding_balance=allowed))).output)


def eth_estimateGas(reading: Reading, params: Params) -> object:
    """Besu's own search, so that the same transaction gets the same estimate: the block parameter is not looked at."""
    call, strict = call_request(required(params, 0, "call"))
    call = replace(call, allow_exceeding_balance=not strict)
    header = reading.chain.head.header
    try:
        return results.quantity(_estimate(reading, header, call))
    except MissingNode:
        raise world_state_unavailable() from None


def _estimate(reading: Reading, header: BlockHeader, call: CallRequest) -> int:
    first = _succeeded(_run(reading, header, replace(call, gas=header.gas_limit)))
    low = first.gas_before_refund
    if _suffices(reading, header, call, low):
        return low
    high = _upper_bound(first)
    while low + 1 < high:
        middle = (low + high) // 2
        if _suffices(reading, header, call, middle):
            high = middle
        else:
            low = middle
    return high


def _suffices(reading: Reading, header: BlockHeader, call: CallRequest, gas: int) -> bool:
    try:
        return _run(reading, header, replace(call, gas=gas)).success
    except CallTimeoutError:
        raise
    except RpcError:
        return False


def _upper_bound(result: CallResult) -> int:
    """What the call needs at most: each level of calls keeps back one 64th."""
    return int((result.gas_before_refund + result.stipend) * (65 / 64) ** result.max_depth)


def eth_createAccessList(reading: Reading, params: Params) -> object:
    """The slots that a call touches, and what it needs when it says so beforehand."""
    call, strict = call_request(required(params, 0, "call"))
    header = reading.chain.head.header
    call = replace(call, gas=header.gas_limit, allow_exceeding_balance=not strict)
    try:
        result = _succeeded(_run(reading, header, call))
        touched = _with_slots(result)
        if touched and touched != call.access_list:
            result = _succeeded(_run(reading, header, replace(call, access_list=touched)))
    except MissingNode:
        raise world_state_unavailable() from None
    return {
        "accessList": [
            {"address": to_hex(address), "storageKeys": [to_hex(key) for key in keys]}
            for address, keys in _with_slots(result)
        ],
        "gasUsed": results.quantity(_upper_bound(result)),
    }


def _with_slots(result: CallResult) -> tuple[AccessListEntry, ...]:
    """What was touched; an address alone is left out, as in Besu."""
    return tuple((address, keys) for address, keys in result.touched if keys)


def _run(reading: Reading, header: BlockHeader, call: CallRequest) -> CallResult:
    gas = header.gas_limit if call.gas is None else call.gas
    if reading.settings.gas_cap > 0:
        gas = min(gas, reading.settings.gas_cap)
    call = replace(call, gas=gas, deadline=reading.deadline)
    try:
        return reading.chain.call(header, call)
    except TransactionRejected as rejection:
        raise rejected(rejection.reason, str(rejection)) from None
    except CallExpired:
        raise timeout() from None


def _succeeded(result: CallResult) -> CallResult:
    """`result`, if it is a success; its failure as Besu tells it."""
    if result.success:
        return result
    if result.halt != "reverted":
        raise RpcError(internal_error().code, internal_error().message, result.halt)
    raise RpcError(SERVER_ERROR, _revert_text(result.output), to_hex(result.output))


def _revert_text(output: bytes) -> str:
    if output[:4] != ERROR_SELECTOR:
        return "Execution reverted"
    try:
        (reason,) = abi_decode(["string"], output[4:])
    except (DecodingError, ValueError, OverflowError):
        return "Execution reverted: ABI decode error"
    return f"Execution reverted: {reason}"


CALL_METHODS = (
    Method("eth_call", "ETH", in_reader(eth_call)),
    Method("eth_estimateGas", "ETH", in_reader(eth_estimateGas)),
    Method("eth_createAccessList", "ETH", in_reader(eth_createAccessList)),
)
