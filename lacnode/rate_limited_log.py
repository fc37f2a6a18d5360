"""Log lines that peers and callers can cause: at most one a minute for each cause.

A peer or a caller can send any number of messages that are refused. One line for each of them would fill the disk. A line
has the number of lines that were left out since the last one. Must not decide what is a cause: the caller names it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import structlog

INTERVAL_SECONDS = 60.0
"""The time between two lines about one cause."""

MAX_CAUSES = 1024
"""Causes that are remembered. Beyond that the cause that was written longest ago is forgotten. Its next line is written at
once."""


class RateLimitedLog:
    """Writes lines to the logger `name`, at most one in `INTERVAL_SECONDS` for each cause that is remembered
    (`MAX_CAUSES`), of any level. A line has the number of lines about its cause that were left out before it
    (`left_out`), if there are some. `now` returns seconds that only grow. Safe to use from several threads."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._log = structlog.get_logger(name)
        self._now = now
        self._lock = threading.Lock()
        self._written: OrderedDict[Hashable, float] = OrderedDict()
        self._left_out: dict[Hashable, int] = {}

    def info(self, cause: Hashable, text: str, **values: object) -> None:
        """Write `text` with the fields `values` at the level INFO, unless a line about `cause` was written within the
        last minute."""
        if self._may_write(cause):
            self._log.info(text, **values, **self._left_out_since(cause))

    def warning(self, cause: Hashable, text: str, **values: object) -> None:
        """Write a warning unless a line about `cause` was written within the last minute."""
        if self._may_write(cause):
            self._log.warning(text, **values, **self._left_out_since(cause))

    def error(self, cause: Hashable, text: str, **values: object) -> None:
        """Write an error unless a line about `cause` was written within the last minute."""
        if self._may_write(cause):
            self._log.error(text, **values, **self._left_out_since(cause))

    def exception(self, cause: Hashable, text: str, **values: object) -> None:
        """Write an error with the traceback of the current exception, unless a line about `cause` was written within the
        last minute."""
        if self._may_write(cause):
            self._log.exception(text, **values, **self._left_out_since(cause))

    def _may_write(self, cause: Hashable) -> bool:
        with self._lock:
            return self._note(cause, self._now())

    def _note(self, cause: Hashable, now: float) -> bool:
        last = self._written.get(cause)
        if last is not None and now - last < INTERVAL_SECONDS:
            self._left_out[cause] = self._left_out.get(cause, 0) + 1
            return False
        # Only a written line renews the time. A cause that never stops still gets one line a minute.
        self._written[cause] = now
        self._written.move_to_end(cause)
        if len(self._written) > MAX_CAUSES:
            # Its count goes too. Otherwise a peer that names a new cause each time would fill the memory.
            forgotten, _ = self._written.popitem(last=False)
            self._left_out.pop(forgotten, None)
        return True

    def _left_out_since(self, cause: Hashable) -> dict[str, int]:
        with self._lock:
            count = self._left_out.pop(cause, 0)
        return {"left_out": count} if count else {}
