"""JSON from outside. It is parsed only if it has few values, because each value takes up to 100 bytes of memory."""

import orjson

MAX_VALUES = 16_384
"""The largest number of values in one document. The characters that separate values are counted."""

FREE_VALUES, BYTES_PER_VALUE = 1_024, 16
"""A document may have the free values, and one more for this many bytes."""


def parse_bounded_json(data: bytes) -> object:
    """Return the value of the JSON document `data`. ValueError if it is not JSON or has more values than its size allows.
    Separators inside texts count as values."""
    # The count comes before the parser, which would build all values first. Separators inside texts count too: that can
    # refuse a document, but it never lets one through.
    largest = min(MAX_VALUES, FREE_VALUES + len(data) // BYTES_PER_VALUE)
    if sum(map(data.count, (b",", b"[", b"{"))) > largest:
        raise ValueError(f"at most {largest} values were expected in {len(data)} bytes")
    return orjson.loads(data)
