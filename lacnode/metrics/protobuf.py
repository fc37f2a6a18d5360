"""Protobuf's encoding: writers of single fields, and a reader of a message's fields.

A field is its number, its kind and its value. A message is the fields one after another, so that bytes are joined. Must
not know any message.
"""

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Kinds of values."""

_NUMBER_BYTES = 10
"""Bytes of the longest number: 64 bits, 7 in each."""


def number_field(number: int, value: int) -> bytes:
    """Return the field with this `number`, of type int64, enum or bool, with a `value` from 0 to 2**64-1."""
    return _number(number << 3 | _VARINT) + _number(value)


def fixed64_field(number: int, value: int) -> bytes:
    """Return the field with this `number`, of type fixed64, with a `value` from 0 to 2**64-1."""
    return _number(number << 3 | _FIXED64) + struct.pack("<Q", value)


def double_field(number: int, value: float) -> bytes:
    """Return the field with this `number`, of type double. Infinities and NaN are values like others."""
    return _number(number << 3 | _FIXED64) + struct.pack("<d", value)


def message_field(number: int, content: bytes) -> bytes:
    """Return the field with this `number`, with the message `content`, or with bytes."""
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def text_field(number: int, text: str) -> bytes:
    """Return the field with this `number`, of type string. A lone surrogate, which no UTF-8 has, becomes a question
    mark."""
    return message_field(number, text.encode(errors="replace"))


def read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field of `message`: bytes for texts, bytes and messages, and for all
    others an unsigned int with the value's bits, also for a double. ValueError at the first field that is not protobuf
    or of a kind that protobuf has given up. The fields before it are yielded first."""
    at = 0
    while at < len(message):
        key, at = _read_number(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_number(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _read_number(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"kind {kind} of a protobuf field")
        if length > len(message) - at:
            raise ValueError("a protobuf field that is longer than its message")
        content, at = message[at : at + length], at + length
        yield key >> 3, content if kind == _BYTES else int.from_bytes(content, "little")


def _number(value: int) -> bytes:
    """Return `value` in groups of 7 bits, the lowest first. All but the last have their highest bit set."""
    if value < 0x80:
        return bytes((value,))
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _read_number(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, of 64 bits, and where it ends."""
    value = 0
    for index, group in enumerate(message[at : at + _NUMBER_BYTES]):
        value |= (group & 0x7F) << 7 * index
        if group < 0x80:
            return value & (2**64 - 1), at + index + 1
    raise ValueError("a protobuf number without an end")
