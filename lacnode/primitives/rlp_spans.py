"""The positions of items in encoded RLP, without an object for each item.

It is for long values of which few items are needed. Do not use it on bytes that the general decoder (`rlp`) neither has
checked nor will check, unless each item is checked here.
"""

from collections.abc import Iterator
from itertools import islice

EMPTY_LIST = 0xC0


def list_span(encoded: bytes, at: int) -> tuple[int, int] | None:
    """The first byte of the content of the list that begins at byte `at`, and the first byte after it.

    None if there is no list in minimal encoding, or if it ends after `encoded`. The items are not checked.
    """
    if at >= len(encoded) or encoded[at] < EMPTY_LIST:
        return None
    first = encoded[at]
    if first < 0xF8:
        start, size = at + 1, first - EMPTY_LIST
    else:
        start = at + 1 + first - 0xF7
        size = int.from_bytes(encoded[at + 1 : start])
        if start > len(encoded) or size < 56 or encoded[at + 1] == 0:
            # A length below 56 has a shorter form, and a leading zero in the length is padding.
            return None
    return None if start + size > len(encoded) else (start, start + size)


def item_end(encoded: bytes, at: int) -> int:
    """The first byte after the item that begins at byte `at`, by its header alone. It may be after the end of
    `encoded`. `at` is inside `encoded`."""
    first = encoded[at]
    if first < 0x80:
        return at + 1
    if first < 0xB8 or EMPTY_LIST <= first < 0xF8:
        return at + 1 + (first & 0x3F)
    width = first - (0xB7 if first < EMPTY_LIST else 0xF7)
    return at + 1 + width + int.from_bytes(encoded[at + 1 : at + 1 + width])


def _item_spans(encoded: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """The start and the end of each item from `at` up to `end`. The last one may end after `end`."""
    while at < end:
        stop = item_end(encoded, at)
        yield at, stop
        at = stop


def encoded_list_length(content_bytes: int) -> int:
    """The length in bytes of the RLP of a list, header included, whose encoded items have `content_bytes` bytes together."""
    return content_bytes + 1 + ((content_bytes.bit_length() + 7) // 8 if content_bytes >= 56 else 0)


def encoded_items_of(encoded: bytes) -> Iterator[bytes]:
    """Yield the encoded items of a list that this node has encoded itself. Raises ValueError, at the first item, if it
    is not a list."""
    span = list_span(encoded, 0)
    if span is None:
        raise ValueError("a list was expected")
    for at, stop in _item_spans(encoded, *span):
        yield encoded[at:stop]


def split_list(encoded: bytes, max_items: int) -> list[bytes] | None:
    """The encoded items of the list that `encoded` is. None if it is no list in minimal encoding, does not fill
    `encoded`, or has more than `max_items` items.

    The items themselves are not checked. Decode each one with `rlp.decode`.
    """
    span = list_span(encoded, 0)
    if span is None or span[1] != len(encoded):
        return None
    start, end = span
    spans = list(islice(_item_spans(encoded, start, end), max_items))
    # The last item may end after the list, and there may be more than `max_items`.
    if (spans[-1][1] if spans else start) != end:
        return None
    return [encoded[at:stop] for at, stop in spans]


def content_of_string(encoded: bytes) -> bytes:
    """The bytes of a byte string whose RLP `encoded` this node has made itself. Nothing is checked."""
    first = encoded[0]
    if first < 0x80:
        return encoded
    return encoded[1 if first < 0xB8 else 1 + first - 0xB7 :]
