"""The block timer and the round timer. A timer that is started again drops the event that was to come.

Delays are measured on the monotonic clock of the event loop, so that a step of the wall clock neither fires nor
delays a timer. The caller turns a due time on the wall clock into a delay when it starts the timer.
"""

from collections.abc import Callable

import trio

from lacnode.consensus.bft.events import Event


class Timer:
    """One timer in `nursery`. It calls `deliver` with the event when the time is over."""

    def __init__(self, nursery: trio.Nursery, deliver: Callable[[Event], None]) -> None:
        self._nursery = nursery
        self._deliver = deliver
        self._scope: trio.CancelScope | None = None

    def start(self, seconds: float, event: Event) -> None:
        """Deliver `event` after `seconds`, instead of the event that was to come."""
        self.stop()
        # The scope is made here and not in the task: `stop` must reach a task that has not begun yet.
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._wait, self._scope, max(0.0, seconds), event)

    def stop(self) -> None:
        """Deliver nothing."""
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None

    async def _wait(self, scope: trio.CancelScope, seconds: float, event: Event) -> None:
        # A cancelled scope ends at the sleep, so `deliver` is not called for it.
        with scope:
            await trio.sleep(seconds)
            self._deliver(event)
