"""The event loop of a node, as worker threads reach it.

One object is made before the event loop runs, so that everything that is built can hold it. Must not start threads.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import structlog
import trio

log = structlog.get_logger("node")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class EventLoop:
    """The event loop of a node, for calls from worker threads. Safe to use from several threads.

    The loop is known once `attach` was called. Before that, `call_soon` drops its work, `call` runs its work at once in
    the calling thread, and `run` must not be used.
    """

    def __init__(self) -> None:
        self._token: trio.lowlevel.TrioToken | None = None

    def attach(self) -> None:
        """Use the event loop that runs now. It must be called on this loop. RuntimeError if none runs."""
        self._token = trio.lowlevel.current_trio_token()

    def call_soon(self, work: Callable[[*Arguments], object], *arguments: *Arguments) -> None:
        """Call `work` with `arguments` on the event loop soon. Return at once, without its result. Nothing happens
        before `attach` and after the loop has ended. `work` must not raise: its error would end the node."""
        if self._token is None:
            return
        try:
            self._token.run_sync_soon(work, *arguments)
        except trio.RunFinishedError:
            log.debug("an event was dropped, because the node has stopped")

    @property
    def is_attached(self) -> bool:
        """Whether `attach` was called, so that the event loop is known. It may have ended since."""
        return self._token is not None

    def run(self, work: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
        """Run the asynchronous `work` with `arguments` on the event loop from a worker thread, and wait. Return its
        result or raise its error. `attach` must have been called. RuntimeError in the thread of the loop itself.
        trio.RunFinishedError if the loop has ended."""
        return trio.from_thread.run(work, *arguments, trio_token=self._token)

    def call(self, work: Callable[[], T]) -> T:
        """Call `work` on the event loop from a worker thread, and wait. Return its result or raise its error. Before
        `attach`, `work` is called at once in this thread. RuntimeError in the thread of the loop itself.
        trio.RunFinishedError if the loop has ended."""
        if self._token is None:
            return work()
        return trio.from_thread.run_sync(work, trio_token=self._token)
