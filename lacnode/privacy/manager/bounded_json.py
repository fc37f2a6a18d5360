"""JSON from outside. It is parsed only if it has few values, because each value takes up to 100 bytes of memory."""

import orjson

MAX_VALUES = 16_384
"""The largest number of values in one document. The characters that separate values are counted."""


def parse_bounded_json(data: bytes) -> object:
    """Return the value of the JSON document `data`. ValueError if it is not JSON or has more than `MAX_VALUES` values.
    Separators inside texts count as values."""
    # The count comes before the parser, which would build all values first. Separators inside texts count too: that can
    # refuse a document, but it never lets one through.
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"at most {MAX_VALUES} values were expected")
    return orjson.loads(data)
