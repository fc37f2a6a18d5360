"""Virtual time: what happens next is the earliest thing scheduled, ties in the order they were scheduled."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Storm(AssertionError):
    """More happened than a network of honest validators and rationed liars can cause: messages beget messages."""


class VirtualClock:
    """Milliseconds since the Unix epoch, moved only by running what is due; Storm after `max_actions` of them."""

    def __init__(self, start_ms: int, max_actions: int) -> None:
        self.now_ms = start_ms
        self.actions = 0
        """How many actions have run."""
        self._max_actions = max_actions
        self._queue: list[tuple[int, int, Action]] = []
        self._sequence = 0

    def at(self, when_ms: int, action: Action) -> None:
        """Run `action` at `when_ms`, now if that has passed."""
        self._sequence += 1
        heapq.heappush(self._queue, (max(when_ms, self.now_ms), self._sequence, action))

    def after(self, delay_ms: int, action: Action) -> None:
        """Run `action` in `delay_ms` milliseconds."""
        self.at(self.now_ms + delay_ms, action)

    def step(self, until_ms: int) -> bool:
        """Run the next action if it is due by `until_ms`; False (and the time there) if there is none."""
        if not self._queue or self._queue[0][0] > until_ms:
            self.now_ms = max(self.now_ms, until_ms)
            return False
        self.now_ms, _, action = heapq.heappop(self._queue)
        self.actions += 1
        if self.actions > self._max_actions:
            raise Storm(f"more than {self._max_actions} deliveries and timers, {len(self._queue)} more are waiting")
        action()
        return True
