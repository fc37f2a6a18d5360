"""Which coding a response is compressed with, and compressing it. Must not run on the event loop for a long body."""

import gzip
import zlib

from lacnode.http.http_messages import Request

MIN_COMPRESSED_BYTES = 1400
"""Bytes from which a response is compressed for clients that accept it: a shorter one is a single packet in any case.
"""


def choose_coding(head: Request | None, body: bytes) -> str | None:
    """Return the coding to compress `body` with, `gzip` or `deflate`, by the `Accept-Encoding` of its request. A coding
    with a weight (`q`) above 0, or without one, is accepted. gzip comes first if both are, also with the lower weight.

    None for no compression: the header names neither as accepted (`*` names none), the body is shorter than
    `MIN_COMPRESSED_BYTES`, or `head` is None (the request could not be read).
    """
    if head is None or len(body) < MIN_COMPRESSED_BYTES:
        return None
    accepted = head.headers.get("accept-encoding", "")
    for coding in ("gzip", "deflate"):
        for choice in accepted.lower().split(","):
            name, _, weight = choice.partition(";")
            if name.strip() == coding and weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
                return coding
    return None


def compress(body: bytes, coding: str) -> bytes:
    """Return `body` in `coding`, which is `gzip` or `deflate`, with the fastest level. It takes long for a long body:
    run it in a thread."""
    return gzip.compress(body, 1) if coding == "gzip" else zlib.compress(body, 1)
