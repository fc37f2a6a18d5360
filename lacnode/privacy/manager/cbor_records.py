"""Orion's CBOR records: maps of named fields.

They are written with indefinite length, as Orion writes them. Any order and any form of a map is read. All else is strict:
an unknown field, a missing field, another type, or a value above the bounds of `cbor_reader` is an error. This module must
not know any record.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cbor2

from lacnode.privacy.manager.cbor_reader import MalformedCborError, read_cbor


class CborError(ValueError):
    """The bytes are not the expected record. The text names the record or its field, and what is wrong."""


def encode_map(fields: dict[str, Any]) -> bytes:
    """Encode a map of indefinite length, in the given order. A value of type `EncodedCbor` is copied as it is. Others
    are encoded by `cbor2`."""
    parts = [b"\xbf"]
    for name, value in fields.items():
        parts.append(cbor2.dumps(name))
        parts.append(value if isinstance(value, EncodedCbor) else cbor2.dumps(value))
    return b"".join((*parts, b"\xff"))


class EncodedCbor(bytes):
    """A value that is CBOR already. `encode_map` copies it."""


def encode_array(items: list[bytes]) -> EncodedCbor:
    """Return an array of definite length of `items`, which are values in CBOR already."""
    count = len(items)
    # cbor2 can only encode an array together with its values. So it encodes an array of the same length, and its first
    # bytes are taken.
    head = bytes([0x80 + count]) if count < 24 else cbor2.dumps([None] * count)[: _head_size(count)]
    return EncodedCbor(head + b"".join(items))


def _head_size(count: int) -> int:
    return 2 if count < 256 else 3 if count < 65_536 else 5


def decode_map(
    data: bytes,
    what: str,
    converters: Mapping[str, Callable[[object], bytes]] | None = None,
    wide_text_bytes: int = 0,
) -> "CborFields":
    """Decode `data`, which is one map, and return its fields. `what` names the record in errors. CborError if `data` is
    malformed, above a bound, or not a map with text as keys.

    `converters` and `wide_text_bytes` are as in `read_cbor`. A converter raises CborError for an item that it cannot
    convert.
    """
    try:
        return CborFields(read_cbor(data, converters, wide_text_bytes), what)
    except MalformedCborError as error:
        raise CborError(f"{what}: malformed CBOR: {error}") from None


class CborFields:
    """The fields of one decoded map. Each field is read once, by its name. `check_no_fields_left` refuses the rest.
    `what` names the record in errors. The map is not copied: it loses the fields that are read. CborError if `value` is
    not a map with text as keys."""

    def __init__(self, value: object, what: str) -> None:
        if type(value) is not dict or not all(type(name) is str for name in value):
            raise CborError(f"{what}: a map of named fields was expected")
        self._fields: dict[str, Any] = value
        self._what = what

    def read_field(self, name: str, kind: type, optional: bool = False) -> Any:
        """Return the field `name`, which has exactly the type `kind`, and remove it. None if it is optional and absent
        or null.

        CborError if the field is missing or has another type.
        """
        # `type(...) is` and not isinstance: a bool is an int in Python, and would pass for a number.
        value = self._fields.pop(name, None)
        if value is None and optional:
            return None
        if type(value) is not kind:
            raise CborError(f"{self._what}.{name}: {kind.__name__} was expected")
        return value

    def bytes(self, name: str, size: int | None = None) -> "bytes":
        """Return the field `name`, which is a byte string, and remove it. CborError if it is missing, has another type,
        or has not exactly `size` bytes. None accepts any size."""
        value: bytes = self.read_field(name, bytes)
        if size is not None and len(value) != size:
            raise CborError(f"{self._what}.{name}: {size} bytes were expected, found {len(value)}")
        return value

    def check_no_fields_left(self) -> None:
        """Check that every field was read. CborError if the map has other fields."""
        if self._fields:
            raise CborError(f"{self._what}: {len(self._fields)} unknown fields")
