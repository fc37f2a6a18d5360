"""JSON texts out of a stream of bytes in which no length and no line says where one ends.

Only the ends are found here, by brackets and quotes. Must not decide whether a text is JSON.
"""

import re

MAX_DEPTH = 1_024
"""Brackets within brackets. No call has as many."""

_MARKS = re.compile(rb'["\\\[\]{}]')
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")


class JsonStreamError(ValueError):
    """The bytes are no sequence of JSON objects and arrays, or one is too long or nested too deep. The stream cannot go
    on."""


class JsonStream:
    """Collects the bytes of JSON objects and arrays. A text that is not complete may have at most `max_bytes` bytes. A
    complete text is returned even if it is longer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = bytearray()
        self._seen = 0
        self._depth = 0
        self._in_string = False

    @property
    def is_empty(self) -> bool:
        """Whether no text has begun: no byte is kept."""
        return not self._bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Add `data` to the bytes and return the texts that are complete, in order, without blanks around them. Empty
        if none is. The texts are not parsed: they may be no JSON. JsonStreamError if the bytes are no objects or
        arrays, if an incomplete text is longer than `max_bytes`, or if a text is nested too deep."""
        self._bytes += data
        found, start = [], self._begin(0)
        while start is not None and (end := self._end()) is not None:
            found.append(bytes(self._bytes[start:end]))
            start = self._begin(end)
        # Once for all texts: each deletion moves the bytes behind it.
        gone = len(self._bytes) if start is None else start
        del self._bytes[:gone]
        self._seen = max(0, self._seen - gone)
        if len(self._bytes) > self._max_bytes:
            raise JsonStreamError("too long")
        return found

    def _begin(self, position: int) -> int | None:
        """Return where the next text begins, None if only blanks are left."""
        first = _NOT_BLANK.search(self._bytes, position)
        if first is None:
            return None
        if first[0] not in (b"{", b"["):
            raise JsonStreamError("no object and no array")
        if not self._depth:
            self._seen = max(self._seen, first.start())
        return first.start()

    def _end(self) -> int | None:
        """Return the position behind the text that has begun, or None if it is not complete."""
        while (mark := _MARKS.search(self._bytes, self._seen)) is not None:
            self._seen = mark.end()
            sign = mark[0]
            if self._in_string:
                # The byte behind a backslash is a part of the string, also if it is a quote. It may not be here yet.
                self._seen += sign == b"\\"
                self._in_string = sign != b'"'
            elif sign == b'"':
                self._in_string = True
            elif sign in (b"{", b"["):
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise JsonStreamError("too deep")
            elif sign != b"\\":
                self._depth -= 1
                if self._depth == 0:
                    return self._seen
        self._seen = max(self._seen, len(self._bytes))
        return None
