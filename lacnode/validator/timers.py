"""The block timer and the round timer. A timer that is started again drops the event that was to come.

Delays are measured on the monotonic clock of the event loop, so that a step of the wall clock neither fires nor
delays a timer. The caller turns a due time on the wall clock into a delay when it starts the timer.
"""

from collections.abc import Callable

import trio

from lacnode.consensus.bft.effects import StartBlockTimer, StartRoundTimer
from lacnode.consensus.bft.events import BlockTimerExpired, Event, RoundTimerExpired


class Timer:
    """One timer in `nursery`. It calls `deliver` with the event on the event loop when the time is over. It does not
    run at first."""

    def __init__(self, nursery: trio.Nursery, deliver: Callable[[Event], None]) -> None:
        self._nursery = nursery
        self._deliver = deliver
        self._scope: trio.CancelScope | None = None

    def start(self, seconds: float, event: Event) -> None:
        """Deliver `event` after `seconds`, at once if they are negative, instead of the event that was to come."""
        self.stop()
        # The scope is made here and not in the task: `stop` must reach a task that has not begun yet.
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._wait, self._scope, max(0.0, seconds), event)

    def stop(self) -> None:
        """Cancel the timer: its event is not delivered. No effect if it does not run."""
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None

    async def _wait(self, scope: trio.CancelScope, seconds: float, event: Event) -> None:
        # A cancelled scope ends at the sleep, so `deliver` is not called for it.
        with scope:
            await trio.sleep(seconds)
            self._deliver(event)


class HeightTimers:
    """The block timer and the round timer of the height under way.

    `may_run` says whether the timers of a height may run. While they may not, this validator begins no proposal and
    ends no round at that height. `now_ms` is the wall clock in milliseconds.
    """

    def __init__(
        self,
        deliver: Callable[[Event], None],
        now_ms: Callable[[], int],
        may_run: Callable[[int], bool],
    ) -> None:
        self._deliver = deliver
        self._now_ms = now_ms
        self._may_run = may_run
        self._held: dict[type, StartBlockTimer | StartRoundTimer] = {}
        self.last_height = 0
        """The highest height whose timers have run. 0 before the first one."""

    def attach(self, nursery: trio.Nursery) -> None:
        """Run the timers in `nursery`. Call before a timer starts."""
        self._block_timer, self._round_timer = Timer(nursery, self._deliver), Timer(nursery, self._deliver)

    def start(self, effect: StartBlockTimer | StartRoundTimer) -> None:
        """Stop the timer of this kind, and start that of `effect`. If the timers of its height may not run now, keep it
        instead until `start_kept_timers` finds that they may."""
        self._timer_of(effect).stop()
        self._held[type(effect)] = effect
        self.start_kept_timers()

    def stop(self) -> None:
        """Stop both timers, and forget the timers that are kept until their height may run."""
        self._held.clear()
        self._block_timer.stop()
        self._round_timer.stop()

    def start_kept_timers(self) -> None:
        """Start the timers that `start` kept, if the timers of their height may run now. Call it when that may have
        changed."""
        for effect in list(self._held.values()):
            if self._may_run(effect.height):
                del self._held[type(effect)]
                self._run(effect)

    def _timer_of(self, effect: StartBlockTimer | StartRoundTimer) -> Timer:
        return self._block_timer if isinstance(effect, StartBlockTimer) else self._round_timer

    def _run(self, effect: StartBlockTimer | StartRoundTimer) -> None:
        self.last_height = effect.height
        if isinstance(effect, StartBlockTimer):
            # Now and not when it was kept: the clock may have moved in the meantime.
            delay = (effect.due_ms - self._now_ms()) / 1000
            self._block_timer.start(delay, BlockTimerExpired(effect.height, effect.round))
        else:
            self._round_timer.start(effect.delay_ms / 1000, RoundTimerExpired(effect.height, effect.round))
