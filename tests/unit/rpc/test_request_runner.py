"""What requests cost the event loop, and who waits for it."""

import itertools
import json
import sys
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import orjson
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lacnode.rpc.dispatch import Dispatcher, Pause, Reply, Steps
from lacnode.rpc.errors import BusyError
from lacnode.rpc.method_registry import Method, MethodRegistry
from lacnode.rpc.read_calls import ReadCall, ReadContext
from lacnode.rpc.request_runner import QUICK_REQUEST_BYTES, WORKER_THREADS, RequestRunner
from lacnode.rpc.services import RpcServices
from lacnode.rpc.time_share import TimeShare
from lacnode.rpc.waiting_memory import estimate_parsed_bytes
from lacnode.storage.storage_errors import StorageError
from tests.support.logs import captured_logs


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


def quick() -> Steps:
    """An answer of a quick method."""
    yield from ()
    return Reply(b"quick")


def slow() -> Steps:
    """An answer of a method that needs a thread."""
    yield Pause.THREAD
    return Reply(str(threading.get_ident()).encode())


async def test_a_quick_method_is_answered_by_the_event_loop_and_any_other_in_a_thread() -> None:
    runner = RequestRunner(NoReaders())
    assert runner.answer_at_once(b"{}", quick()) == Reply(b"quick")
    steps = slow()
    assert runner.answer_at_once(b"{}", steps) is None
    with trio.fail_after(60):
        assert await runner.run(b"{}", steps, "10.0.0.1") != Reply(str(threading.get_ident()).encode())


async def test_a_long_text_is_not_parsed_on_the_event_loop() -> None:
    runner, steps = RequestRunner(NoReaders()), quick()
    assert runner.answer_at_once(b" " * (QUICK_REQUEST_BYTES + 1), steps) is None
    with trio.fail_after(60):
        assert await runner.run(b"", steps, "10.0.0.1") == Reply(b"quick")


async def test_a_flood_of_quick_calls_waits(autojump_clock: MockClock) -> None:
    runner = RequestRunner(NoReaders())
    answered = 0
    while runner.answer_at_once(b"{}", quick()) is not None:
        answered += 1
        runner.charge_unusual_request()
        assert answered < 100_000
    assert answered > 1_000


SEARCH = b'{"jsonrpc":"2.0","id":1,"method":"privx_findFlexiblePrivacyGroup","params":[[]]}'
ESCAPED_SEARCH = SEARCH.replace(b"privx_f", b"priv\\u0078_f")
SEND = b'{"jsonrpc":"2.0","id":1,"method":"eea_sendRawTransaction","params":["0x"]}'


@pytest.mark.parametrize("request_text", [SEARCH, ESCAPED_SEARCH])
async def test_searches_for_groups_do_not_hold_the_threads_of_others(request_text: bytes) -> None:
    """Any stranger makes contracts that answer late. Searches used to wait for them, and for each other, in all threads."""
    runner, may_end = RequestRunner(NoReaders()), threading.Event()

    def searching() -> Steps:
        yield Pause.THREAD
        assert may_end.wait(60)
        return Reply(b"found")

    async with trio.open_nursery() as nursery:
        for _ in range(2 * WORKER_THREADS):
            nursery.start_soon(runner.run, request_text, searching(), "10.0.0.1")
        await wait_all_tasks_blocked()
        try:
            with trio.fail_after(60):
                for other in (SEND, b"{}"):
                    await runner.run(other, slow(), "10.0.0.1")
                assert not may_end.is_set()
        finally:
            may_end.set()


async def test_the_time_of_searches_for_groups_is_not_taken_from_sends(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contracts of one search may compute for seconds."""
    monkeypatch.setattr("lacnode.rpc.request_runner.time.thread_time", itertools.count(step=5.0).__next__)
    runner = RequestRunner(NoReaders())
    await runner.run(SEARCH, at_once(), "10.0.0.1")
    began = trio.current_time()
    await runner.run(SEND, at_once(), "10.0.0.1")
    assert trio.current_time() - began < 1
    began = trio.current_time()
    await runner.run(SEARCH, at_once(), "10.0.0.1")
    assert trio.current_time() - began > 10


class BusyReaders(NoReaders):
    """Readers that are busy until `may_answer` is set. `waiting` tells of each call that waits."""

    def __init__(self) -> None:
        self.may_answer = trio.Event()
        self.send_waiting, self.waiting = trio.open_memory_channel[str](10)

    async def read(self, call: ReadCall, client: str) -> object:
        self.send_waiting.send_nowait(client)
        await self.may_answer.wait()
        return b"read"


def reading() -> Steps:
    """An answer of a reader. It says why it was refused."""
    try:
        result = yield ReadCall(handler=lambda *_: None, params=[])
    except BusyError as error:
        return Reply(b"", status=error.status)
    assert isinstance(result, bytes)
    return Reply(result)


@pytest.mark.parametrize("character", ["\\ud83d\\ude00", "\N{GRINNING FACE}"], ids=["escaped", "plain"])
def test_a_text_with_a_wide_character_counts_four_times(character: str) -> None:
    text = f'["{"a" * 100_000}{character}"]'.encode()
    assert estimate_parsed_bytes(text) > sys.getsizeof(orjson.loads(text)[0]) > 400_000


async def test_parsed_requests_that_wait_for_a_reader_have_a_size_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of 400 KB of small objects takes 10 MB when it is parsed, and waited for a minute."""
    monkeypatch.setattr("lacnode.rpc.waiting_memory.WAITING_BYTES_PER_CLIENT", 30_000)
    monkeypatch.setattr("lacnode.rpc.waiting_memory.WAITING_BYTES", 40_000)
    readers = BusyReaders()
    runner = RequestRunner(readers)
    fat = b'[{"a":0},{"a":0},{"a":0}]' * 10  # 60 values
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for client in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
                nursery.start_soon(runner.run, fat, reading(), client)
                assert await readers.waiting.receive() == client
            for client, status in (("10.0.0.1", 429), ("10.0.0.2", 503), ("10.0.0.3", 503)):
                assert (await runner.run(fat, reading(), client)).status == status
            readers.may_answer.set()
        for client in ("10.0.0.1", "10.0.0.3"):
            assert await runner.run(fat, reading(), client) == Reply(b"read")


class FailingReaders(NoReaders):
    """Readers for which the node cannot commit its blocks."""

    async def read(self, call: ReadCall, client: str) -> object:
        raise StorageError("writing data.mdb failed: Input/output error")


def long_read(reading: ReadContext, params: Sequence[object]) -> object:
    raise AssertionError("it is left to a reader")


async def test_a_failure_of_the_readers_is_an_answer_and_its_cause_is_in_the_log() -> None:
    """The connection ended without an answer."""
    method = Method("test_read", "TEST", lambda services, params: ReadCall(long_read, [], is_long=True))
    services = cast(RpcServices, SimpleNamespace(client=""))
    dispatcher = Dispatcher(MethodRegistry([method], ["TEST"]), services)
    request = b'[{"id":1,"method":"test_read"},{"id":2,"method":"unknown"}]'
    with captured_logs() as logs, trio.fail_after(60):
        reply = await RequestRunner(FailingReaders()).run(request, dispatcher.answer_http(request), "10.0.0.1")
    answers = {answer["id"]: answer["error"]["message"] for answer in json.loads(reply.body)}
    assert answers == {1: "Internal error", 2: "Method not found"}
    (entry,) = logs
    assert entry["method"] == "test_read"
    assert entry["exc_info"]
