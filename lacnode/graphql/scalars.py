"""The five scalars: how they are read from text or a number, and how they are written.

A function that reads a value raises ScalarError with Besu's text if the value does not fit.
"""

import re
from collections.abc import Callable, Mapping

from graphql import IntValueNode, StringValueNode, ValueNode

_HEXADECIMAL = re.compile(r"[0-9a-fA-F]*")
_DECIMAL = re.compile(r"-?[0-9]{1,78}")


class ScalarError(ValueError):
    """A value of the client does not fit the scalar type of the schema. The text says what was expected."""


Reader = Callable[[object], object]


def _read_address(value: object) -> bytes:
    """Read 20 bytes in hexadecimal text. `0x` is optional. ScalarError if the value is no such text, or has fewer or
    more digits."""
    digits = value.removeprefix("0x") if isinstance(value, str) else ""
    if len(digits) != 40 or not _HEXADECIMAL.fullmatch(digits):
        raise _not_any("Address", value)
    return bytes.fromhex(digits)


def _read_bytes(value: object) -> bytes:
    """Read bytes in hexadecimal text after `0x`. An odd number of digits gets a zero in front. ScalarError if the value
    is no text, if `0x` is missing, or if another character follows."""
    return _prefixed("Bytes", value)


def _read_bytes32(value: object) -> bytes:
    """Read at most 32 bytes in hexadecimal text after `0x`, and fill them up with zeros on the left to 32. ScalarError
    if there are more, the value is no text, `0x` is missing, or another character follows."""
    found = _prefixed("Bytes32", value)
    if len(found) > 32:
        raise _not_any("Bytes32", value)
    return found.rjust(32, b"\0")


def _read_big_int(value: object) -> int:
    """Read a number from 0 to 2^256 - 1: a whole number, or text in hexadecimal after `0x` or in decimal. ScalarError
    for any other value."""
    return _number("BigInt", value, 2**256)


def _read_long(value: object) -> int:
    """Read a number from 0 to 2^63 - 1: a whole number, or text in hexadecimal after `0x` or in decimal. ScalarError
    for any other value."""
    return _number("Long", value, 2**63)


READERS: Mapping[str, Reader] = {
    "Address": _read_address,
    "Bytes": _read_bytes,
    "Bytes32": _read_bytes32,
    "BigInt": _read_big_int,
    "Long": _read_long,
}


def read_literal(name: str, node: ValueNode) -> object:
    """Return the value of the scalar `name` (a key of `READERS`) for a literal in the text of a query. ScalarError if
    it does not fit. A number fits `BigInt` and `Long` only."""
    # Bytes and addresses cannot be written as numbers, so a number is read for the two scalars of numbers only.
    if isinstance(node, StringValueNode):
        return READERS[name](node.value)
    if isinstance(node, IntValueNode) and name in ("BigInt", "Long"):
        return READERS[name](node.value)
    raise _not_any(name, getattr(node, "value", ""))


def serialize_scalar(value: object) -> str:
    """Write a value of the chain in the form of every scalar, hexadecimal after `0x`: two digits for each byte, and no
    leading zeros for a number. TypeError if it is no number or bytes."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int):
        return hex(value)
    raise TypeError("a number or bytes were expected")


def _prefixed(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise _not_any(name, value)
    if not value.startswith("0x"):
        raise ScalarError(f"{name} value '{value[:200]}' is not prefixed with 0x")
    digits = value[2:]
    if not _HEXADECIMAL.fullmatch(digits):
        raise _not_any(name, value)
    return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)


def _number(name: str, value: object, end: int) -> int:
    number = _whole(value)
    if number is None or not 0 <= number < end:
        raise _not_any(name, value)
    return number


def _whole(value: object) -> int | None:
    # JSON's true and false are integers in Python, and must not become 1 and 0.
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return None
    text = value.lower()
    if text.startswith("0x"):
        # The length is bounded first: to read a number takes time that grows faster than its digits.
        return int(text[2:] or "0", 16) if len(text) <= 66 and _HEXADECIMAL.fullmatch(text[2:]) else None
    return int(text) if _DECIMAL.fullmatch(text) else None


def _not_any(name: str, value: object) -> ScalarError:
    return ScalarError(f"Value is not any {name} : '{str(value)[:200]}'")
