"""What requests cost the event loop, and who waits for it."""

import pytest

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
