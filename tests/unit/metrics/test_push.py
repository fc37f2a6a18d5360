"""What a push gateway gets, and what one that is away, hangs or lies costs: one line in the log, and no more."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio

from lacnode.metrics import gateway as gateway_module
from lacnode.metrics import push as push_module
from lacnode.metrics.gateway import PushGateway
from lacnode.metrics.metrics_settings import MetricCategory, PushSettings
from lacnode.metrics.push import MetricsPush
from lacnode.metrics.series import MetricSample, MetricSeries, MetricsRegistry, MetricType
from tests.support.logs import captured_logs

HEIGHT = MetricSeries(
    MetricCategory.ETHEREUM, "ethereum_blockchain_height", MetricType.GAUGE, "a text", lambda: [MetricSample(7)]
)
OTHER = MetricSeries(MetricCategory.RPC, "besu_rpc_calls", MetricType.GAUGE, "a text", lambda: [MetricSample(1)])
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
DEADLINE_SECONDS = 20.0

Answer = Callable[[trio.SocketStream], Awaitable[None]]


class Gateway:
    """Remembers each request, and answers it by `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[bytes] = []
        self.port = 0
        self._answer = answer
        self._heard = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self._client, listeners, task_status=task_status)  # type: ignore[arg-type]

    async def heard(self, count: int) -> None:
        with trio.fail_after(DEADLINE_SECONDS):
            while len(self.requests) < count:
                await self._heard.wait()

    async def _client(self, stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < _length(request):
            request += await stream.receive_some(65_536)
        self.requests.append(request)
        self._heard.set()
        self._heard = trio.Event()
        await self._answer(stream)


def gateway_push(settings: PushSettings) -> MetricsPush:
    registry = MetricsRegistry([HEIGHT, OTHER], settings.categories)
    return MetricsPush(PushGateway(settings), settings.interval_seconds, registry)


def _length(request: bytes) -> int:
    lines = request.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length"))


async def accept(stream: trio.SocketStream) -> None:
    await stream.send_all(ACCEPTED)


async def hang(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def say(text: bytes, stream: trio.SocketStream) -> None:
    await stream.send_all(text)


async def flood(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n")
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await stream.send_all(b"X-Never-Ends: " + b"a" * 4096)


@asynccontextmanager
async def pushing(answer: Answer, job: str = "a job", **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway, and metrics that are pushed to it."""
    gateway = Gateway(answer)
    async with trio.open_nursery() as nursery:
        await nursery.start(gateway.serve)
        chosen = PushSettings("127.0.0.1", gateway.port, interval_seconds=0.02, job=job, **settings)
        scope = trio.CancelScope()

        async def push() -> None:
            with scope:
                await gateway_push(chosen).run()

        nursery.start_soon(push)
        yield gateway
        scope.cancel()
        with trio.move_on_after(0.5):
            await gateway.heard(len(gateway.requests) + 1)
        nursery.cancel_scope.cancel()


def first_line(request: bytes) -> str:
    return request.partition(b"\r\n")[0].decode()


async def test_series_are_added_to_their_job_and_removed_at_the_end() -> None:
    async with pushing(accept, categories=frozenset([MetricCategory.ETHEREUM])) as gateway:
        await gateway.heard(2)
    assert {first_line(request) for request in gateway.requests[:2]} == {"POST /metrics/job/a%20job HTTP/1.1"}
    assert first_line(gateway.requests[-1]) == "DELETE /metrics/job/a%20job HTTP/1.1"
    head, _, body = gateway.requests[0].partition(b"\r\n\r\n")
    assert b"content-type: text/plain; version=0.0.4; charset=utf-8" in head.lower()
    assert b"\nethereum_blockchain_height 7.0\n" in body
    assert b"besu_rpc_calls" not in body


async def test_a_job_with_a_slash_goes_in_base64() -> None:
    async with pushing(accept, job="a/b") as gateway:
        await gateway.heard(1)
    assert first_line(gateway.requests[0]) == "POST /metrics/job@base64/YS9i HTTP/1.1"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (hang, "no answer within"),
        (flood, "an answer that is not HTTP"),
        (partial(say, b"\x00\x01 nothing that is HTTP\r\n\r\n"), "an answer that is not HTTP"),
        (partial(say, b""), "an answer that is not HTTP"),
        (partial(say, b"HTTP/1.1 503 Busy\r\nContent-Length: 99999999999\r\n\r\n"), "HTTP status 503"),
        (partial(say, b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), "HTTP status 307"),
    ],
)
async def test_a_gateway_that_hangs_or_lies_is_told_of_once(
    answer: Answer, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(push_module, "MAX_PAUSE_SECONDS", 0.02)
    with captured_logs() as logs:
        async with pushing(answer) as gateway:
            await gateway.heard(3)
    warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert reason in warnings[0]
    assert not any(first_line(request).startswith("DELETE") for request in gateway.requests)


async def test_a_gateway_that_comes_back_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Sequence[bytes] = (b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n", ACCEPTED, ACCEPTED)
    given = iter(answers)

    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(next(given, ACCEPTED))

    with captured_logs() as logs:
        async with pushing(answer) as gateway:
            await gateway.heard(4)
    told = [entry["event"] for entry in logs if "takes the metrics" in entry["event"]]
    assert len(told) == 1


async def test_the_pause_doubles_from_failure_to_failure() -> None:
    pauses = []
    push = gateway_push(PushSettings(interval_seconds=15))
    for _ in range(6):
        pauses.append(push._pause_seconds())
        push._failed("no")
    assert pauses == [15, 30, 60, 120, 240, 300]


async def test_a_gateway_that_hangs_does_not_hold_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "FAREWELL_SECONDS", 0.1)
    served = 0

    async def answer(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        await (accept(stream) if served == 1 else hang(stream))

    with trio.fail_after(DEADLINE_SECONDS):
        async with pushing(answer) as gateway:
            await gateway.heard(2)
