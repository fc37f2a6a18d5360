"""JSON from outside. It is parsed only if it has few values, because each value takes up to 100 bytes of memory."""

import orjson

MAX_VALUES = 16_384
"""The largest number of values in one document. The characters that separate values are counted."""

FREE_VALUES, BYTES_PER_VALUE = 1_024, 16
"""A document may have the free values, and one more for this many bytes."""

COUNTED_AT_ONCE_BYTES = 1_048_576
"""The part of a document in which values are counted at once. Other threads have a turn after each part."""


def parse_bounded_json(data: bytes, max_values: int | None = None) -> object:
    """Return the value of the JSON document `data`. ValueError if it is not JSON or has more than `max_values` values.
    With None the size of the document decides how many it may have. Separators inside texts count as values."""
    # The count comes before the parser, which would build all values first. Separators inside texts count too: that can
    # refuse a document, but it never lets one through.
    largest = min(MAX_VALUES, FREE_VALUES + len(data) // BYTES_PER_VALUE) if max_values is None else max_values
    if _has_more_separators(data, largest):
        raise ValueError(f"at most {largest} values were expected in {len(data)} bytes")
    return orjson.loads(data)


def _has_more_separators(data: bytes, most: int) -> bool:
    count = 0
    for start in range(0, len(data), COUNTED_AT_ONCE_BYTES):
        count += sum(data.count(separator, start, start + COUNTED_AT_ONCE_BYTES) for separator in (b",", b"[", b"{"))
        if count > most:
            return True
    return False
