"""Orion's CBOR: maps of named fields, written with indefinite length as Orion writes them, read in any order and form.

Readers are strict on everything else: no unknown field, no missing one, no other type, and the bounds of `cbor_reader`. Must
not know any record.
"""

from typing import Any

import cbor2

from lacnode.privacy.manager.cbor_reader import MalformedCborError, read_cbor


class CborError(ValueError):
    """Bytes that are not the record they should be; the message names the field and what was expected."""


def encode_map(fields: dict[str, Any]) -> bytes:
    """An indefinite-length map in the order given; values that are `EncodedCbor` go in as they are."""
    parts = [b"\xbf"]
    for name, value in fields.items():
        parts.append(cbor2.dumps(name))
        parts.append(value if isinstance(value, EncodedCbor) else cbor2.dumps(value))
    return b"".join((*parts, b"\xff"))


class EncodedCbor(bytes):
    """A value that is CBOR already."""


def encode_array(items: list[bytes]) -> EncodedCbor:
    """A definite-length array of values that are CBOR already."""
    count = len(items)
    head = bytes([0x80 + count]) if count < 24 else cbor2.dumps([None] * count)[: _head_size(count)]
    return EncodedCbor(head + b"".join(items))


def _head_size(count: int) -> int:
    return 2 if count < 256 else 3 if count < 65_536 else 5


def decode_map(data: bytes, what: str) -> "CborFields":
    """The one map that `data` is; CborError naming `what`. See `cbor_reader` for what is read at all."""
    try:
        return CborFields(read_cbor(data), what)
    except MalformedCborError as error:
        raise CborError(f"{what}: malformed CBOR: {error}") from None


class CborFields:
    """The fields of one map, taken by name."""

    def __init__(self, value: object, what: str) -> None:
        if type(value) is not dict or not all(type(name) is str for name in value):
            raise CborError(f"{what}: a map of named fields was expected")
        self._fields: dict[str, Any] = dict(value)
        self._what = what

    def take(self, name: str, kind: type, optional: bool = False) -> Any:
        """The field as exactly `kind`; None where it is optional and absent."""
        value = self._fields.pop(name, None)
        if value is None and optional:
            return None
        if type(value) is not kind:
            raise CborError(f"{self._what}.{name}: {kind.__name__} was expected")
        return value

    def bytes(self, name: str, size: int | None = None) -> "bytes":
        """The field as bytes, of exactly `size` if given."""
        value: bytes = self.take(name, bytes)
        if size is not None and len(value) != size:
            raise CborError(f"{self._what}.{name}: {size} bytes were expected, found {len(value)}")
        return value

    def end(self) -> None:
        """CborError unless every field has been taken."""
        if self._fields:
            raise CborError(f"{self._what}: {len(self._fields)} unknown fields")
