"""Tessera's binary encoding: each field after its length, each list after its count. Both take 8 bytes, big-endian.

Follows Tessera's `BinaryEncoder`. The reader is strict. It never trusts a length beyond the bytes that there are. This
module must not know any record.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

LENGTH_FIELD_BYTES = 8
"""The size of a length and of a count."""

T = TypeVar("T")


class TesseraError(ValueError):
    """The bytes are not the expected record of Tessera. The text names the record or its field, and what is wrong."""


def encode_field(data: bytes) -> bytes:
    """Return the length of `data` (8 bytes, big-endian), followed by `data`."""
    return len(data).to_bytes(LENGTH_FIELD_BYTES) + data


def encode_array_field(items: Iterable[bytes]) -> bytes:
    """Return the count of `items` (8 bytes, big-endian), followed by each item with its length before it."""
    parts = [encode_field(item) for item in items]
    return len(parts).to_bytes(LENGTH_FIELD_BYTES) + b"".join(parts)


class BinaryFields:
    """The fields of one record of Tessera, read once in their order. A field has no name in the bytes: the `name` that
    a method takes is for errors. `what` names the record in errors."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all bytes have been read."""
        return self._at == len(self._data)

    def next_count(self, name: str, at_most: int) -> int:
        """Read the next field, a count of 8 bytes. TesseraError with `name` if the count is larger than `at_most` or if
        the bytes end."""
        value = int.from_bytes(self._raw(name, LENGTH_FIELD_BYTES))
        if value > at_most:
            raise TesseraError(f"{self._what}.{name}: at most {at_most} was expected, found {value}")
        return value

    def next_bytes(self, name: str, size: int | None = None) -> bytes:
        """Read the next field, bytes after their length. TesseraError with `name` if the bytes end, or if the field has
        not exactly `size` bytes. None accepts any size."""
        found = self._raw(name, int.from_bytes(self._raw(name, LENGTH_FIELD_BYTES)))
        if size is not None and len(found) != size:
            raise TesseraError(f"{self._what}.{name}: {size} bytes were expected, found {len(found)}")
        return found

    def next_text(self, name: str) -> str:
        """Read the next field, UTF-8 after its length. TesseraError with `name` if it is not UTF-8 or if the bytes end."""
        try:
            return self.next_bytes(name).decode()
        except UnicodeDecodeError:
            raise TesseraError(f"{self._what}.{name}: UTF-8 was expected") from None

    def next_items(self, name: str, at_most: int, take: Callable[[], T]) -> list[T]:
        """Read the next field, a count, and call `take` that many times. Each call must read one value. Return the
        values. TesseraError with `name` if there are more than `at_most` or if the bytes end."""
        # Each value takes at least 8 bytes. A false count therefore ends at the end of the bytes.
        return [take() for _ in range(self.next_count(name, at_most))]

    def check_no_bytes_left(self) -> None:
        """Check that all bytes have been read. TesseraError if bytes are left."""
        if not self.is_at_end:
            raise TesseraError(f"{self._what}: {len(self._data) - self._at} bytes follow it")

    def _raw(self, name: str, size: int) -> bytes:
        # The length comes from outside, and it has 64 bits. It is compared before any slice is taken.
        if size > len(self._data) - self._at:
            raise TesseraError(f"{self._what}.{name}: it ends before its end")
        self._at += size
        return self._data[self._at - size : self._at]
