"""What requests cost the event loop, and who waits for it."""

import pytest
import trio
from trio.testing import MockClock

from lacnode.rpc.dispatch import Reply, Steps
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.time_share import TimeShare


class NoReaders:
    async def read(self, call: ReadCall, client: str) -> object:
        raise AssertionError("nothing is read here")

    async def run(self) -> None:
        """Nothing has to be kept in order."""


def at_once() -> Steps:
    """An answer without a step."""
    yield from ()
    return Reply(b"{}")


async def test_the_bytes_of_a_request_count_for_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = list[float]()
    monkeypatch.setattr(TimeShare, "spend", lambda share, seconds: spent.append(seconds))
    runner = RequestRunner(NoReaders())
    for size in (10, 5_000_000):
        await runner.run(b" " * size, at_once(), "10.0.0.1")
    short, _, long, _ = spent
    assert long > short + 0.02


async def seconds_of(runner: RequestRunner, size: int, client: str) -> float:
    began = trio.current_time()
    await runner.run(b" " * size, at_once(), client)
    return trio.current_time() - began


async def test_long_requests_wait_for_those_before_them_and_short_ones_do_not(autojump_clock: MockClock) -> None:
    runner = RequestRunner(NoReaders())
    waits = [await seconds_of(runner, 5_000_000, "10.0.0.1") for _ in range(10)]
    assert sum(waits) > 4
    assert await seconds_of(runner, 1_000, "10.0.0.1") < 0.5
    assert await seconds_of(runner, 100_000, "10.0.0.2") < 0.5, "another address waits for the first one"
