"""ETH: the effects of a transaction, without sending it."""

from dataclasses import replace
from functools import partial

from lacnode.evm.engine import REVERTED, CallLimitExceededError, CallRequest, CallResult
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.overrides import OverrideError, Overrides
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives.access_list import AccessListEntry
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.revert_text import revert_text
from lacnode.rpc import results
from lacnode.rpc.call_parameters import parse_call_request, parse_state_overrides
from lacnode.rpc.errors import (
    INVALID_CALL,
    INVALID_PARAMS,
    CallTimeoutError,
    RpcError,
    halted,
    rejected_call,
    reverted,
    timeout,
    world_state_unavailable,
)
from lacnode.rpc.method_registry import Method
from lacnode.rpc.parameters import header_by_number_or_hash, optional, required
from lacnode.rpc.read_calls import Params, ReadContext, check_time, run_in_reader

CALL_STIPEND_GAS = 2_300
"""Gas that a call with value gives to its callee. A write to storage needs more gas than this to be left (EIP-2200)."""

TRANSFER_GAS = 21_000
"""The least gas that a transaction uses."""


def eth_call(reading: ReadContext, params: Params) -> object:
    """Execute a call on the state after a block, and return its output in 0x-hexadecimal. `params` are the call object,
    the block (number, tag or hash) and, if wanted, state overrides. Nothing is stored.

    RpcError if a parameter does not fit, there is no such block, or the call cannot begin, reverts or halts.
    CallTimeoutError if it takes too long. MissingNodeError if the state is not kept.
    """
    header = header_by_number_or_hash(reading, required(params, 1, "block"))
    call, strict = parse_call_request(optional(params, 0))
    # Besu lets a sender without a balance call if no price is named. With a price the sender must be able to pay,
    # unless `strict` says otherwise. From London on the prices of EIP-1559 count too.
    free = call.gas_price in (None, 0)
    if header.base_fee is not None:
        free = free and not call.max_fee_per_gas and not call.max_priority_fee_per_gas
    allowed = free if strict is None else not strict
    call = replace(call, allow_exceeding_balance=allowed, overrides=_overrides(reading, params))
    return to_hex(_succeeded(result_of_call(reading, header, call)).output)


def _overrides(reading: ReadContext, params: Params) -> Overrides:
    return parse_state_overrides(optional(params, 2), partial(check_time, reading))


def eth_estimateGas(reading: ReadContext, params: Params) -> object:
    """Estimate gas by Besu's own search, so that the same transaction gets the same estimate. Return a 0x quantity.

    `params` are the call object and, if wanted, the block (number, tag or hash, the head for null or none) and state
    overrides, which are the third parameter. The gas of the call object is ignored. RpcError if a parameter does not
    fit, there is no such block, the call fails with all gas, or the state is not kept. CallTimeoutError if it takes too
    long.
    """
    header, call = _intended(reading, params)
    try:
        return results.quantity(estimate_gas(reading, header, call))
    except MissingNodeError:
        raise world_state_unavailable() from None


def _intended(reading: ReadContext, params: Params) -> tuple[BlockHeader, CallRequest]:
    """Return the block and the call of an estimate. The gas of the call object is ignored."""
    block = optional(params, 1)
    header = header_by_number_or_hash(reading, "latest" if block is None else block)
    call, strict = parse_call_request(optional(params, 0))
    overrides = _overrides(reading, params)
    gas = _capped(reading, header.gas_limit)
    return header, replace(call, gas=gas, allow_exceeding_balance=not strict, overrides=overrides)


def estimate_gas(reading: ReadContext, header: BlockHeader, call: CallRequest) -> int:
    """Return gas with which `call` succeeded in an execution on the state after `header`. It may be more than the least
    gas, by the part `estimate_tolerance` of the settings. At most the block's limit is tried, or the cap of the settings
    if that is lower. The gas of `call` is ignored. RpcError if the call fails with all gas, CallTimeoutError if it takes
    too long, MissingNodeError if the state is not kept."""
    # Most questions of wallets are plain transfers. One execution with 21000 gas answers them.
    if _is_transfer(reading, header, call):
        return TRANSFER_GAS
    # The call must succeed with all gas first. After that, every failure means that the gas was not enough.
    all_gas = _capped(reading, header.gas_limit)
    first = _succeeded(result_of_call(reading, header, replace(call, gas=all_gas)))

    def suffices(gas: int) -> bool:
        # More than all gas is executed with all gas, which suffices.
        return gas >= all_gas or _suffices(reading, header, call, gas)

    # The gas before the refund is needed in any case, because the refund comes at the end (EIP-3529). `low` fails, and
    # `high` suffices. The search keeps this true. As in Besu it begins at the block's limit, also with a cap below it.
    low, high = first.gas_before_refund - 1, header.gas_limit
    # The outermost call keeps back one 64th of its gas (EIP-150). Deeper calls may need more, so the search may have to
    # continue above.
    likely = _likely_gas(first)
    low, high = (low, likely) if suffices(likely) else (likely, high)
    # Every round executes the whole call, so the search ends once the interval is small enough.
    while low + 1 < high and (high - low) / high >= reading.settings.estimate_tolerance:
        middle = (low + high) // 2
        if suffices(middle):
            high = middle
        else:
            low = middle
    # Besu answers more than the cap, or than a block can have, if the search ends there.
    return min(high, all_gas)


def _is_transfer(reading: ReadContext, header: BlockHeader, call: CallRequest) -> bool:
    """Return True if `call` has no data and succeeds with the gas of a plain transfer."""
    # A call without data may run a contract's fallback function, so the gas of a transfer is tried.
    return not call.data and _suffices(reading, header, call, TRANSFER_GAS)


def _likely_gas(result: CallResult) -> int:
    """Return gas that suffices unless calls are nested deeply: the used gas, a stipend, and one 64th (EIP-150)."""
    return int((result.gas_before_refund + CALL_STIPEND_GAS) * (64 / 63))


def _suffices(reading: ReadContext, header: BlockHeader, call: CallRequest, gas: int) -> bool:
    try:
        return result_of_call(reading, header, replace(call, gas=gas)).success
    except CallTimeoutError:
        # A timeout is no lack of gas. As "does not suffice" it would drive the search to a wrong result.
        raise
    except RpcError:
        return False


def eth_createAccessList(reading: ReadContext, params: Params) -> object:
    """Return the slots that a call touches, and the gas that it uses with them as its access list (EIP-2930).

    `params` are as for `eth_estimateGas`. Addresses without slots are left out. RpcError if a parameter does not fit,
    there is no such block, the call fails, or the state is not kept. CallTimeoutError if it takes too long.
    """
    header, call = _intended(reading, params)
    try:
        if _is_transfer(reading, header, call):
            return {"accessList": [], "gasUsed": results.quantity(TRANSFER_GAS)}
        result = _succeeded(result_of_call(reading, header, call))
        touched = _with_slots(result)
        # The second execution finds the gas with the list. The list itself may change what a contract touches, since
        # a contract can ask for its remaining gas. The result shows the slots of the last execution.
        if touched and touched != call.access_list:
            result = _succeeded(result_of_call(reading, header, replace(call, access_list=touched)))
    except MissingNodeError:
        raise world_state_unavailable() from None
    return {
        "accessList": [
            {"address": to_hex(address), "storageKeys": [to_hex(key) for key in keys]}
            for address, keys in _with_slots(result)
        ],
        "gasUsed": results.quantity(result.gas_used),
    }


def _with_slots(result: CallResult) -> tuple[AccessListEntry, ...]:
    """Return the touched addresses with their slots. An address without slots is left out, as in Besu."""
    return tuple((address, keys) for address, keys in result.touched if keys)


def _capped(reading: ReadContext, gas: int) -> int:
    return min(gas, reading.settings.gas_cap) if reading.settings.gas_cap > 0 else gas


def result_of_call(reading: ReadContext, header: BlockHeader, call: CallRequest) -> CallResult:
    """Execute `call` on the state after `header`. Its gas limit is the gas of `call`, or the block's limit if `call`
    names none, but at most the cap of the settings. A call that reverts or halts has a result. RpcError if the call
    cannot begin or its overrides cannot be applied, CallTimeoutError if it takes too long, MissingNodeError if the
    state is not kept."""
    gas = _capped(reading, header.gas_limit if call.gas is None else call.gas)
    try:
        return reading.chain.call(header, replace(call, gas=gas, deadline=reading.deadline))
    except TransactionRejectedError as rejection:
        raise rejected_call(rejection.reason, str(rejection)) from None
    except OverrideError as error:
        raise RpcError(INVALID_PARAMS, INVALID_CALL, str(error)) from None
    except CallLimitExceededError:
        raise timeout() from None


def _succeeded(result: CallResult) -> CallResult:
    """Return `result` if it is a success. RpcError with Besu's text for its failure if it is none."""
    if result.success:
        return result
    if result.halt != REVERTED:
        raise halted(result.halt, result.explanation)
    raise reverted(revert_text(result.output), to_hex(result.output))


CALL_METHODS = (
    Method("eth_call", "ETH", run_in_reader(eth_call)),
    Method("eth_estimateGas", "ETH", run_in_reader(eth_estimateGas)),
    Method("eth_createAccessList", "ETH", run_in_reader(eth_createAccessList)),
)
