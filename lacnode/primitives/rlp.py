"""Strict RLP for received bytes, and plain encoding for sent bytes.

The rules are those of Besu's strict reader: no bytes after the item, no padded lengths, no leading zeros in a scalar.
`rusty-rlp` does the work, about 30 times faster than the `rlp` package on such values. Its decoder is recursive, and a
message of nested lists overflows the native stack, so the nesting is measured here first.

This file must not know any message: codecs name their fields themselves with `RlpFields`.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

import rusty_rlp

from lacnode.primitives.rlp_spans import EMPTY_LIST, item_end, list_span

RlpItem: TypeAlias = "bytes | list[RlpItem]"
"""A decoded item: a byte string, or a list of items."""

RlpValue: TypeAlias = "bytes | Sequence[RlpValue]"
"""The input of `encode`: byte strings, and nested lists or tuples of them."""

MAX_DEPTH = 32
"""The deepest accepted nesting. The deepest real message is a Proposal with prepared certificates, with 9 levels."""

MAX_LISTS = 200_000
"""Lists in one message. A full block has some ten thousand. Each list needs much more memory than its bytes."""

MAX_ITEMS = 1_000_000
"""Byte strings and lists in one message. Ten MiB of transfers have 900 thousand items. Fifteen million items of one byte
would hold the interpreter for five seconds and need 600 MB."""

MAX_STORED_LISTS = 16_000_000
"""Lists in one stored value. The receipts of a block have two for each log. A block with the largest gas limit in use has
a million logs."""

MAX_STORED_ITEMS = 64_000_000
"""Byte strings and lists in one stored value."""

_LARGE_ITEM_BYTES = 1_024
"""The average length of items from which they are cut out here. The decoder copies byte by byte, and eleven megabytes hold
the interpreter for a third of a second."""

_DECODED_AT_ONCE_BYTES = 256 * 1024
"""Bytes of a list that the decoder gets at once. It holds the interpreter while it decodes: 50 ms for a mebibyte."""

_SINGLE_BYTES = re.compile(rb"[\x00-\x80]+")
"""Items of one byte in a row."""

_HARMLESS_LENGTH = 4_096
"""Below this length, even a message of list headers alone does not reach the end of the native stack."""

_BELOW_LIST = bytes(range(0xC0))

_OptionalBytes: TypeAlias = bytes | None  # `bytes` is a method's name inside RlpFields


class RlpError(ValueError):
    """The bytes are not the expected RLP. The text names the field and the expected form."""


class TooManyItemsError(RlpError):
    """There are more items than this node reads. Other implementations have no such bound, so the bytes may be correct."""


def encode(value: RlpValue) -> bytes:
    """The RLP of a byte string, or of a nested list or tuple of byte strings. A number must be bytes before
    (`encode_scalar`): rusty_rlp.EncodingError for anything else."""
    encoded: bytes = rusty_rlp.encode_raw(value)
    return encoded


def list_content(encoded: bytes) -> bytes:
    """The bytes after the header of `encoded`, the whole RLP of a list that was decoded before. Nothing is checked."""
    return encoded[1 + max(0, encoded[0] - 0xF7) :]


def wrap_list(content: bytes) -> bytes:
    """The RLP list of the encoded items that are joined in `content`. They are not checked."""
    length = len(content)
    if length < 56:
        return bytes([0xC0 + length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([0xF7 + size]) + length.to_bytes(size) + content


def list_of_encoded(*items: bytes) -> bytes:
    """The RLP list of `items`, which are encoded already. They are not checked."""
    return wrap_list(b"".join(items))


def decode(data: bytes, max_items: int = MAX_ITEMS) -> RlpItem:
    """Decode the one item in `data`.

    Raises RlpError for no or trailing bytes, for encodings that are not minimal or cut short, and for nesting deeper
    than `MAX_DEPTH`. Raises TooManyItemsError, which is an RlpError, for more than `MAX_LISTS` lists or `max_items`
    items. Depth and numbers are not measured in short data, which can do no harm: always below 4,096 bytes.
    """
    items = _count_items(data, MAX_LISTS, max_items)
    return _decode_checked(data, is_large=items > 0 and len(data) >= items * _LARGE_ITEM_BYTES)


def decode_stored_list(data: bytes, what: str) -> list[RlpItem]:
    """The items of the one list in `data`, which this node made and stored. It may have more items than `decode_list`
    takes.

    Raises RlpError if `data` is not a list or is malformed, and TooManyItemsError above `MAX_STORED_LISTS` or
    `MAX_STORED_ITEMS`. The name `what` stands in the error of a value that is no list.
    """
    _count_items(data, MAX_STORED_LISTS, MAX_STORED_ITEMS)
    return as_list(_decode_checked(data), what)


def _decode_checked(data: bytes, *, is_large: bool = False) -> RlpItem:
    if not is_large and len(data) > _DECODED_AT_ONCE_BYTES and data[0] >= EMPTY_LIST:
        return _decode_in_parts(data, 0, len(data), MAX_DEPTH)
    return _decode_at_once(data, is_large=is_large)


def _decode_in_parts(data: bytes, start: int, end: int, depth: int) -> list[RlpItem]:
    """The long list from `start` to `end` in `data`. Other threads run between its parts. `depth` is the number of levels
    that are allowed.

    Raises RlpError.
    """
    span = list_span(data, start)
    if span is None or span[1] != end or depth == 0:
        raise RlpError(
            f"malformed RLP of {len(data)} bytes: a list with this length, in minimal encoding, was expected"
        )
    items: list[RlpItem] = []
    position = span[0]
    while position < end:
        stop = _end_of_part(data, position, end)
        # A part is some items that are short together, or one long item. Each is checked as strictly as a whole message.
        if stop - position <= _DECODED_AT_ONCE_BYTES:
            items += as_list(_decode_at_once(wrap_list(data[position:stop])), "part")
        elif data[position] >= EMPTY_LIST:
            # By positions: with a copy for each level, a message of nested lists would take its length thirty times.
            items.append(_decode_in_parts(data, position, stop, depth - 1))
        else:
            items.append(_decode_at_once(data[position:stop], is_large=True))
        position = stop
    return items


def _end_of_part(data: bytes, start: int, end: int) -> int:
    """The end of the part that begins at `start`, in a list that ends at `end`. Raises RlpError if an item ends later."""
    most = min(end, start + _DECODED_AT_ONCE_BYTES)
    position = start
    while position < most:
        if data[position] <= 0x80:
            row = _SINGLE_BYTES.match(data, position, most)
            assert row is not None
            position = row.end()
            continue
        stop = item_end(data, position)
        if stop > end:
            raise RlpError(f"malformed RLP of {len(data)} bytes: an item ends beyond its list")
        if stop > most:
            # The first item of a part may be longer than a part.
            return stop if position == start else position
        position = stop
    return position


def _decode_at_once(data: bytes, *, is_large: bool = False) -> RlpItem:
    try:
        if is_large:
            return _decode_large(data)
        item: RlpItem = rusty_rlp.decode_raw(data, True, False)[0]
    except (rusty_rlp.DecodingError, TypeError, IndexError) as error:
        raise RlpError(f"malformed RLP of {len(data)} bytes: {error}") from None
    # The decoder takes a string header at the very end of a list for an empty string, with any announced length.
    # Encoding again finds it.
    if rusty_rlp.encode_raw(item) != data:
        raise RlpError(f"malformed RLP of {len(data)} bytes: an item ends beyond its list")
    return item


def _decode_large(data: bytes) -> RlpItem:
    """The one item in `data`. Raises RlpError, or IndexError if `data` ends inside a header.

    The depth and the items of `data` were counted before. Nothing is encoded again to check it: that would take twice
    the length of `data`.
    """
    whole: list[RlpItem] = []
    # A stack of the open lists and their ends. Recursion would be slower, and deep lists would end it.
    open_lists: list[tuple[list[RlpItem], int]] = [(whole, len(data))]
    position = 0
    while True:
        while position >= open_lists[-1][1]:
            open_lists.pop()
            if not open_lists:
                return _only_item(data, whole)
        found, end_of_list = open_lists[-1]
        start, end, is_list = _content(data, position)
        if end > end_of_list:
            raise RlpError(f"malformed RLP of {len(data)} bytes: an item ends beyond its list")
        if not _is_minimal(data, position, start, end):
            raise RlpError(f"malformed RLP of {len(data)} bytes: an item is not in minimal encoding")
        if is_list:
            inner: list[RlpItem] = []
            found.append(inner)
            open_lists.append((inner, end))
            position = start
        else:
            found.append(data[start:end])
            position = end


def _only_item(data: bytes, items: list[RlpItem]) -> RlpItem:
    if len(items) != 1:
        raise RlpError(f"malformed RLP of {len(data)} bytes: one item was expected, found {len(items)}")
    return items[0]


def _is_minimal(data: bytes, position: int, start: int, end: int) -> bool:
    """Whether the header at `position` is the shortest one for the content from `start` to `end`."""
    if start - position > 1:
        # The length has bytes of its own. It must need them, and have no leading zero.
        return end - start > 55 and data[position + 1] > 0
    # A byte below 0x80 is its own encoding, and needs no header.
    return data[position] != 0x81 or data[start] >= 0x80


def _content(data: bytes, position: int) -> tuple[int, int, bool]:
    """The start and the end of the content of the item at `position`, and whether it is a list."""
    first = data[position]
    if first < 0x80:
        return position, position + 1, False
    base = 0x80 if first < 0xC0 else 0xC0
    size, start = first - base, position + 1
    # Above 55 bytes the first byte has the length of the length.
    if size > 55:
        start += size - 55
        size = int.from_bytes(data[position + 1 : start])
    return start, start + size, base == 0xC0


def content_of_first_list(data: bytes) -> bytes:
    """The bytes after the header of the RLP list at the beginning of `data`, as far as they are there. Other bytes may
    follow the list. Nothing else is checked.

    Raises RlpError if `data` does not begin with a list.
    """
    start, end, is_list = _content(data, 0) if data else (0, 0, False)
    if not is_list:
        raise RlpError("a list was expected at the beginning")
    return data[start:end]


def decode_first_item(data: bytes) -> RlpItem:
    """The decoded item at the beginning of `data`. Other bytes may follow it. Raises RlpError if there is no item, or
    if it is malformed or cut short."""
    # Only the bytes of the first item are decoded: the rest of a large message may not be needed.
    return decode(data[: _content(data, 0)[1]] if data else b"")


def decode_list(data: bytes, what: str, max_items: int = MAX_ITEMS) -> list[RlpItem]:
    """The items of the one list in `data`. Raises RlpError if it is a byte string (with the name `what`), is malformed,
    is not in minimal encoding, or if other bytes follow. Raises TooManyItemsError as `decode` does."""
    return as_list(decode(data, max_items), what)


def as_list(item: RlpItem, what: str) -> list[RlpItem]:
    """The decoded `item` as a list. Raises RlpError, with the name `what`, if it is a byte string."""
    if not isinstance(item, list):
        raise RlpError(f"{what}: a list was expected, found {len(item)} bytes")
    return item


def as_bytes(item: RlpItem, what: str, size: int | None = None) -> bytes:
    """The decoded `item` as a byte string of `size` bytes (any size for None). Raises RlpError, with the name `what`,
    if it is a list or has another size."""
    if isinstance(item, list):
        raise RlpError(f"{what}: a byte string was expected, found a list of {len(item)}")
    if size is not None and len(item) != size:
        raise RlpError(f"{what}: {size} bytes were expected, found {len(item)}")
    return item


def as_scalar(item: RlpItem, what: str, max_size: int = 32) -> int:
    """The decoded `item` as an unsigned big-endian integer. The empty string is 0.

    Raises RlpError, with the name `what`, if it is a list, has more than `max_size` bytes, or has a leading zero byte.
    """
    data = as_bytes(item, what)
    if len(data) > max_size:
        raise RlpError(f"{what}: an integer of at most {max_size} bytes was expected, found {len(data)}")
    # Two encodings of one number would give two hashes to one content.
    if data[:1] == b"\0":
        raise RlpError(f"{what}: integer with leading zero byte")
    return int.from_bytes(data)


def encode_scalar(value: int) -> bytes:
    """The minimal big-endian bytes of a non-negative integer, not yet RLP. Zero is the empty string. Raises
    OverflowError for a negative one."""
    return value.to_bytes((value.bit_length() + 7) // 8)


class RlpFields:
    """The items of one list, read in order and by name. So a codec reads like the table in the specification.

    >>> fields = RlpFields(decode_list(encode([b"\\x01", b"ab"]), "pair"), "pair")
    >>> fields.scalar("number"), fields.bytes("text"), fields.check_no_fields_left()
    (1, b'ab', None)
    """

    def __init__(self, items: list[RlpItem], what: str) -> None:
        self._items = items
        self._what = what
        self._next = 0

    @property
    def remaining(self) -> int:
        """The number of items that are not read yet."""
        return len(self._items) - self._next

    def item(self, name: str) -> RlpItem:
        """The next item as it is: a byte string or a list. Raises RlpError, whose text has `name`, if no item is
        left."""
        if self._next >= len(self._items):
            raise RlpError(f"{self._what}: list of {len(self._items)} ends before {name}")
        item = self._items[self._next]
        self._next += 1
        return item

    def bytes(self, name: str, size: int | None = None) -> bytes:
        """The next item as a byte string of `size` bytes, or of any size for None. Raises RlpError if it is a list, has
        another size, or is missing. The error names `name`."""
        return as_bytes(self.item(name), f"{self._what}.{name}", size)

    def scalar(self, name: str, max_size: int = 32) -> int:
        """The next item as an unsigned big-endian integer of at most `max_size` bytes. The empty string is 0. Raises
        RlpError if it is a list, is longer, has a leading zero byte, or is missing."""
        return as_scalar(self.item(name), f"{self._what}.{name}", max_size)

    def list(self, name: str) -> "list[RlpItem]":
        """The next item as a list. Raises RlpError if it is a byte string, or if no item is left."""
        return as_list(self.item(name), f"{self._what}.{name}")

    def optional_bytes(self, name: str, size: int) -> "_OptionalBytes":
        """The next item as exactly `size` bytes, or None for the empty string. Raises RlpError for another form, or if
        no item is left."""
        data = as_bytes(self.item(name), f"{self._what}.{name}")
        return None if not data else as_bytes(data, f"{self._what}.{name}", size)

    def check_no_fields_left(self) -> None:
        """Return if every item was read. Raises RlpError otherwise."""
        if self.remaining:
            raise RlpError(f"{self._what}: {self.remaining} items more than expected")


def _count_items(data: bytes, max_lists: int, max_items: int) -> int:
    """The number of items in `data`, or 0 if they need not be counted.

    Raises RlpError if it nests deeper than `MAX_DEPTH`, and TooManyItemsError. False lengths are refused by the decoder.
    """
    # Most messages are short. Counting their items would cost more than decoding them.
    if len(data) < _HARMLESS_LENGTH:
        return 0
    # Fewer bytes than items are allowed, and few bytes that could be list headers: no count can be exceeded.
    if len(data) <= max_items and len(data.translate(None, _BELOW_LIST)) < _HARMLESS_LENGTH:
        return 0
    # The ends of the open lists. Their number is the depth.
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
            # The whole row at once. One by one, a message of such items would need a second here alone.
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
            # An inner list cannot end after its outer list, even if its header says so.
            ends.append(min(position + size, ends[-1]))
        if items > max_items:
            raise TooManyItemsError(f"more than {max_items} items in one message")
    return items
