"""What is logged, without what a network that other tests of the process share says meanwhile."""

import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs


@contextmanager
def logs_of_this_thread() -> Iterator[list[MutableMapping[str, Any]]]:
    """Like structlog's `capture_logs`, for code that logs in the thread that calls it."""
    own = threading.get_ident()

    def only_own(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if threading.get_ident() != own:
            raise structlog.DropEvent
        return event

    with capture_logs([only_own]) as logs:
        yield logs
