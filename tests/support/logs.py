"""What is logged, without what a network that other tests of the process share says meanwhile."""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import LogCapture

NETWORK_THREAD = "lacnode"
"""In which the network of the fixture `lacnode_network` runs, for as long as the process."""

Entries = list[MutableMapping[str, Any]]


@contextmanager
def captured_logs() -> Iterator[Entries]:
    """Like structlog's `capture_logs`, of every thread but the one in which the shared network runs."""
    with _captured(lambda: threading.current_thread().name != NETWORK_THREAD) as logs:
        yield logs


@contextmanager
def logs_of_this_thread() -> Iterator[Entries]:
    """Like structlog's `capture_logs`, for code that logs in the thread that calls it."""
    own = threading.get_ident()
    with _captured(lambda: threading.get_ident() == own) as logs:
        yield logs


@contextmanager
def _captured(is_wanted: Callable[[], bool]) -> Iterator[Entries]:
    """structlog's own empties the list of processors that every thread goes through, and fills it again: who logs in
    between fails. Here the list is exchanged for another."""
    capture, before = LogCapture(), structlog.get_config()["processors"]

    def only_wanted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if not is_wanted():
            raise structlog.DropEvent
        return event

    structlog.configure(processors=[only_wanted, capture])
    try:
        yield capture.entries
    finally:
        structlog.configure(processors=before)
