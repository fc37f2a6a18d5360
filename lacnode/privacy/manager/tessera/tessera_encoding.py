"""How Tessera writes bytes: each field after its length, each list after its count, both in 8 bytes, big-endian.

Follows Tessera's BinaryEncoder. Readers are strict, and never take a length further than the bytes there are. Must not know
any record.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

LENGTH_FIELD_BYTES = 8
"""Bytes of a length or count."""

T = TypeVar("T")


class TesseraError(ValueError):
    """Bytes that are not the record they should be; the message names the field and what was expected."""


def encode_field(data: bytes) -> bytes:
    """`data` after its length."""
    return len(data).to_bytes(LENGTH_FIELD_BYTES) + data


def encode_array_field(items: Iterable[bytes]) -> bytes:
    """Fields after their count."""
    parts = [encode_field(item) for item in items]
    return len(parts).to_bytes(LENGTH_FIELD_BYTES) + b"".join(parts)


class BinaryFields:
    """The fields of one record, taken in their order; TesseraError names `what` and the field."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def number(self, name: str, at_most: int) -> int:
        """A count."""
        value = int.from_bytes(self._raw(name, LENGTH_FIELD_BYTES))
        if value > at_most:
            raise TesseraError(f"{self._what}.{name}: at most {at_most} was expected, found {value}")
        return value

    def data(self, name: str, size: int | None = None) -> bytes:
        """A field, of exactly `size` bytes if given."""
        found = self._raw(name, int.from_bytes(self._raw(name, LENGTH_FIELD_BYTES)))
        if size is not None and len(found) != size:
            raise TesseraError(f"{self._what}.{name}: {size} bytes were expected, found {len(found)}")
        return found

    def text(self, name: str) -> str:
        """A field in UTF-8."""
        try:
            return self.data(name).decode()
        except UnicodeDecodeError:
            raise TesseraError(f"{self._what}.{name}: UTF-8 was expected") from None

    def items(self, name: str, at_most: int, take: Callable[[], T]) -> list[T]:
        """As many as their count says, each by `take`."""
        return [take() for _ in range(self.number(name, at_most))]

    def end(self) -> None:
        """Check that nothing is left."""
        if not self.is_at_end:
            raise TesseraError(f"{self._what}: {len(self._data) - self._at} bytes follow it")

    def _raw(self, name: str, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise TesseraError(f"{self._what}.{name}: it ends before its end")
        self._at += size
        return self._data[self._at - size : self._at]
