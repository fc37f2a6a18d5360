"""The block timer and the round timer. Starting one cancels its predecessor.

Delays are measured on the event loop's monotonic clock, so that a step of the wall clock neither fires nor starves a
round; a due time on the wall clock is turned into a delay at the moment it is asked for.
"""

from collections.abc import Callable

import trio

from lacnode.consensus.events import Event


class Timer:
    """One timer in `nursery`; `deliver` is called with the event when it runs out."""

    def __init__(self, nursery: trio.Nursery, deliver: Callable[[Event], None]) -> None:
        self._nursery = nursery
        self._deliver = deliver
        self._scope: trio.CancelScope | None = None

    def start(self, seconds: float, event: Event) -> None:
        """Deliver `event` after `seconds`, instead of whatever was to come."""
        self.stop()
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._wait, self._scope, max(0.0, seconds), event)

    def stop(self) -> None:
        """Deliver nothing."""
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None

    async def _wait(self, scope: trio.CancelScope, seconds: float, event: Event) -> None:
        with scope:
            await trio.sleep(seconds)
            self._deliver(event)
