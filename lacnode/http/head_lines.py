"""Counts the lines of the head of a request while it arrives. Must not look at a byte twice: a client may send a head byte
by byte."""

import re

import h11

MAX_HEAD_LINES = 100
"""Lines of a head. A head of thousands of short lines takes 10 milliseconds to read, and no other task runs
meanwhile."""

_END, _BEGUN_END = re.compile(rb"\n\r?\n"), re.compile(rb"\n\r?\Z")


class HeadLineCounter:
    """Counts the lines of the head of one request in the bytes as they arrive, before `h11` reads them. Make a new
    counter for each request."""

    # h11 parses a head in one step, when all of it is here. So the lines are counted in the bytes that wait, before that
    # step.

    def __init__(self) -> None:
        self._lines = 0
        self._begun_end = b""
        self._is_complete = False

    def count_lines(self, data: bytes) -> None:
        """Count the lines in `data`, which follows the bytes of the calls before. The first line of the request and the
        body after the head do not count.

        h11.RemoteProtocolError (status 431) if there are more than `MAX_HEAD_LINES`.
        """
        if self._is_complete:
            return
        # What may be the first part of the end waits for the next bytes. So a head counts alike in any parts.
        joined = self._begun_end + data
        end = _END.search(joined) or _BEGUN_END.search(joined)
        counted = len(joined) if end is None else end.start()
        self._lines += joined.count(b"\n", 0, counted)
        self._begun_end = joined[counted:]
        self._is_complete = end is not None and end.re is _END
        if self._lines > MAX_HEAD_LINES:
            raise h11.RemoteProtocolError(f"more than {MAX_HEAD_LINES} lines in the head", error_status_hint=431)
