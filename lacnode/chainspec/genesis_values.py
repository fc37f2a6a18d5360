"""The forms of numbers and bytes in a genesis file, as Besu reads them. Each function is a validator for pydantic."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lacnode.primitives.hexadecimal import address_from_hex, from_hex

_DECIMAL = re.compile(r"-?[0-9]+")
_HEXADECIMAL = re.compile(r"(0[xX])?[0-9a-fA-F]*")


class GenesisSection(BaseModel):
    """One object of the file. Names are in lower case. Unknown ones are kept: they may belong to another program."""

    model_config = ConfigDict(extra="allow", frozen=True)


def _in_lower_case(value: object) -> object:
    # Besu and GoQuorum compare words without regard to case.
    return value.strip().lower() if isinstance(value, str) else value


LOWER_CASE = BeforeValidator(_in_lower_case)
"""For a type of words that are read without regard to case."""


def _whole(value: object) -> int | str:
    # JSON has one type of numbers. Besu accepts 1.0 for 1.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"a number, or a string of digits, was expected, not {type(value).__name__}")
    return value


def parse_integer(value: object) -> int:
    """A JSON number without fraction, or a string in decimal or 0x-hexadecimal. A number and a decimal may be negative.
    Raises ValueError for another form."""
    value = _whole(value)
    if isinstance(value, int):
        return value
    if value[:2] in ("0x", "0X"):
        return parse_hexadecimal(value)
    # The length is bounded: the conversion of a decimal number takes a time that grows with its square.
    if len(value) > 100 or not _DECIMAL.fullmatch(value):
        raise ValueError("decimal digits, or hexadecimal ones after 0x, were expected")
    return int(value)


def parse_java_integer(value: object) -> int:
    """A JSON number without fraction, or a string in decimal, 0x-hexadecimal or octal after a 0, as in Java's
    `Long.decode`.

    It may be negative. Raises ValueError for another form.
    """
    if isinstance(value, str) and re.fullmatch("0[0-7]+", value) and len(value) < 100:
        return int(value, 8)
    return parse_integer(value)


def parse_hexadecimal(value: object) -> int:
    """A hexadecimal number, with or without 0x. The digits of a JSON number are hexadecimal, too: 10 is 16. An empty
    string is 0.

    Raises ValueError for another form.
    """
    text = str(_whole(value))
    if len(text) > 100 or not _HEXADECIMAL.fullmatch(text):
        raise ValueError("hexadecimal digits were expected")
    return int(text.removeprefix("0x").removeprefix("0X") or "0", 16)


def parse_data(value: object) -> bytes:
    """Bytes in hexadecimal, with or without 0x. With an odd number of digits, the first digit is a byte of its own.

    The digits of a JSON number are hexadecimal, too: 10 is the byte 0x10. Raises ValueError for another form.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"hexadecimal text was expected, not {type(value).__name__}")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    return from_hex(digits if len(digits) % 2 == 0 else "0" + digits)


def parse_genesis_address(value: object) -> bytes:
    """An address (20 bytes) in hexadecimal, with or without 0x. Raises ValueError for another form or length."""
    if not isinstance(value, str):
        raise ValueError(f"an address was expected, not {type(value).__name__}")
    return address_from_hex(value)


def parse_short_address(value: object) -> bytes:
    """An address of up to 20 bytes in hexadecimal, with or without 0x. The result has 20 bytes, filled with zeros on
    the left.

    Raises ValueError if it is longer or of another form.
    """
    given = parse_data(value)
    if len(given) > 20:
        raise ValueError(f"at most 20 bytes were expected, not {len(given)}")
    return given.rjust(20, b"\0")


def parse_optional_address(value: object) -> bytes | None:
    """An address (20 bytes) in hexadecimal, with or without 0x, or None for a blank string. Raises ValueError for
    another form or length."""
    return None if isinstance(value, str) and not value.strip() else parse_genesis_address(value)


def parse_word(value: object) -> bytes:
    """At most 32 bytes in hexadecimal, with or without 0x. The result has 32 bytes, filled with zeros on the left.
    Raises ValueError if it is longer or of another form."""
    given = parse_data(value)
    if len(given) > 32:
        raise ValueError(f"at most 32 bytes were expected, not {len(given)}")
    return given.rjust(32, b"\0")


# The bounds are those of Besu's types: UInt256, Java's long and int, and the unsigned 64 bits of a nonce.
HexadecimalQuantity = Annotated[int, BeforeValidator(parse_hexadecimal), Field(ge=0, lt=2**256)]
Quantity = Annotated[int, BeforeValidator(parse_integer), Field(ge=0, lt=2**256)]
Long = Annotated[int, BeforeValidator(parse_integer), Field(ge=0, lt=2**63)]
PositiveLong = Annotated[int, BeforeValidator(parse_integer), Field(ge=1, lt=2**63)]
JavaLong = Annotated[int, BeforeValidator(parse_java_integer), Field(ge=0, lt=2**63)]
Positive = Annotated[int, BeforeValidator(parse_integer), Field(ge=1, lt=2**31)]
Count = Annotated[int, BeforeValidator(parse_integer), Field(ge=0, lt=2**31)]
Nonce = Annotated[int, BeforeValidator(parse_hexadecimal), Field(ge=0, lt=2**64)]
Data = Annotated[bytes, BeforeValidator(parse_data)]
ShortAddress = Annotated[bytes, BeforeValidator(parse_short_address)]
OptionalAddress = Annotated[bytes | None, BeforeValidator(parse_optional_address)]
Word = Annotated[bytes, BeforeValidator(parse_word)]
