"""A collector that is called by gRPC, on the server's side of h2. What it answers is the test's."""

import gzip
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

Headers = Sequence[tuple[str, str]]
OPENING = ((":status", "200"), ("content-type", "application/grpc"))
OK = (("grpc-status", "0"),)


def framed(message: bytes, is_compressed: bool = False) -> bytes:
    return struct.pack(">?I", is_compressed, len(message)) + message


def accept(connection: H2Connection, stream_id: int) -> None:
    """Answer as a collector does that takes everything."""
    answer(connection, stream_id, framed(b""))


def answer(connection: H2Connection, stream_id: int, body: bytes, trailers: Headers = OK) -> None:
    connection.send_headers(stream_id, OPENING)
    connection.send_data(stream_id, body)
    connection.send_headers(stream_id, trailers, end_stream=True)


class GrpcCollector:
    """The calls that came: their headers and their messages. `reply` answers each."""

    def __init__(self, reply: Callable[[H2Connection, int], None]) -> None:
        self.port = 0
        self.heads: list[dict[str, str]] = []
        self.messages: list[ExportMetricsServiceRequest] = []
        self._reply = reply

    async def serve(self, stream: trio.abc.Stream) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        body = bytearray()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(connection.data_to_send())
            while data := await stream.receive_some(65_536):
                # What comes after the server's own end is read, since the system would drop its last words otherwise.
                if connection.state_machine.state is ConnectionState.CLOSED:
                    continue
                for event in connection.receive_data(bytes(data)):
                    if isinstance(event, RequestReceived):
                        self.heads.append({str(name): str(value) for name, value in event.headers})
                    elif isinstance(event, DataReceived):
                        body += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, StreamEnded):
                        self._take(bytes(body))
                        self._reply(connection, event.stream_id)
                await stream.send_all(connection.data_to_send())

    def _take(self, body: bytes) -> None:
        is_compressed, length = struct.unpack_from(">?I", body)
        assert len(body) == length + 5
        content = gzip.decompress(body[5:]) if is_compressed else body[5:]
        self.messages.append(ExportMetricsServiceRequest.FromString(content))


@asynccontextmanager
async def grpc_collector(
    reply: Callable[[H2Connection, int], None] = accept, tls: ssl.SSLContext | None = None
) -> AsyncIterator[GrpcCollector]:
    found = GrpcCollector(reply)
    async with trio.open_nursery() as nursery:
        if tls is None:
            listeners = await nursery.start(partial(trio.serve_tcp, found.serve, 0, host="127.0.0.1"))
            found.port = listeners[0].socket.getsockname()[1]
        else:
            serve = partial(trio.serve_ssl_over_tcp, found.serve, 0, tls, host="127.0.0.1", https_compatible=True)
            listeners = await nursery.start(serve)
            found.port = listeners[0].transport_listener.socket.getsockname()[1]
        yield found
        nursery.cancel_scope.cancel()
