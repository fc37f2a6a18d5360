"""Work that takes virtual time: executions and writes to a disk.

Blocking work cannot wait for virtual time in its middle. So what takes time says so by raising `TimePasses` before it
does anything; the worker waits and calls the work again, which then goes on.
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import TypeVar

import trio

from lacnode.evm.budget import ExecutionBudget, ExecutionInterruptedError
from tests.simulation.clock import VirtualClock

T = TypeVar("T")

GRAIN_MS = 100
"""How often an execution looks whether it should stop."""


class TimePasses(BaseException):
    """`milliseconds` must pass before the work can go on, unless `budget` ends it: then `given_up` is called. No error, so
    no `except Exception` takes it for one."""

    def __init__(self, milliseconds: int, budget: ExecutionBudget, given_up: Callable[[], None]) -> None:
        self.milliseconds = milliseconds
        self.budget = budget
        self.given_up = given_up


class Effort:
    """The time that pieces of work take. `slowness()` stretches it."""

    def __init__(self, slowness: Callable[[], float]) -> None:
        self._slowness = slowness
        self._spent: set[Hashable] = set()

    def spend(self, work: Hashable, milliseconds: int, budget: ExecutionBudget) -> None:
        """Return if the time for `work` has passed; TimePasses if not, after which it has."""
        budget.check()
        needed = round(milliseconds * self._slowness())
        if work not in self._spent and needed > 0:
            self._spent.add(work)
            raise TimePasses(needed, budget, lambda: self._spent.discard(work))
        self._spent.discard(work)


class VirtualWorker:
    """A worker of one thread. Each piece of work begins after `delay_ms()` milliseconds."""

    def __init__(self, clock: VirtualClock, delay_ms: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self._delay_ms = delay_ms
        self._busy = False
        self._waiting: deque[trio.Event] = deque()

    async def run(self, work: Callable[[], T]) -> T:
        await self._take_turn()
        try:
            delay = self._delay_ms()
            if delay > 0:
                await self._clock.sleep(delay)
            while True:
                try:
                    return work()
                except TimePasses as passing:
                    time_passes = passing
                await self._pass_time(time_passes)
        finally:
            self._pass_turn()

    async def _pass_time(self, passing: TimePasses) -> None:
        """Wait, and look now and then whether the work should stop, as an execution does."""
        left_ms = passing.milliseconds
        try:
            while left_ms > 0:
                await self._clock.sleep(min(left_ms, GRAIN_MS))
                left_ms -= GRAIN_MS
                passing.budget.check()
        except ExecutionInterruptedError:
            passing.given_up()
            raise

    async def _take_turn(self) -> None:
        while self._busy:
            turn = trio.Event()
            self._waiting.append(turn)
            await turn.wait()
        self._busy = True

    def _pass_turn(self) -> None:
        self._busy = False
        if self._waiting:
            self._waiting.popleft().set()
