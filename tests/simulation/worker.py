"""Work that takes virtual time: executions and writes to a disk.

Blocking work cannot wait for virtual time in its middle. So what takes time says so by raising `TimePasses` before it
does anything; the worker waits and calls the work again, which goes on from where the time has passed.
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
    """`milliseconds` must pass before the work can go on. No error, so no `except Exception` takes it for one."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds


class Effort:
    """The time that pieces of work take, each spent little by little. `slowness()` stretches it."""

    def __init__(self, slowness: Callable[[], float]) -> None:
        self._slowness = slowness
        self._left_ms: dict[Hashable, int] = {}

    def spend(self, work: Hashable, milliseconds: int, budget: ExecutionBudget) -> None:
        """Return once `milliseconds` have been spent on `work`; TimePasses until then. ExecutionInterruptedError when
        `budget` says so, and what was spent is lost."""
        try:
            budget.check()
        except ExecutionInterruptedError:
            self._left_ms.pop(work, None)
            raise
        left = self._left_ms.get(work)
        if left is None:
            left = round(milliseconds * self._slowness())
        if left == 0:
            self._left_ms.pop(work, None)
            return
        step = min(left, GRAIN_MS)
        self._left_ms[work] = left - step
        raise TimePasses(step)


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
                    wait_ms = passing.milliseconds
                await self._clock.sleep(wait_ms)
        finally:
            self._pass_turn()

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
