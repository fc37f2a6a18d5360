"""`time.monotonic` for production code that runs in a story: virtual there, real in every other thread."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Time:
    """The module `time` with another `monotonic` for one thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._thread = threading.get_ident()

    def monotonic(self) -> float:
        return self._monotonic() if threading.get_ident() == self._thread else time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def monotonic_time(now_seconds: Callable[[], float]) -> Iterator[None]:
    """All modules of the node see `now_seconds` as the monotonic clock, in this thread."""
    users = [module for name, module in list(sys.modules.items()) if name.startswith("lacnode.")]
    users = [module for module in users if getattr(module, "time", None) is time]
    replacement = _Time(now_seconds)
    for module in users:
        module.time = replacement  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in users:
            module.time = time  # type: ignore[attr-defined]
