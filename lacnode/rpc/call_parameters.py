"""Call objects and state overrides, parsed as Besu 25.5.0 parses them. A value that does not fit is the error -32602."""

from collections.abc import Callable, Mapping

from lacnode.evm.engine import CallRequest
from lacnode.evm.overrides import AccountOverride, Overrides
from lacnode.primitives.access_list import AccessListEntry
from lacnode.rpc.errors import INVALID_CALL, LIMIT_EXCEEDED, RpcError, invalid_params, with_error_message
from lacnode.rpc.parameters import (
    parse_address,
    parse_boolean,
    parse_bytes,
    parse_hash32,
    parse_padded_bytes,
    parse_quantity,
    parse_wei,
)

MAX_GAS, MAX_NONCE = 2**63 - 1, 2**64 - 1
"""Besu counts gas in a signed 64-bit number and uses `MAX_GAS` in the place of a larger number."""

MAX_OVERRIDDEN_ACCOUNTS, MAX_OVERRIDDEN_SLOTS, MAX_OVERRIDDEN_CODE_BYTES = 1_000, 10_000, 2**20
"""Bounds for the overrides of one call. Slots and bytes of code are counted over all accounts. Besu has no such bounds."""


@with_error_message(INVALID_CALL)
def parse_call_request(value: object) -> tuple[CallRequest, bool | None]:
    """Parse a call object. Return the call and its `strict` member, which is None if it is missing. RpcError "Invalid
    call params" if a member does not fit.

    The sender is the zero address if `from` is missing. Gas above `MAX_GAS` is cut to it. The request has no overrides
    and no deadline yet.
    """
    if not isinstance(value, Mapping):
        raise invalid_params("call: an object was expected")
    strict = value.get("strict")
    _check_versioned_hashes(value.get("blobVersionedHashes"))
    request = CallRequest(
        # Besu executes a call without `from` as a call of the zero address.
        sender=bytes(20) if value.get("from") is None else parse_address(value["from"], "from"),
        to=None if value.get("to") is None else parse_address(value["to"], "to"),
        gas=None if value.get("gas") is None else min(parse_quantity(value["gas"], "gas"), MAX_GAS),
        gas_price=_wei_member(value, "gasPrice"),
        max_fee_per_gas=_wei_member(value, "maxFeePerGas"),
        max_priority_fee_per_gas=_wei_member(value, "maxPriorityFeePerGas"),
        value=_wei_member(value, "value") or 0,
        data=_payload(value),
        access_list=() if value.get("accessList") is None else _parse_access_list(value["accessList"]),
        nonce=None if value.get("nonce") is None else parse_quantity(value["nonce"], "nonce", MAX_NONCE),
        chain_id=None if value.get("chainId") is None else parse_quantity(value["chainId"], "chainId"),
    )
    return request, None if strict is None else parse_boolean(strict, "strict")


def _payload(value: Mapping[str, object]) -> bytes:
    """Return the call's data. `data` and `input` are two names of it. Both may be there if they are equal."""
    # A set has one element if both are equal, so that one test finds the conflict.
    given = {parse_bytes(value[name], name) for name in ("data", "input") if value.get(name) is not None}
    if len(given) > 1:
        raise invalid_params("call: data and input differ")
    return given.pop() if given else b""


def _check_versioned_hashes(value: object) -> None:
    """Check the hashes of a call's blobs, which change nothing in a network without blobs. RpcError if one is none."""
    if value is None:
        return
    if not isinstance(value, list):
        raise invalid_params("blobVersionedHashes: an array was expected")
    for hash_ in value:
        # The first byte is the version. There is only one.
        if parse_padded_bytes(hash_, "blobVersionedHashes", 32)[0] != 1:
            raise invalid_params("blobVersionedHashes: hashes of version 1 were expected")


def _wei_member(value: Mapping[str, object], name: str) -> int | None:
    found = value.get(name)
    return None if found is None else parse_wei(found, name)


def _parse_access_list(value: object) -> tuple[AccessListEntry, ...]:
    """Parse an access list (EIP-2930): addresses (20 bytes) with their storage keys (32 bytes each), in order. RpcError
    "Invalid params" if the value is no such list."""
    if not isinstance(value, list):
        raise invalid_params("accessList: an array was expected")
    entries = []
    for entry in value:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("storageKeys"), list):
            raise invalid_params("accessList: objects with address and storageKeys were expected")
        keys = tuple(parse_hash32(key, "storageKey") for key in entry["storageKeys"])
        entries.append((parse_address(entry.get("address"), "address"), keys))
    return tuple(entries)


# -- state overrides -------------------------------------------------------------------------------------------------


@with_error_message(INVALID_CALL)
def parse_state_overrides(value: object, check: Callable[[], None]) -> Overrides:
    """Parse an object of overrides by address. None means no overrides: the result is empty. If an address is written
    twice, its last value counts. `check` is called for every account and slot and raises when the time of the call is
    over. RpcError "Invalid call params" if a value does not fit, and `LIMIT_EXCEEDED` if there are too many accounts,
    slots or bytes of code."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise invalid_params("state overrides: an object was expected")
    # The counts of accounts and slots are checked on the raw JSON. Parsing a huge object first would take the time
    # and the memory that the bounds are to save.
    check_override_size("accounts", len(value), MAX_OVERRIDDEN_ACCOUNTS)
    check_override_size("slots", sum(_slot_count(override) for override in value.values()), MAX_OVERRIDDEN_SLOTS)
    overrides = {parse_address(key): _override(override, check) for key, override in value.items()}
    # The length of code is known only after its hexadecimal digits are decoded.
    code = sum(len(override.code or b"") for override in overrides.values())
    check_override_size("bytes of code", code, MAX_OVERRIDDEN_CODE_BYTES)
    return tuple(overrides.items())


def check_override_size(what: str, found: int, maximum: int) -> None:
    """Check a number of overrides. RpcError (`LIMIT_EXCEEDED`) if `found` is larger than `maximum`. `what` is the
    plural noun for the message."""
    if found > maximum:
        raise RpcError(LIMIT_EXCEEDED, f"Number of overridden {what} exceeds maximum of {maximum}")


def _slot_count(override: object) -> int:
    if not isinstance(override, Mapping):
        return 0
    return sum(len(slots) for name in ("state", "stateDiff") if isinstance(slots := override.get(name), Mapping))


def _override(value: object, check: Callable[[], None]) -> AccountOverride:
    check()
    if not isinstance(value, Mapping):
        raise invalid_params("state overrides: an object was expected for each address")
    state, difference = value.get("state"), value.get("stateDiff")
    # `state` replaces the whole storage and `stateDiff` changes some slots. Together they have no defined order.
    if state is not None and difference is not None:
        raise invalid_params("state overrides: state does not go together with stateDiff")
    moved = value.get("movePrecompileToAddress")
    return AccountOverride(
        balance=_wei_member(value, "balance"),
        nonce=None if value.get("nonce") is None else parse_quantity(value["nonce"], "nonce", MAX_NONCE),
        code=None if value.get("code") is None else parse_bytes(value["code"], "code"),
        storage=_storage(difference if state is None else state, check),
        clears_storage=state is not None,
        precompile_moved_to=None if moved is None else parse_address(moved, "movePrecompileToAddress"),
    )


def _storage(value: object, check: Callable[[], None]) -> tuple[tuple[int, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise invalid_params("state overrides: an object of slots and values was expected")
    slots = []
    for slot, found in value.items():
        check()
        slots.append((_word(slot, "slot"), _word(found, "value of a slot")))
    return tuple(slots)


def _word(value: object, what: str) -> int:
    """Parse up to 32 bytes of hexadecimal as a number."""
    return int.from_bytes(parse_padded_bytes(value, what, 32))
