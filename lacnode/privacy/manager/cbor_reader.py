"""A strict reader of the part of CBOR (RFC 8949) that Orion's protocol uses.

This part has maps with text as keys, arrays, text, byte strings, integers, booleans and null. Jackson, Orion's library,
writes maps with indefinite length, and text of more than 3,996 characters in chunks. Both are read. Tags, floats, other
simple values, byte strings in chunks and repeated keys are refused. Depth, number of items, lengths and memory are checked
before anything is built. So the time grows with the size of the input. The memory stays below four times the size, or
below 32 KiB for a short input. This module must not know any record.
"""

from collections.abc import Callable, Iterator, Mapping
from sys import getsizeof

from lacnode.privacy.manager.bounded_memory import TEXT_PIECE_BYTES, BoundedMemory

MAX_DEPTH = 6
"""The largest depth of maps and arrays inside one another."""

MAX_ITEMS = 13_312
"""The largest number of keys, values and chunks in one record. A payload of 4,096 boxes has 12,300."""

MEMORY_BYTES_PER_BYTE, LEAST_MEMORY_BYTES = 3.7, 32_768
"""The memory that a record may build for each byte of its input, and how much in any case. An honest party info needs 2.9
for each byte, and 3.7 if its URLs have 12 characters. A payload and a group need less than 2."""

MAX_TEXT_BYTES = 262_144
"""The largest size of one text. Descriptions of old group records are the longest texts."""

MAX_KEY_BYTES = 256
"""The largest size of the name of a field."""

SHARED_NAMES, SHARED_NAME_BYTES = 16, 32
"""The number and the size of the names of fields that are built once for all maps of a record."""

# The first byte of an item has its kind in the upper 3 bits. The lower 5 bits are a number below 24, the width of the
# number that follows (24 to 27), or 31 for an indefinite length (RFC 8949, section 3).
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _SIMPLE = 0, 1, 2, 3, 4, 5, 7
_INDEFINITE, _BREAK = 31, 0xFF
_SIMPLE_VALUES = {0xF4: False, 0xF5: True, 0xF6: None}
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}

# What Python's objects take beside their content. A list has up to an eighth more places than items.
_LIST_OBJECT, _FIRST_LIST_PLACES, _LIST_PLACE, _DICT_OBJECT = getsizeof([]), 48, 9, getsizeof({})
_BYTES_OBJECT, _NUMBER_OBJECT, _SMALL_NUMBERS = getsizeof(b""), 36, 257
_SHARED_NAME_ENTRY, _NO_GROWTH = 64, (0, 0)


_Key = str | bytes
_Converter = Callable[[object], bytes]


def _dict_growth(key_of: Callable[[int], _Key]) -> dict[int, tuple[int, int]]:
    """Return the bytes of the new table and of the old one, by the number of entries at which a dict gets a new one."""
    found: dict[_Key, None] = {}
    growth, size = {}, _DICT_OBJECT
    for count in range(MAX_ITEMS // 2 + 1):
        found[key_of(count)] = None
        if (grown := getsizeof(found)) != size:
            growth[count] = (grown - _DICT_OBJECT, size - _DICT_OBJECT)
            size = grown
    return growth


# A table whose keys are all text takes less for each entry.
_TEXT_DICT_GROWTH, _DICT_GROWTH = _dict_growth(str), _dict_growth(lambda number: number.to_bytes(2))


class MalformedCborError(ValueError):
    """The bytes are not one item of this part of CBOR, or they are above a bound. The text says why."""


def read_cbor(data: bytes, converters: Mapping[str, _Converter] | None = None, wide_text_bytes: int = 0) -> object:
    """Return the one item in `data`: a dict with text as keys, a list, str, bytes, int, bool or None.
    MalformedCborError if it is malformed, above a bound, or not of this part of CBOR.

    `converters` are functions by the name of a field of the outermost map. Such a function gets each item of the
    field's array, or each key of its map, as soon as it is read. The bytes that it returns are kept in place of the
    item or the key, so that many small items take less memory. Its errors pass through. `wide_text_bytes` is memory
    beyond the bound, for long texts with characters above U+FFFF: Python stores all characters of such a text with 4
    bytes.
    """
    reader = _Reader(data, converters or {}, wide_text_bytes)
    found = reader.value(0)
    reader.end()
    return found


class _Reader:
    __slots__ = ("_converters", "_data", "_items_left", "_memory", "_names", "_position", "_size")

    def __init__(self, data: bytes, converters: Mapping[str, _Converter], wide_text_bytes: int) -> None:
        self._data = data
        self._converters = converters
        self._size = len(data)
        self._position = 0
        self._items_left = MAX_ITEMS
        # An item of one byte can be an object of 64 bytes or more. So the objects are counted by their size.
        self._memory = BoundedMemory(
            max(LEAST_MEMORY_BYTES, int(MEMORY_BYTES_PER_BYTE * len(data))), MalformedCborError, wide_text_bytes
        )
        self._names: dict[bytes, str] = {}

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
            return self._bytes(first)
        if kind == _TEXT:
            return self._text(first)
        if kind == _MAP:
            return self._map(first, depth + 1)
        if kind == _ARRAY:
            return self._array(first, depth + 1)
        if kind in (_UNSIGNED, _NEGATIVE):
            return self._number(first, kind)
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

    def _bytes(self, first: int) -> bytes:
        size = self._length(first)
        self._memory.charge(_BYTES_OBJECT + size)
        return self._raw(size)

    def _number(self, first: int, kind: int) -> int:
        number = self._length(first)
        # Python has the small numbers already.
        if number >= _SMALL_NUMBERS:
            self._memory.charge(_NUMBER_OBJECT)
        return number if kind == _UNSIGNED else -1 - number

    def _text(self, first: int) -> str:
        if first & 31 == _INDEFINITE:
            return self._memory.decode_long_text(self._chunks())
        size = self._text_size(first, MAX_TEXT_BYTES)
        if size <= TEXT_PIECE_BYTES:
            return self._memory.decode_text(self._raw(size))
        return self._memory.decode_long_text(self._pieces(size))

    def _text_size(self, first: int, at_most: int) -> int:
        size = self._length(first)
        if size > at_most:
            raise MalformedCborError("a text that is too long")
        if size > self._size - self._position:
            raise MalformedCborError("it ends before its end")
        return size

    def _pieces(self, size: int) -> Iterator[bytes]:
        for start in range(0, size, TEXT_PIECE_BYTES):
            yield self._raw(min(TEXT_PIECE_BYTES, size - start))

    def _chunks(self) -> Iterator[bytes]:
        # Thousands of chunks may have one character each. They are decoded together.
        left, piece = MAX_TEXT_BYTES, bytearray()
        while not self._is_at_break():
            self._count()
            first = self._first()
            if first >> 5 != _TEXT or first & 31 == _INDEFINITE:
                # A chunk inside a chunk is not allowed (RFC 8949, section 3.2.3). It could nest without a bound.
                raise MalformedCborError("a text with a part that is no text")
            # The bound is for the whole text. Each chunk may only take what is left of it.
            size = self._text_size(first, left)
            left -= size
            for part in self._pieces(size):
                piece += part
                if len(piece) >= TEXT_PIECE_BYTES:
                    yield bytes(piece)
                    piece.clear()
        yield bytes(piece)

    def _array(self, first: int, depth: int, converter: _Converter | None = None) -> list[object]:
        self._check_depth(depth)
        found: list[object] = []
        self._memory.charge(_LIST_OBJECT)
        if first & 31 == _INDEFINITE:
            # Without a count, the item counter in `value` is the bound.
            while not self._is_at_break():
                self._add_item(found, depth, converter)
            return found
        count = self._length(first)
        self._check_count(count)
        for _ in range(count):
            self._add_item(found, depth, converter)
        return found

    def _add_item(self, found: list[object], depth: int, converter: _Converter | None) -> None:
        self._memory.charge(_LIST_PLACE if found else _FIRST_LIST_PLACES)
        before = self._memory.left
        item = self.value(depth)
        found.append(item if converter is None else self._converted(item, converter, before))

    def _converted(self, item: object, converter: _Converter, before: int) -> bytes:
        result = converter(item)
        # What was read is gone when only its result is kept.
        self._memory.left = before - getsizeof(result)
        return result

    def _map(self, first: int, depth: int, converter: _Converter | None = None) -> dict[_Key, object]:
        self._check_depth(depth)
        found: dict[_Key, object] = {}
        self._memory.charge(_DICT_OBJECT)
        if first & 31 == _INDEFINITE:
            while not self._is_at_break():
                self._entry(found, depth, converter)
            return found
        count = self._length(first)
        self._check_count(2 * count)
        for _ in range(count):
            self._entry(found, depth, converter)
        return found

    def _entry(self, found: dict[_Key, object], depth: int, converter: _Converter | None) -> None:
        self._count()
        before = self._memory.left
        name = self._name()
        key = name if converter is None else self._converted(name, converter, before)
        # Two readers could take different values of a repeated key. One manager would then check another value than
        # the next one uses.
        if key in found:
            raise MalformedCborError("a map with a repeated key")
        growth = (_TEXT_DICT_GROWTH if converter is None else _DICT_GROWTH).get(len(found), _NO_GROWTH)
        # The old table and the new one are there together for a moment.
        self._memory.charge(growth[0])
        found[key] = None
        self._memory.left += growth[1]
        found[key] = self._field_value(name, depth) if depth == 1 else self.value(depth)

    def _field_value(self, name: str, depth: int) -> object:
        """Return the value of a field of the outermost map."""
        converter = self._converters.get(name)
        kind = self._data[self._position] >> 5 if self._position < self._size else _SIMPLE
        if converter is None or kind not in (_ARRAY, _MAP):
            return self.value(depth)
        self._count()
        read = self._array if kind == _ARRAY else self._map
        return read(self._first(), depth + 1, converter)

    def _name(self) -> str:
        first = self._first()
        if first >> 5 != _TEXT or first & 31 == _INDEFINITE:
            raise MalformedCborError("a map with a key that is no text")
        # Keys have a smaller bound than texts: a map has thousands of keys, and each is copied.
        data = self._raw(self._text_size(first, MAX_KEY_BYTES))
        name = self._names.get(data)
        if name is None:
            name = self._memory.decode_text(data)
            # A payload has thousands of maps with the same name.
            if len(self._names) < SHARED_NAMES and len(data) <= SHARED_NAME_BYTES:
                self._memory.charge(_BYTES_OBJECT + len(data) + _SHARED_NAME_ENTRY)
                self._names[data] = name
        return name

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedCborError("maps and arrays too deep inside one another")

    def _check_count(self, items: int) -> None:
        """Check the count of a map or an array before it is built. A count that cannot be true is refused."""
        # Each item takes at least one byte. So a count above the rest of the input is false.
        if items > self._items_left or items > self._size - self._position:
            raise MalformedCborError("too many items")
