"""Virtual time, for trio and for what is scheduled directly: what happens next is the earliest thing, ties in the order in
which they were scheduled.

Trio asks its clock how long to sleep when no task can run. This clock answers "not at all": it moves to the next thing
that is due. So a run takes no time but that of its work, and what it does depends on nothing but its seed.
"""

import heapq
import math
from collections.abc import Callable

import trio

Action = Callable[[], None]

NOISE_MS = 1e-3
"""A deadline that is less than this beyond a millisecond is meant to be at it: trio reckons in fractions of seconds."""


class Storm(AssertionError):
    """More happened than a network of honest validators and rationed liars can cause: messages beget messages."""


class VirtualClock(trio.abc.Clock):
    """`now_ms` is in milliseconds since the Unix epoch; Storm after `max_actions` actions.

    `failure` is the first exception of an action or of `fail`; `run_until` and `run_for` raise it.
    """

    def __init__(self, start_ms: int, max_actions: int) -> None:
        self.now_ms = start_ms
        self.actions = 0
        """How many actions have run."""
        self.failure: BaseException | None = None
        self._start_ms = start_ms
        self._seconds = 0.0
        self._max_actions = max_actions
        self._queue: list[tuple[int, int, Action]] = []
        self._sequence = 0
        self._watched: tuple[Callable[[], bool], trio.Event] | None = None

    # -- scheduling --------------------------------------------------------------------------------------------------

    def at(self, when_ms: int, action: Action) -> None:
        """Run `action` at `when_ms`, now if that has passed."""
        self._sequence += 1
        heapq.heappush(self._queue, (max(when_ms, self.now_ms), self._sequence, action))

    def after(self, delay_ms: int, action: Action) -> None:
        """Run `action` in `delay_ms` milliseconds."""
        self.at(self.now_ms + delay_ms, action)

    async def sleep(self, milliseconds: int) -> None:
        """Like `trio.sleep`, at a third of its cost."""
        over = trio.Event()
        self.after(milliseconds, over.set)
        await over.wait()

    def fail(self, error: BaseException) -> None:
        """End the story: whoever awaits `run_until` or `run_for` gets `error`."""
        self.failure = self.failure or error
        if self._watched is not None:
            self._watched[1].set()

    # -- letting time pass -------------------------------------------------------------------------------------------

    async def run_until(self, reached: Callable[[], bool], within_ms: int) -> bool:
        """Let time pass until `reached()`, which is asked whenever nothing more happens at one moment; False if
        `within_ms` milliseconds were not enough."""
        changed = trio.Event()
        self._watched = reached, changed
        self.after(within_ms, changed.set)
        if self.failure is None and not reached():
            await changed.wait()
        self._watched = None
        if self.failure is not None:
            raise self.failure
        return reached()

    # -- what trio asks ----------------------------------------------------------------------------------------------

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        return self._seconds

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No task can run: see whether the story goes on, or move to what is next."""
        if self._watched is not None and self._watched[0]():
            self._watched[1].set()
            self._watched = None
            return 0
        due_ms = self._queue[0][0] if self._queue else math.inf
        deadline_ms = self._start_ms + math.ceil(deadline * 1000 - NOISE_MS) if deadline < math.inf else math.inf
        if due_ms == deadline_ms == math.inf:
            raise AssertionError("nothing can happen any more, and the story has no end")
        self.now_ms = max(self.now_ms, int(min(due_ms, deadline_ms)))
        self._seconds = max(self._seconds, (self.now_ms - self._start_ms) / 1000)
        if deadline_ms <= self.now_ms:
            self._seconds = max(self._seconds, deadline)
        self._run_due()
        return 0

    def _run_due(self) -> None:
        while self._queue and self._queue[0][0] <= self.now_ms and self.failure is None:
            self.actions += 1
            _, _, action = heapq.heappop(self._queue)
            try:
                if self.actions > self._max_actions:
                    raise Storm(f"more than {self._max_actions} deliveries and timers, {len(self._queue)} are waiting")
                action()
            except Exception as error:
                self.fail(error)
