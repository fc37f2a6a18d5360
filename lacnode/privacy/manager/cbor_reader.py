"""A strict reader of the part of CBOR (RFC 8949) that Orion's protocol uses.

This part has maps with text as keys, arrays, text, byte strings, integers, booleans and null. Jackson, Orion's library,
writes maps with indefinite length, and text of more than 3,996 characters in chunks. Both are read. Tags, floats, other
simple values, byte strings in chunks and repeated keys are refused. Depth, number of items and lengths are checked before
anything is built. So the time grows with the size of the input, and the memory stays below a small multiple of it. This
module must not know any record.
"""

MAX_DEPTH = 6
"""The largest depth of maps and arrays inside one another."""

MAX_ITEMS = 13_312
"""The largest number of keys, values and chunks in one record. A payload of 4,096 boxes has 12,300."""

FREE_ITEMS, BYTES_PER_ITEM = 1_024, 16
"""A record may have the free items, and one more for this many bytes. An item takes up to 100 bytes of memory."""

MAX_TEXT_BYTES = 262_144
"""The largest size of one text. Descriptions of old group records are the longest texts."""

MAX_KEY_BYTES = 256
"""The largest size of the name of a field."""

# The first byte of an item has its kind in the upper 3 bits. The lower 5 bits are a number below 24, the width of the
# number that follows (24 to 27), or 31 for an indefinite length (RFC 8949, section 3).
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _SIMPLE = 0, 1, 2, 3, 4, 5, 7
_INDEFINITE, _BREAK = 31, 0xFF
_SIMPLE_VALUES = {0xF4: False, 0xF5: True, 0xF6: None}
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}


class MalformedCborError(ValueError):
    """The bytes are not one item of this part of CBOR, or they are above a bound. The text says why."""


def read_cbor(data: bytes) -> object:
    """Return the one item in `data`: a dict with text as keys, a list, str, bytes, int, bool or None.
    MalformedCborError if it is malformed, above a bound, or not of this part of CBOR."""
    reader = _Reader(data)
    found = reader.value(0)
    reader.end()
    return found


class _Reader:
    __slots__ = ("_data", "_items_left", "_position", "_size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._size = len(data)
        self._position = 0
        # A short input may not have many items. Otherwise 100 kB of nulls, one byte each, would take 10 MB of memory.
        self._items_left = min(MAX_ITEMS, FREE_ITEMS + len(data) // BYTES_PER_ITEM)

    def end(self) -> None:
        if self._position != self._size:
            raise MalformedCborError("bytes follow it")

    def value(self, depth: int) -> object:
        """Return the next item. `depth` is the number of maps and arrays around it."""
        self._count()
        first = self._first()
        # The kinds are tried in the order of their frequency. A payload consists of byte strings, mostly.
        kind = first >> 5
        if kind == _BYTES:
            return self._raw(self._length(first))
        if kind == _TEXT:
            return self._text(first)
        if kind == _MAP:
            return self._map(first, depth + 1)
        if kind == _ARRAY:
            return self._array(first, depth + 1)
        if kind == _UNSIGNED:
            return self._length(first)
        if kind == _NEGATIVE:
            return -1 - self._length(first)
        # Only false, true and null are left. `0xFF` outside a map or an array of indefinite length ends here too.
        if first not in _SIMPLE_VALUES:
            raise MalformedCborError("a tag, a float or another value that is not of the protocol")
        return _SIMPLE_VALUES[first]

    # -- parts of an item --------------------------------------------------------------------------------------------

    def _count(self) -> None:
        self._items_left -= 1
        if self._items_left < 0:
            raise MalformedCborError("too many items")

    def _first(self) -> int:
        at = self._position
        if at >= self._size:
            raise MalformedCborError("it ends before its end")
        self._position = at + 1
        return self._data[at]

    def _length(self, first: int) -> int:
        """Return the number in the first byte or in the bytes after it."""
        low = first & 31
        if low < 24:
            return low
        # Values 28 to 30 are reserved. 31 (indefinite) was handled by the callers that allow it.
        width = _WIDTHS.get(low)
        if width is None:
            raise MalformedCborError("a length that is not of the protocol")
        return int.from_bytes(self._raw(width))

    def _raw(self, size: int) -> bytes:
        at = self._position
        # The bound is the input itself: a length that is larger than the rest builds nothing.
        end = at + size
        if end > self._size:
            raise MalformedCborError("it ends before its end")
        self._position = end
        return self._data[at:end]

    def _is_at_break(self) -> bool:
        if self._position < self._size and self._data[self._position] == _BREAK:
            self._position += 1
            return True
        return False

    # -- kinds of items ----------------------------------------------------------------------------------------------

    def _text(self, first: int, at_most: int = MAX_TEXT_BYTES) -> str:
        data = self._chunks(at_most) if first & 31 == _INDEFINITE else self._text_bytes(first, at_most)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise MalformedCborError("a text that is not UTF-8") from None

    def _text_bytes(self, first: int, at_most: int) -> bytes:
        size = self._length(first)
        if size > at_most:
            raise MalformedCborError("a text that is too long")
        return self._raw(size)

    def _chunks(self, at_most: int) -> bytes:
        whole = bytearray()
        while not self._is_at_break():
            self._count()
            first = self._first()
            if first >> 5 != _TEXT or first & 31 == _INDEFINITE:
                # A chunk inside a chunk is not allowed (RFC 8949, section 3.2.3). It could nest without a bound.
                raise MalformedCborError("a text with a part that is no text")
            # The bound is for the whole text. Each chunk may only take what is left of it.
            whole += self._text_bytes(first, at_most - len(whole))
        return bytes(whole)

    def _array(self, first: int, depth: int) -> list[object]:
        self._check_depth(depth)
        if first & 31 == _INDEFINITE:
            # Without a count, the item counter in `value` is the bound.
            items = []
            while not self._is_at_break():
                items.append(self.value(depth))
            return items
        count = self._length(first)
        self._check_count(count)
        return [self.value(depth) for _ in range(count)]

    def _map(self, first: int, depth: int) -> dict[str, object]:
        self._check_depth(depth)
        found: dict[str, object] = {}
        if first & 31 == _INDEFINITE:
            while not self._is_at_break():
                self._entry(found, depth)
            return found
        count = self._length(first)
        self._check_count(2 * count)
        for _ in range(count):
            self._entry(found, depth)
        return found

    def _entry(self, found: dict[str, object], depth: int) -> None:
        self._count()
        first = self._first()
        if first >> 5 != _TEXT or first & 31 == _INDEFINITE:
            raise MalformedCborError("a map with a key that is no text")
        # Keys have a smaller bound than texts: a map has thousands of keys, and each is copied.
        key = self._text(first, MAX_KEY_BYTES)
        # Two readers could take different values of a repeated key. One manager would then check another value than
        # the next one uses.
        if key in found:
            raise MalformedCborError("a map with a repeated key")
        found[key] = self.value(depth)

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedCborError("maps and arrays too deep inside one another")

    def _check_count(self, items: int) -> None:
        """Check the count of a map or an array before it is built. A count that cannot be true is refused."""
        # Each item takes at least one byte. So a count above the rest of the input is false.
        if items > self._items_left or items > self._size - self._position:
            raise MalformedCborError("too many items")
