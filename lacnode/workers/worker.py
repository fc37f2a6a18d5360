"""Workers run blocking work outside the event loop.

A node uses threads. The simulator uses a worker that runs the work at once after a virtual delay. A worker does not choose
work and does not reorder it: work starts in the order in which it was given.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class Worker(Protocol):
    """Runs blocking work outside of the event loop, one piece after the other in the order in which it was given."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` and return its result, or raise its error.

        A cancelled caller waits until `work` has ended, unless `work` had not begun or the worker abandons work on cancel.
        """


class ThreadWorker:
    """A `Worker` with one thread at a time. Further work waits for it.

    With `abandons_on_cancel` a cancelled caller does not wait. The work goes on in its thread, its result is dropped,
    and the next work waits until it has ended.
    """

    def __init__(self, *, abandons_on_cancel: bool = False) -> None:
        self._limiter = trio.CapacityLimiter(1)
        self._abandons_on_cancel = abandons_on_cancel

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread and return its result, or raise its error. A cancelled caller waits until `work` has
        ended, unless it had not begun or `abandons_on_cancel` is set."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=self._abandons_on_cancel)
