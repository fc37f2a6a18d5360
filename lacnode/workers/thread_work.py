"""Runs one piece of work in a thread, with less around it than `trio.to_thread`: no limiter, no copy of the context.

For work of some microseconds, of which there are thousands a second. The caller bounds how much of it runs at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")


class ThreadWork(Generic[T]):
    """`work` in a thread of its own, which begins when this object is made. `when_done` is called on the event loop
    when the work has ended, also if it failed, and if no task waits for it. It must not raise. Nothing is called once
    the loop has ended. Make it on the event loop. RuntimeError if the system gives no thread."""

    def __init__(self, work: Callable[[], T], when_done: Callable[[], object]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._when_done = when_done
        self._outcome: Outcome[T] | None = None
        self._task: trio.lowlevel.Task | None = None
        trio.lowlevel.start_thread_soon(work, self._deliver)

    async def result(self) -> T:
        """Wait for the end of the work. Return its result or raise its error. One task may wait. A cancelled caller
        does not wait: the work goes on, and its result is dropped."""
        if self._outcome is None:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        assert self._outcome is not None
        return self._outcome.unwrap()

    def _abandon(self, raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _deliver(self, outcome: Outcome[T]) -> None:
        try:
            self._token.run_sync_soon(self._done, outcome)
        except trio.RunFinishedError:
            # The node has stopped while the work ran.
            return

    def _done(self, outcome: Outcome[T]) -> None:
        self._outcome = outcome
        self._when_done()
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
