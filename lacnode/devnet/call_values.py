"""Parameters of the developer endpoint's methods: numbers as numbers and as text, as the tools of developers send them."""

import json
from collections.abc import Mapping
from typing import Any

from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.rpc import parameters
from lacnode.rpc.errors import RpcError, invalid_params


def required_values(params: list[Any], count: int) -> list[Any]:
    """Return the first `count` parameters. RpcError if there are fewer."""
    if len(params) < count:
        raise invalid_params(f"{count} parameters were expected")
    return params[:count]


def parse_quantity(value: object, bits: int = 64) -> int:
    """Return `value` as an integer from 0 to below 2**`bits`. `value` is an integer, or a text with decimal digits or
    with hexadecimal digits after 0x. RpcError for anything else, also for a boolean or a decimal fraction."""
    try:
        # `int` alone would also take underscores, spaces, a sign, and digits of other scripts.
        return parameters.parse_quantity(value, "quantity", 2**bits - 1)
    except RpcError:
        raise invalid_params(f"a quantity was expected, not {json.dumps(value, default=str)[:80]}") from None


def normalize_address(value: object) -> str:
    """Return the address `value` (text, with or without 0x, in any case) in lower case, 40 hexadecimal digits after 0x.
    RpcError if `value` is no address."""
    try:
        return to_hex(address_from_hex(str(value)))
    except ValueError:
        raise invalid_params(f"an address was expected, not {json.dumps(value, default=str)[:80]}") from None


def normalize_bytes(value: object) -> str:
    """Return the bytes `value` (hexadecimal digits, with or without 0x, in any case) in lower case, with 0x. RpcError
    if `value` is no such text."""
    try:
        return to_hex(from_hex(str(value)))
    except ValueError:
        raise invalid_params(f"bytes were expected, not {json.dumps(value, default=str)[:80]}") from None


def transaction_data(call: Mapping[str, Any]) -> bytes:
    """Return the data of a call object, which has them as `data` or as `input`. Empty if it has neither. RpcError if
    they are malformed or the two differ."""
    given = {normalize_bytes(call[name]) for name in ("data", "input") if call.get(name) is not None}
    if len(given) > 1:
        raise invalid_params("`data` and `input` differ")
    return from_hex(given.pop()) if given else b""
