"""Timers of a height that may not run yet: nothing fires before it may, and then the clock of that moment counts."""

import trio
import trio.testing

from lacnode.consensus.bft.effects import StartBlockTimer, StartRoundTimer
from lacnode.consensus.bft.events import BlockTimerExpired, Event, RoundTimerExpired
from lacnode.validator.timers import HeightTimers


class Stage:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.heard: list[Event] = []
        self.permitted, self.now_ms = 1, 0
        self.timers = HeightTimers(self.heard.append, lambda: self.now_ms, lambda h: h <= self.permitted)
        self.timers.attach(nursery)


async def test_a_held_height_fires_only_when_it_may(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stage = Stage(nursery)
        stage.timers.start(StartRoundTimer(2, 0, 4_000))
        stage.timers.start(StartBlockTimer(2, 0, 1_000))
        await trio.sleep(3_600)
        assert stage.heard == []
        assert stage.timers.last_height == 0
        stage.permitted = 2
        stage.now_ms = 900
        stage.timers.start_kept_timers()
        await trio.sleep(0.11)
        assert stage.heard == [BlockTimerExpired(2, 0)]
        await trio.sleep(4)
        assert stage.heard == [BlockTimerExpired(2, 0), RoundTimerExpired(2, 0)]
        assert stage.timers.last_height == 2


async def test_stop_forgets_held_timers(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stage = Stage(nursery)
        stage.timers.start(StartRoundTimer(2, 0, 0))
        stage.timers.stop()
        stage.permitted = 2
        stage.timers.start_kept_timers()
        await trio.sleep(1)
        assert stage.heard == []
