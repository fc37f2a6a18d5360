"""Strict RLP for everything that arrives from outside, and raw encoding for everything that leaves.

The rules are Besu's strict reader's: no bytes after the item, no padded lengths, no leading zeros in a scalar. The
work is `rusty-rlp`'s, about 30 times faster than the `rlp` package on such values; but its decoder recurses and a
message of nested lists overflows the native stack, so nesting is measured here first.

Must not know any message: codecs name their fields themselves through `RlpFields`.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

import rusty_rlp

RlpItem: TypeAlias = "bytes | list[RlpItem]"
"""A decoded item: a byte string or a list of items."""

RlpValue: TypeAlias = "bytes | Sequence[RlpValue]"
"""What `encode` takes: byte strings and (nested) lists or tuples of them."""

MAX_DEPTH = 32
"""Deepest nesting accepted. The deepest real message is a Proposal with prepared certificates, 9 levels."""

MAX_LISTS = 200_000
"""Lists in one message. A full block has some ten thousand; every one costs memory many times its bytes."""

MAX_ITEMS = 1_000_000
"""Byte strings and lists in one message. Ten MiB of transfers have 900 thousand items; fifteen million of one byte each
would hold the interpreter for five seconds and 600 MB."""

MAX_STORED_LISTS = 16_000_000
"""Lists in one stored value. What a block left behind has two for each log, and a block with the largest gas limit that
networks have in use has a million logs."""

MAX_STORED_ITEMS = 64_000_000
"""Byte strings and lists in one stored value."""

_LARGE_ITEM_BYTES = 1_024
"""Average length of a message's items from which they are cut out here: the decoder copies byte by byte, and eleven
megabytes hold the interpreter for a third of a second."""

_SINGLE_BYTES = re.compile(rb"[\x00-\x80]+")
"""Items that are one byte long, in a row."""

_HARMLESS_LENGTH = 4_096
"""Below this length not even a message of list headers alone comes near the native stack's end."""

_BELOW_LIST = bytes(range(0xC0))

_OptionalBytes: TypeAlias = bytes | None  # `bytes` is a method's name inside RlpFields


class RlpError(ValueError):
    """Bytes that are not the RLP they should be. The message names the field and what was expected."""


class TooManyItemsError(RlpError):
    """More items than this node reads. Other implementations have no such bound: the bytes may be correct."""


def encode(value: RlpValue) -> bytes:
    """The RLP of byte strings and nested lists of byte strings."""
    encoded: bytes = rusty_rlp.encode_raw(value)
    return encoded


def list_content(encoded: bytes) -> bytes:
    """What stands after the header of `encoded`, a list that was decoded before."""
    return encoded[1 + max(0, encoded[0] - 0xF7) :]


def wrap_list(content: bytes) -> bytes:
    """The list of the encoded items in `content`."""
    length = len(content)
    if length < 56:
        return bytes([0xC0 + length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([0xF7 + size]) + length.to_bytes(size) + content


def list_of_encoded(*items: bytes) -> bytes:
    """The list of items that are RLP already."""
    return wrap_list(b"".join(items))


def decode(data: bytes) -> RlpItem:
    """The one item that `data` is. Raises RlpError for trailing bytes, non-minimal or truncated encodings, and nesting
    deeper than `MAX_DEPTH`."""
    items = _check_depth(data, MAX_LISTS, MAX_ITEMS)
    return _decoded(data, is_large=items > 0 and len(data) >= items * _LARGE_ITEM_BYTES)


def decode_stored_list(data: bytes, what: str) -> list[RlpItem]:
    """Like `decode_list`, for what this node made and stored itself: it may have as many items as an execution makes."""
    _check_depth(data, MAX_STORED_LISTS, MAX_STORED_ITEMS)
    return as_list(_decoded(data), what)


def _decoded(data: bytes, *, is_large: bool = False) -> RlpItem:
    try:
        item: RlpItem = _cut(data) if is_large else rusty_rlp.decode_raw(data, True, False)[0]
    except (rusty_rlp.DecodingError, TypeError, IndexError) as error:
        raise RlpError(f"malformed RLP of {len(data)} bytes: {error}") from None
    # The decoder takes a string header at a list's very end for an empty string, whatever length it announces; and `_cut`
    # does not look whether an item is written as it must be.
    if rusty_rlp.encode_raw(item) != data:
        raise RlpError(f"malformed RLP of {len(data)} bytes: an item ends beyond its list")
    return item


def _cut(data: bytes) -> RlpItem:
    """The one item that `data` is, if it is RLP; otherwise an item that is encoded in another way, or IndexError. For data
    whose depth and items were counted before."""
    whole: list[RlpItem] = []
    open_lists: list[tuple[list[RlpItem], int]] = [(whole, len(data))]
    position = 0
    while True:
        while position >= open_lists[-1][1]:
            open_lists.pop()
            if not open_lists:
                return whole[0]
        found, end_of_list = open_lists[-1]
        start, end, is_list = _content(data, position)
        if is_list:
            inner: list[RlpItem] = []
            found.append(inner)
            open_lists.append((inner, min(end, end_of_list)))
            position = start
        else:
            found.append(data[start:end])
            position = end


def _content(data: bytes, position: int) -> tuple[int, int, bool]:
    """Where the content of the item at `position` begins and ends, and whether it is a list."""
    first = data[position]
    if first < 0x80:
        return position, position + 1, False
    base = 0x80 if first < 0xC0 else 0xC0
    size, start = first - base, position + 1
    if size > 55:
        start += size - 55
        size = int.from_bytes(data[position + 1 : start])
    return start, start + size, base == 0xC0


def content_of_first_list(data: bytes) -> bytes:
    """What the list at the beginning of `data` holds, as far as it is there; RlpError if no list begins there."""
    start, end, is_list = _content(data, 0) if data else (0, 0, False)
    if not is_list:
        raise RlpError("a list was expected at the beginning")
    return data[start:end]


def first_item(data: bytes) -> RlpItem:
    """The item at the beginning of `data`, whatever follows it; RlpError if none begins there."""
    return decode(data[: _content(data, 0)[1]] if data else b"")


def decode_list(data: bytes, what: str) -> list[RlpItem]:
    """Like `decode`, for data that must be a list; `what` names it in the error."""
    return as_list(decode(data), what)


def as_list(item: RlpItem, what: str) -> list[RlpItem]:
    """`item` as a list, or RlpError naming `what`."""
    if not isinstance(item, list):
        raise RlpError(f"{what}: a list was expected, found {len(item)} bytes")
    return item


def as_bytes(item: RlpItem, what: str, size: int | None = None) -> bytes:
    """`item` as a byte string of exactly `size` bytes (any size when None), or RlpError naming `what`."""
    if isinstance(item, list):
        raise RlpError(f"{what}: a byte string was expected, found a list of {len(item)}")
    if size is not None and len(item) != size:
        raise RlpError(f"{what}: {size} bytes were expected, found {len(item)}")
    return item


def as_scalar(item: RlpItem, what: str, max_size: int = 32) -> int:
    """`item` as a big-endian integer of at most `max_size` bytes without leading zero bytes, or RlpError."""
    data = as_bytes(item, what)
    if len(data) > max_size:
        raise RlpError(f"{what}: an integer of at most {max_size} bytes was expected, found {len(data)}")
    if data[:1] == b"\0":
        raise RlpError(f"{what}: integer with leading zero byte")
    return int.from_bytes(data)


def scalar(value: int) -> bytes:
    """The minimal big-endian bytes of a non-negative integer; zero is the empty string."""
    return value.to_bytes((value.bit_length() + 7) // 8)


class RlpFields:
    """The items of one list, taken in order by name: codecs read like the table in the specification.

    >>> fields = RlpFields(decode_list(encode([b"\\x01", b"ab"]), "pair"), "pair")
    >>> fields.scalar("number"), fields.bytes("text"), fields.end()
    (1, b'ab', None)
    """

    def __init__(self, items: list[RlpItem], what: str) -> None:
        self._items = items
        self._what = what
        self._next = 0

    @property
    def remaining(self) -> int:
        """How many items have not been taken."""
        return len(self._items) - self._next

    def item(self, name: str) -> RlpItem:
        """The next item as it is, or RlpError if the list has ended."""
        if self._next >= len(self._items):
            raise RlpError(f"{self._what}: list of {len(self._items)} ends before {name}")
        item = self._items[self._next]
        self._next += 1
        return item

    def bytes(self, name: str, size: int | None = None) -> bytes:
        """The next item as a byte string (see `as_bytes`)."""
        return as_bytes(self.item(name), f"{self._what}.{name}", size)

    def scalar(self, name: str, max_size: int = 32) -> int:
        """The next item as an integer (see `as_scalar`)."""
        return as_scalar(self.item(name), f"{self._what}.{name}", max_size)

    def list(self, name: str) -> "list[RlpItem]":
        """The next item as a list (see `as_list`)."""
        return as_list(self.item(name), f"{self._what}.{name}")

    def optional_bytes(self, name: str, size: int) -> "_OptionalBytes":
        """The next item as exactly `size` bytes, or None where it is the empty string."""
        data = as_bytes(self.item(name), f"{self._what}.{name}")
        return None if not data else as_bytes(data, f"{self._what}.{name}", size)

    def end(self) -> None:
        """RlpError unless every item has been taken."""
        if self.remaining:
            raise RlpError(f"{self._what}: {self.remaining} items more than expected")


def _check_depth(data: bytes, max_lists: int, max_items: int) -> int:
    """How many items `data` has, 0 where they need not be counted. RlpError if it nests deeper than `MAX_DEPTH` or has too
    many items; lengths that lie are left for the decoder to refuse."""
    if len(data) < _HARMLESS_LENGTH:
        return 0
    if len(data) <= max_items and len(data.translate(None, _BELOW_LIST)) < _HARMLESS_LENGTH:
        return 0
    ends = [len(data)]
    position = lists = items = 0
    while position < len(data):
        while position >= ends[-1]:
            ends.pop()
            if not ends:
                return items
        first = data[position]
        items += 1
        if first <= 0x80:
            # All of the row at once: one by one, a message full of such items would take a second here alone.
            row = _SINGLE_BYTES.match(data, position, ends[-1])
            assert row is not None
            items += row.end() - position - 1
            position = row.end()
        elif first < 0xB8:
            position += first - 0x7F
        elif first < 0xC0:
            width = first - 0xB7
            position += 1 + width + int.from_bytes(data[position + 1 : position + 1 + width])
        else:
            width = 0 if first < 0xF8 else first - 0xF7
            size = first - 0xC0 if not width else int.from_bytes(data[position + 1 : position + 1 + width])
            position += 1 + width
            lists += 1
            if lists > max_lists:
                raise TooManyItemsError(f"more than {max_lists} lists in one message")
            if len(ends) > MAX_DEPTH:
                raise RlpError(f"lists nested deeper than {MAX_DEPTH}")
            ends.append(min(position + size, ends[-1]))
        if items > max_items:
            raise TooManyItemsError(f"more than {max_items} items in one message")
    return items
