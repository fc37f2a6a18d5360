"""OTLP over gRPC: what a collector gets, and what each answer of it costs."""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hpack
import pytest
import trio
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from lacnode.metrics.metrics_settings import MetricCategory, OtlpSettings
from lacnode.metrics.otlp_receiver import MAX_ANSWER_BYTES, OtlpCollector
from lacnode.metrics.receiver_request import ReceiverError
from lacnode.metrics.series import MetricFamily, MetricSample, MetricSeries, MetricType
from tests.support.certificates import certificate, issuer, mutual_tls
from tests.support.grpc_collector import OK, OPENING, Headers, accept, answer, framed, grpc_collector

DEADLINE_SECONDS = 60.0
METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def families(count: int) -> list[MetricFamily]:
    series = MetricSeries(MetricCategory.RPC, "besu_rpc_errors_count", MetricType.COUNTER, "a text", list)
    return [MetricFamily(series, tuple(MetricSample(at, {"rpcMethod": f"eth_call{at}"}) for at in range(count)))]


async def pushed(settings: OtlpSettings, count: int = 1) -> str:
    """Push so many values. Return the remark of the collector, or the error."""
    receiver = OtlpCollector(settings, {"service.name": "my node"}, 1)
    with trio.fail_after(DEADLINE_SECONDS):
        try:
            return await receiver.push(receiver.encode(families(count)))
        except ReceiverError as error:
            return str(error)


def values(message: ExportMetricsServiceRequest) -> list[float]:
    (scope,) = message.resource_metrics[0].scope_metrics
    return [point.as_double for point in scope.metrics[0].sum.data_points]


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_collector_gets_messages_of_any_length(compressed: bool) -> None:
    """20,000 values are more than a server has room for at once."""
    async with grpc_collector() as server:
        headers = (("Api-Key", "s3cret"),)
        settings = OtlpSettings("127.0.0.1", server.port, headers=headers, gzip=compressed)
        assert await pushed(settings) == ""
        assert await pushed(settings, 20_000) == ""
    head, _ = server.heads
    assert (head[":method"], head[":scheme"], head[":path"]) == ("POST", "http", METHOD)
    assert head[":authority"] == f"127.0.0.1:{server.port}"
    assert (head["content-type"], head["te"], head["api-key"]) == ("application/grpc", "trailers", "s3cret")
    assert head.get("grpc-encoding") == ("gzip" if compressed else None)
    assert [len(values(message)) for message in server.messages] == [1, 20_000]
    assert values(server.messages[1])[-1] == 19_999.0


def refuses(connection: H2Connection, stream_id: int) -> None:
    success = ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old")
    response = ExportMetricsServiceResponse(partial_success=success).SerializeToString()
    answer(connection, stream_id, framed(response))


def compresses(connection: H2Connection, stream_id: int) -> None:
    answer(connection, stream_id, framed(b"\x1f\x8b", is_compressed=True))


def says_nothing(connection: H2Connection, stream_id: int) -> None:
    answer(connection, stream_id, b"")


def ends_for_others(connection: H2Connection, stream_id: int) -> None:
    """As a server that is about to stop, and still answers the calls it has."""
    connection.send_headers(stream_id, OPENING)
    connection.send_data(stream_id, framed(b""))
    connection.send_headers(stream_id, OK, end_stream=True)
    connection.close_connection(last_stream_id=stream_id)


def fails(trailers: Headers) -> Callable[[H2Connection, int], None]:
    """An answer without a message."""
    return lambda connection, stream_id: connection.send_headers(stream_id, [*OPENING, *trailers], end_stream=True)


def has_status(status: str) -> Callable[[H2Connection, int], None]:
    return lambda connection, stream_id: connection.send_headers(stream_id, [(":status", status)], end_stream=True)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (accept, ""),
        (refuses, "3 values are refused: too old"),
        (compresses, ""),
        (says_nothing, ""),
        (ends_for_others, ""),
        (fails([("grpc-status", "14"), ("grpc-message", "try%20later")]), "gRPC status 14 (UNAVAILABLE): try later"),
        (fails([("grpc-status", "12")]), "gRPC status 12 (UNIMPLEMENTED): "),
        (fails([("grpc-status", "99"), ("grpc-message", "%ff%")]), "gRPC status 99 (unknown): \ufffd%"),
        (fails([("grpc-status", "13"), ("grpc-message", "a" * 9000)]), f"gRPC status 13 (INTERNAL): {'a' * 200}"),
        (fails([("grpc-status", "none")]), "an answer without a status of gRPC"),
        (fails([("grpc-status", "9" * 9000)]), "an answer without a status of gRPC"),
        (fails([]), "an answer without a status of gRPC"),
        (has_status("404"), "HTTP status 404"),
        (
            lambda connection, stream_id: connection.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM),
            "it ended the call with HTTP/2 error 7",
        ),
        (
            lambda connection, _: connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM, last_stream_id=0),
            "it ended the call with HTTP/2 error 11",
        ),
    ],
)
async def test_the_status_of_a_call_says_whether_it_was_taken(
    reply: Callable[[H2Connection, int], None], said: str
) -> None:
    async with grpc_collector(reply) as server:
        assert await pushed(OtlpSettings("127.0.0.1", server.port)) == said


async def pushed_to(serve: Callable[[trio.SocketStream], Awaitable[None]], seconds: float = 60) -> str:
    """Push once to a server that does `serve` with the connection. Return the remark or the error."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        said = await pushed(OtlpSettings("127.0.0.1", port, request_seconds=seconds))
        nursery.cancel_scope.cancel()
    return said


async def test_a_server_of_http_1_is_named() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    assert await pushed_to(serve) == "it speaks HTTP/1, and gRPC needs HTTP/2"


async def test_a_server_that_hangs_or_goes_is_left() -> None:
    async def hang(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def go(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)

    assert await pushed_to(hang, 0.3) == "no answer within 0.3 s"
    assert await pushed_to(go) in ("it closed the connection before its answer", "[Errno 104] Connection reset by peer")


@pytest.mark.parametrize("of", ["pings", "headers"])
async def test_a_flood_is_left(of: str) -> None:
    # A ping is answered. A list of headers goes on in further frames until one of them says that it ends.
    ping = b"\0\0\x08\x06\0" + bytes(4) + b"12345678"
    headers = b"\0\0\x08\x01\0\0\0\0\x01" + b"\0\x01a\x03bcd" + b"\0"
    flood, opening = (ping, b"") if of == "pings" else (b"\0\0\0\x09\0\0\0\0\x01", headers)

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(b"\0\0\0\x04\0\0\0\0\0" + opening)
            while True:
                await stream.send_all(flood * 1000)

    said = await pushed_to(serve)
    expected = {"pings": f"an answer of more than {MAX_ANSWER_BYTES} bytes", "headers": "an answer that is not gRPC: "}
    assert said.startswith(expected[of])


@pytest.mark.parametrize(("value_bytes", "said"), [(10, "more than 10 heads"), (3_900, "an answer that is not gRPC: ")])
async def test_heads_that_are_short_packed_and_long_unpacked_are_left(value_bytes: int, said: str) -> None:
    packer = hpack.Encoder()
    field = (b"x", b"y" * value_bytes)
    first, again = (packer.encode([(b":status", b"103"), *fields]) for fields in ([field], [field] * 16))
    unpacked: list[int] = []

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(frame(4, 0, 0, b"") + frame(1, 4, 1, first) + frame(1, 4, 1, again) * 2_000)
            await trio.sleep_forever()

    with pytest.MonkeyPatch.context() as patch:
        decode = hpack.Decoder.decode

        def noted(self: hpack.Decoder, data: bytes, raw: bool = False) -> Any:
            fields = decode(self, data, raw)
            unpacked.append(sum(map(len, fields)))
            return fields

        patch.setattr(hpack.Decoder, "decode", noted)
        assert (await pushed_to(serve)).startswith(said)
    # What is read at once may have some more.
    assert len(unpacked) < 100


def frame(kind: int, flags: int, stream_id: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes((kind, flags)) + stream_id.to_bytes(4) + content


async def test_a_collector_that_is_away_is_told_of_in_the_words_of_the_system() -> None:
    async with grpc_collector() as server:
        port = server.port
    assert "Connection refused" in await pushed(OtlpSettings("127.0.0.1", port))


async def test_a_collector_with_tls_is_checked_and_may_check_the_node(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    server_pem = certificate(tmp_path, "server", issuer(tmp_path, "authority"))
    client_pem = certificate(tmp_path, "client", issuer(tmp_path, "authority"))
    context = mutual_tls(authority, server_pem)
    context.set_alpn_protocols(["h2"])
    async with grpc_collector(tls=context) as server:
        settings = OtlpSettings(
            "127.0.0.1",
            server.port,
            is_tls=True,
            ca_file=authority,
            client_certificate_file=client_pem,
            client_key_file=client_pem.with_suffix(".key"),
        )
        assert await pushed(settings) == ""
        stranger = await pushed(OtlpSettings("127.0.0.1", server.port, is_tls=True))
        assert "CERTIFICATE_VERIFY_FAILED" in stranger
        assert server.heads[0][":scheme"] == "https"
        assert len(server.heads) == 1


async def test_a_server_that_does_not_agree_on_http_2_gets_nothing(tmp_path: Path) -> None:
    own = certificate(tmp_path, "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own, own.with_suffix(".key"))
    async with grpc_collector(tls=context) as server:
        said = await pushed(OtlpSettings("127.0.0.1", server.port, is_tls=True, ca_file=own))
    assert said == "it does not speak HTTP/2, which gRPC needs"
    assert server.heads == []
