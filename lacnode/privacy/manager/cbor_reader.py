"""A strict reader of the part of CBOR that Orion's protocol uses: maps with text as keys, arrays, text, byte strings,
integers, booleans and null.

Jackson, Orion's library, writes maps with indefinite length, and text of more than 3,996 characters in chunks; both are
read. Tags, floats, other simple values, byte strings in chunks and repeated keys are refused. Depth, number of items and
lengths are checked before anything is built, so that time grows with the size of the input, and memory stays below a
small multiple of it. Must not know any record.
"""

MAX_DEPTH = 6
"""Maps and arrays inside one another."""

MAX_ITEMS = 13_312
"""Keys, values and chunks in one record: a payload of 4,096 boxes has 12,300."""

FREE_ITEMS, BYTES_PER_ITEM = 1_024, 16
"""A record may have so many items, and one more for so many bytes: an item takes up to 100 bytes of memory."""

MAX_TEXT_BYTES = 262_144
"""Of one text; the descriptions of old group records are the longest."""

MAX_KEY_BYTES = 256
"""Of the name of a field."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _SIMPLE = 0, 1, 2, 3, 4, 5, 7
_INDEFINITE, _BREAK = 31, 0xFF
_SIMPLE_VALUES = {0xF4: False, 0xF5: True, 0xF6: None}
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}


class MalformedCborError(ValueError):
    """Bytes that are not one item of the subset, or that are above a bound. The message says why."""


def read_cbor(data: bytes) -> object:
    """The one item that `data` is; MalformedCborError."""
    reader = _Reader(data)
    found = reader.value(0)
    reader.end()
    return found


class _Reader:
    __slots__ = ("_at", "_data", "_items_left", "_size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0
        self._items_left = min(MAX_ITEMS, FREE_ITEMS + len(data) // BYTES_PER_ITEM)

    def end(self) -> None:
        if self._at != self._size:
            raise MalformedCborError("bytes follow it")

    def value(self, depth: int) -> object:
        """The next item, at `depth` maps and arrays."""
        self._count()
        first = self._first()
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
        if first not in _SIMPLE_VALUES:
            raise MalformedCborError("a tag, a float or another value that is not of the protocol")
        return _SIMPLE_VALUES[first]

    # -- parts of an item --------------------------------------------------------------------------------------------

    def _count(self) -> None:
        self._items_left -= 1
        if self._items_left < 0:
            raise MalformedCborError("too many items")

    def _first(self) -> int:
        at = self._at
        if at >= self._size:
            raise MalformedCborError("it ends before its end")
        self._at = at + 1
        return self._data[at]

    def _length(self, first: int) -> int:
        """The number that the first byte and those behind it give."""
        low = first & 31
        if low < 24:
            return low
        width = _WIDTHS.get(low)
        if width is None:
            raise MalformedCborError("a length that is not of the protocol")
        return int.from_bytes(self._raw(width))

    def _raw(self, size: int) -> bytes:
        at = self._at
        end = at + size
        if end > self._size:
            raise MalformedCborError("it ends before its end")
        self._at = end
        return self._data[at:end]

    def _is_at_break(self) -> bool:
        if self._at < self._size and self._data[self._at] == _BREAK:
            self._at += 1
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
                raise MalformedCborError("a text with a part that is no text")
            whole += self._text_bytes(first, at_most - len(whole))
        return bytes(whole)

    def _array(self, first: int, depth: int) -> list[object]:
        self._check_depth(depth)
        if first & 31 == _INDEFINITE:
            items = []
            while not self._is_at_break():
                items.append(self.value(depth))
            return items
        count = self._length(first)
        self._check_room(count)
        return [self.value(depth) for _ in range(count)]

    def _map(self, first: int, depth: int) -> dict[str, object]:
        self._check_depth(depth)
        found: dict[str, object] = {}
        if first & 31 == _INDEFINITE:
            while not self._is_at_break():
                self._entry(found, depth)
            return found
        count = self._length(first)
        self._check_room(2 * count)
        for _ in range(count):
            self._entry(found, depth)
        return found

    def _entry(self, found: dict[str, object], depth: int) -> None:
        self._count()
        first = self._first()
        if first >> 5 != _TEXT or first & 31 == _INDEFINITE:
            raise MalformedCborError("a map with a key that is no text")
        key = self._text(first, MAX_KEY_BYTES)
        if key in found:
            raise MalformedCborError("a map with a repeated key")
        found[key] = self.value(depth)

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedCborError("maps and arrays too deep inside one another")

    def _check_room(self, items: int) -> None:
        """Before a list is begun: a count that cannot be true builds nothing."""
        if items > self._items_left or items > self._size - self._at:
            raise MalformedCborError("too many items")
