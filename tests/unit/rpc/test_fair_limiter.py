"""Turns round robin over addresses, and shares of the time."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from lacnode.rpc.errors import BusyError
from lacnode.rpc.fair_limiter import FairLimiter
from lacnode.rpc.time_share import TimeShare


class Crowd:
    """Clients that take turns, each of which ends when it is told to."""

    def __init__(self, limiter: FairLimiter, nursery: trio.Nursery) -> None:
        self.served: list[str] = []
        self.refused: list[int] = []
        self._limiter = limiter
        self._nursery = nursery
        self._end = trio.Event()

    async def ask(self, client: str, cancel_scope: trio.CancelScope | None = None) -> None:
        self._nursery.start_soon(self._take_turn, client, cancel_scope or trio.CancelScope())
        await wait_all_tasks_blocked()

    async def end_turns(self, turns: int) -> None:
        for _ in range(turns):
            end, self._end = self._end, trio.Event()
            end.set()
            await wait_all_tasks_blocked()

    async def _take_turn(self, client: str, cancel_scope: trio.CancelScope) -> None:
        with cancel_scope:
            try:
                async with self._limiter.turn(client):
                    self.served.append(client)
                    await self._end.wait()
            except BusyError as error:
                self.refused.append(error.status)


class TestTurns:
    async def test_go_round_over_addresses_and_in_order_inside_one(self) -> None:
        async with trio.open_nursery() as nursery:
            crowd = Crowd(FairLimiter(1), nursery)
            for client in ("a", "a", "a", "a", "b", "c", "b"):
                await crowd.ask(client)
            await crowd.end_turns(7)
            assert crowd.served == ["a", "a", "b", "c", "a", "b", "a"]

    async def test_that_cannot_wait_are_refused_at_once(self) -> None:
        async with trio.open_nursery() as nursery:
            crowd = Crowd(FairLimiter(1, per_client=2, total=3), nursery)
            for client in ("a", "a", "a", "a"):
                await crowd.ask(client)
            assert crowd.refused == [429]
            await crowd.ask("b")
            await crowd.ask("b")
            assert crowd.refused == [429, 503]
            await crowd.end_turns(4)
            assert crowd.served == ["a", "a", "b", "a"]

    async def test_that_wait_too_long_are_refused(self, autojump_clock: trio.testing.MockClock) -> None:
        limiter = FairLimiter(1, wait_seconds=10.0)
        async with trio.open_nursery() as nursery:
            crowd = Crowd(limiter, nursery)
            await crowd.ask("a")
            await crowd.ask("b")
            await trio.sleep(10.1)
            assert crowd.refused == [503]
            await crowd.end_turns(1)
            async with limiter.turn("c"):
                pass

    async def test_of_a_client_that_gave_up_goes_to_the_next(self) -> None:
        async with trio.open_nursery() as nursery:
            crowd, leaving = Crowd(FairLimiter(1), nursery), trio.CancelScope()
            await crowd.ask("a")
            await crowd.ask("b", leaving)
            await crowd.ask("c")
            leaving.cancel()
            await wait_all_tasks_blocked()
            await crowd.end_turns(2)
            assert crowd.served == ["a", "c"]

    async def test_is_not_lost_where_the_client_gives_up_as_it_gets_one(self) -> None:
        async with trio.open_nursery() as nursery:
            limiter, leaving = FairLimiter(1), trio.CancelScope()
            crowd = Crowd(limiter, nursery)
            await crowd.ask("a")
            await crowd.ask("b", leaving)
            crowd._end.set()
            leaving.cancel()
            await wait_all_tasks_blocked()
            with trio.fail_after(1):
                async with limiter.turn("c"):
                    pass


class TestShare:
    def test_of_the_time_is_what_work_gets(self) -> None:
        now = [100.0]
        share = TimeShare(0.25, 1.0, lambda: now[0])
        assert share.delay_seconds() == 0
        share.spend(1.0)
        assert share.delay_seconds() == 0
        share.spend(0.5)
        assert share.delay_seconds() == pytest.approx(2.0)
        now[0] += 1.0
        assert share.delay_seconds() == pytest.approx(1.0)

    def test_that_is_saved_up_has_a_bound(self) -> None:
        now = [100.0]
        share = TimeShare(0.25, 1.0, lambda: now[0])
        now[0] += 1e6
        share.spend(2.0)
        assert share.delay_seconds() == pytest.approx(4.0)
