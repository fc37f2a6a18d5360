"""One place where blocking work runs, given to the part of the node that has the work.

A node gives threads; the simulator gives a worker that runs the work at once after a virtual delay. Must not decide what
runs, and must not reorder: work that waits for one worker starts in the order in which it was given.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class Worker(Protocol):
    """Runs blocking work, one piece after the other."""

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. A cancelled caller waits until `work` has ended, unless it had not begun or the
        worker lets go of work."""


class ThreadWorker:
    """A worker that is one thread. With `lets_go` a cancelled caller does not wait: the work goes on, its result is
    lost, and the next work waits until it has ended."""

    def __init__(self, *, lets_go: bool = False) -> None:
        self._limiter = trio.CapacityLimiter(1)
        self._lets_go = lets_go

    async def run(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=self._lets_go)
