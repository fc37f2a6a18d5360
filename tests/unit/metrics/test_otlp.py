"""What an OpenTelemetry collector gets by OTLP, decoded by OpenTelemetry's own package, and what its answers cost."""

import gzip
import math
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric

from lacnode.metrics.metrics_settings import MetricCategory, OtlpSettings
from lacnode.metrics.otlp_message import encode_otlp, read_refusal
from lacnode.metrics.otlp_receiver import OtlpCollector, OtlpFileError
from lacnode.metrics.process_series import opentelemetry_series
from lacnode.metrics.push import MetricsPush
from lacnode.metrics.receiver_request import ReceiverError
from lacnode.metrics.series import MetricSample, MetricSeries, MetricsRegistry, MetricType
from tests.support.certificates import certificate, issuer, mutual_tls
from tests.support.logs import captured_logs

DEADLINE_SECONDS = 60.0
STARTED_NS = 1_700_000_000_000_000_001

HEIGHT = MetricSeries(
    MetricCategory.ETHEREUM, "ethereum_blockchain_height", MetricType.GAUGE, "a text", lambda: [MetricSample(7)]
)
ADDED = MetricSeries(
    MetricCategory.TRANSACTION_POOL,
    "besu_transaction_pool_added_total",
    MetricType.COUNTER,
    'a "text"',
    lambda: [MetricSample(2**70, {"source": "local"}), MetricSample(3, {"source": "a\n\u2028b"})],
)
TIMES = MetricSeries(
    MetricCategory.RPC,
    "besu_rpc_request_time",
    MetricType.SUMMARY,
    "seconds",
    lambda: [
        MetricSample(0.5, {"methodName": "eth_call", "quantile": "0.5"}),
        MetricSample(float("nan"), {"methodName": "eth_call", "quantile": "1.0"}),
        MetricSample(4, {"methodName": "eth_call"}, "_count"),
        MetricSample(1.5, {"methodName": "eth_call"}, "_sum"),
        MetricSample(1, {"methodName": "net_version"}, "_count"),
        MetricSample(0.25, {"methodName": "net_version"}, "_sum"),
    ],
)
LIMIT = MetricSeries(
    MetricCategory.PROCESS, "process_max_fds", MetricType.GAUGE, "", lambda: [MetricSample(float("inf"))]
)


class Collector:
    """A server of HTTP that remembers messages. `answer` gives the status, the headers and the body of each answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[ExportMetricsServiceRequest] = []
        self.heads: list[tuple[str, Mapping[str, str]]] = []
        self.answer: Callable[[], tuple[int, Mapping[str, str], bytes]] = lambda: (200, {}, b"")
        self.came = threading.Condition()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with self.came:
            self.messages.append(ExportMetricsServiceRequest.FromString(body))
            self.heads.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
            self.came.notify_all()
        status, headers, answer = self.answer()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)

    async def heard(self, count: int) -> None:
        def wait() -> bool:
            with self.came:
                return self.came.wait_for(lambda: len(self.messages) >= count, DEADLINE_SECONDS)

        assert await trio.to_thread.run_sync(wait)


@contextmanager
def collector(tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.take(self)

        def log_message(self, *_: object) -> None:
            """Not on the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        found = Collector(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def over_http(port: int, **others: Any) -> OtlpSettings:
    return OtlpSettings("127.0.0.1", port, is_grpc=False, target="/v1/metrics", **others)


def otlp_push(settings: OtlpSettings, *series: MetricSeries, interval_seconds: float = 0.02) -> MetricsPush:
    receiver = OtlpCollector(settings, dict(settings.resource), STARTED_NS)
    return MetricsPush(receiver, interval_seconds, MetricsRegistry(series, settings.categories))


async def push_until(push: MetricsPush, done: Callable[[], Any]) -> None:
    """Push until the awaitable that `done` makes has ended."""
    with trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push.run)
            await done()
            nursery.cancel_scope.cancel()


def by_name(message: ExportMetricsServiceRequest) -> dict[tuple[str, str], Metric]:
    """The metrics of a message, by scope and name."""
    (resource,) = message.resource_metrics
    return {(scope.scope.name, metric.name): metric for scope in resource.scope_metrics for metric in scope.metrics}


def pairs(attributes: Sequence[KeyValue]) -> dict[str, str]:
    return {one.key: one.value.string_value for one in attributes}


async def test_a_collector_gets_every_series_by_scope_and_name() -> None:
    resource = (("service.name", "my node"), ("a", "é"))
    with collector() as server:
        settings = OtlpSettings(
            "127.0.0.1",
            server.port,
            is_grpc=False,
            target="/x/v1/metrics?k=v",
            headers=(("Api-Key", "s3cret"),),
            resource=resource,
        )
        push = otlp_push(settings, HEIGHT, ADDED, TIMES, LIMIT)
        await push_until(push, lambda: server.heard(2))
    path, headers = server.heads[0]
    assert (path, headers["content-type"]) == ("/x/v1/metrics?k=v", "application/x-protobuf")
    assert headers["api-key"] == "s3cret"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    message = server.messages[1]
    assert pairs(message.resource_metrics[0].resource.attributes) == dict(resource)
    found = by_name(message)
    (height,) = found["ethereum", "blockchain_height"].gauge.data_points
    assert (height.as_double, height.start_time_unix_nano) == (7.0, 0)
    assert height.time_unix_nano > STARTED_NS
    counter = found["transaction_pool", "added_total"]
    assert counter.description == 'a "text"'
    assert counter.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert counter.sum.is_monotonic
    points = counter.sum.data_points
    assert [(pairs(point.attributes)["source"], point.as_double) for point in points] == [
        ("local", 2.0**70),
        ("a\n\u2028b", 3.0),
    ]
    assert {point.start_time_unix_nano for point in points} == {STARTED_NS}
    call, version = found["rpc", "request_time"].summary.data_points
    assert pairs(call.attributes) == {"methodName": "eth_call"}
    assert (call.count, call.sum) == (4, 1.5)
    middle, highest = call.quantile_values
    assert (middle.quantile, middle.value) == (0.5, 0.5)
    assert highest.quantile == 1.0
    assert math.isnan(highest.value)
    assert (pairs(version.attributes), version.count) == ({"methodName": "net_version"}, 1)
    assert found["process", "max_fds"].gauge.data_points[0].as_double == math.inf


async def test_categories_choose_and_a_body_may_be_compressed() -> None:
    with collector() as server:
        settings = over_http(server.port, gzip=True, categories=frozenset([MetricCategory.ETHEREUM]))
        await push_until(otlp_push(settings, HEIGHT, ADDED), lambda: server.heard(1))
    assert server.heads[0][1]["content-encoding"] == "gzip"
    assert [*by_name(server.messages[0])] == [("ethereum", "blockchain_height")]


def test_a_name_that_is_no_unicode_is_sent_all_the_same() -> None:
    receiver = OtlpCollector(over_http(1), {"service.name": b"n\xff".decode(errors="surrogateescape")}, 1)
    (message,) = ExportMetricsServiceRequest.FromString(receiver.encode([])).resource_metrics
    assert pairs(message.resource.attributes) == {"service.name": "n?"}


def test_memory_and_collections_have_the_names_of_besu() -> None:
    families = MetricsRegistry(opentelemetry_series(), {MetricCategory.JVM}).read(())
    found = by_name(ExportMetricsServiceRequest.FromString(encode_otlp(families, {}, 1, 2)))
    assert pairs(found["jvm", "jvm.gc.collection"].gauge.data_points[0].attributes) == {"gc": "python"}
    used = found["jvm", "jvm.memory.area"].gauge.data_points[0]
    assert pairs(used.attributes) == {"type": "used", "area": "heap"}
    assert used.as_double > 2**20


def refusal(values: int, reason: str) -> bytes:
    """The answer of a collector that refuses values."""
    success = ExportMetricsPartialSuccess(rejected_data_points=values, error_message=reason)
    return bytes(ExportMetricsServiceResponse(partial_success=success).SerializeToString())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refusal(3, "too old"), (3, "too old")),
        (refusal(2**40, "é"), (2**40, "é")),
        (refusal(-1, "lies"), (0, "lies")),
        (refusal(0, "name your service"), (0, "name your service")),
        (refusal(0, ""), (0, "")),
        (b"", (0, "")),
        (refusal(3, "too old") + b"\x2d\0\0\0\0\x31\0\0\0\0\0\0\0\0", (3, "too old")),
        (refusal(3, "too old")[:-1], (0, "")),
        (b'{"partialSuccess":{}}', (0, "")),
        (b"<html>", (0, "")),
        (b"\x0a" + b"\xff" * 64, (0, "")),
        (b"\x08\x01", (0, "")),
        (b"\x0a\x03\x0a\x01a", (0, "")),
        (b"\x0b", (0, "")),
        (b"\x0a" * 65_536, (0, "")),
    ],
)
def test_what_a_collector_refuses_is_read_and_any_other_answer_is_borne(answer: bytes, told: tuple[int, str]) -> None:
    assert read_refusal(answer) == told


async def test_a_remark_is_told_of_once_and_cut() -> None:
    with collector() as server, captured_logs() as logs:
        server.answer = lambda: (200, {}, refusal(9, "no " * 1000))
        push = otlp_push(over_http(server.port), HEIGHT)
        await push_until(push, lambda: server.heard(4))
    (warning,) = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert "9 values are refused: no no" in warning
    assert len(warning) < 400
    # Values that are refused for their form are refused again. The next messages come at the usual time.
    assert push._pause_seconds() == 0.02


async def test_a_pause_that_the_collector_asks_for_is_kept_up_to_a_bound() -> None:
    with collector() as server, captured_logs():
        push = otlp_push(over_http(server.port), HEIGHT)
        for asked, pause in (("120", 120.0), ("999999999", 300.0), ("Fri, 31 Dec 2027", 0.16), ("-5", 0.32)):
            server.answer = lambda value=asked: (503, {"Retry-After": value}, b"")  # type: ignore[misc]
            await push._push()
            assert push._pause_seconds() == pause
        server.answer = lambda: (200, {}, b"")
        await push._push()
        assert push._pause_seconds() == 0.02


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def push_to(serve: Callable[[trio.SocketStream], Awaitable[None]], request_seconds: float = 60) -> str:
    """Push once to a server that does `serve` with the connection. Return the remark or the error."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        receiver = OtlpCollector(over_http(port, request_seconds=request_seconds), {}, 1)
        with trio.fail_after(DEADLINE_SECONDS):
            try:
                found = await receiver.push(b"")
            except ReceiverError as error:
                found = str(error)
        nursery.cancel_scope.cancel()
    return found


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"4000\r\n" + b"a" * 0x4000 + b"\r\n", id="an answer without end"),
        pytest.param(b"1;" + b"a" * 8_000 + b"\r\n\n\r\n", id="what stands around the chunks"),
    ],
)
async def test_an_answer_without_end_is_cut(chunk: bytes) -> None:
    sent = [0]

    async def flood(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(CHUNKED)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await stream.send_all(chunk)
                sent[0] += len(chunk)

    assert await push_to(flood) == ""
    # Buffers of the system take some of it.
    assert sent[0] < 16 * 2**20


@pytest.mark.parametrize("head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"])
async def test_informational_answers_without_end_are_left(head: bytes) -> None:
    async def flood(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await stream.send_all(head * 1_000)

    assert (await push_to(flood)).startswith("an answer that is not HTTP: ")


async def test_a_long_line_that_is_not_http_is_told_of_in_part() -> None:
    async def nonsense(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n" + b"\x01" * 10_000 + b"\r\n\r\n")

    said = await push_to(nonsense)
    assert said.startswith("an answer that is not HTTP: ")
    assert len(said) < 300


async def test_an_answer_that_comes_byte_by_byte_is_left() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        await stream.send_all(CHUNKED)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await stream.send_all(b"1\r\na\r\n")
                await trio.sleep(0.02)

    assert await push_to(drip, request_seconds=0.3) == "no answer within 0.3 s"


async def test_a_collector_that_is_away_is_told_of_in_the_words_of_the_system() -> None:
    with collector() as server:
        pass
    with pytest.raises(ReceiverError, match="Connection refused"):
        await OtlpCollector(over_http(server.port), {}, 1).push(b"")


async def test_a_collector_with_tls_is_checked_and_may_check_the_node(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    server_pem = certificate(tmp_path, "server", issuer(tmp_path, "authority"))
    client_pem = certificate(tmp_path, "client", issuer(tmp_path, "authority"))
    context = mutual_tls(authority, server_pem)
    with collector(context) as server, captured_logs() as logs:
        settings = over_http(
            server.port,
            is_tls=True,
            ca_file=authority,
            client_certificate_file=client_pem,
            client_key_file=client_pem.with_suffix(".key"),
        )
        await push_until(otlp_push(settings, HEIGHT), lambda: server.heard(1))
        count = len(server.messages)
        await otlp_push(over_http(server.port, is_tls=True), HEIGHT)._push()
    assert any("CERTIFICATE_VERIFY_FAILED" in entry["event"] for entry in logs)
    assert len(server.messages) == count
    with pytest.raises(OtlpFileError, match=r"nothing\.pem"):
        OtlpCollector(OtlpSettings(is_tls=True, ca_file=tmp_path / "nothing.pem"), {}, 1)
