"""OTLP over gRPC: one call on an HTTP/2 connection of its own, and the status that ends it.

h2 reads and writes the frames. gRPC's own package would bring a library in C with threads of its own for this one call.
What a server sends is bounded, and the call ends within its seconds. Must not know the meaning of a message.
"""

import gzip
import struct
from collections.abc import Sequence
from urllib.parse import unquote

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from lacnode.metrics.metrics_settings import OtlpSettings
from lacnode.metrics.otlp_receiver import MAX_ANSWER_BYTES
from lacnode.metrics.receiver_request import MAX_REMARK_CHARACTERS, ReceiverAddress, ReceiverError, within_seconds

METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

_PREFIX = struct.Struct(">?I")
"""Before each message: whether it is compressed, and its length."""

MAX_FIELDS_BYTES = 16 * 2**10
"""Bytes of the fields of one head, unpacked. A few packed bytes can name a field of thousands."""

MAX_INFORMATIONAL = 10
"""Heads before the one with the final status."""

_READ_BYTES = 2**10
"""Bytes that are read at once: they may have a hundred frames, and the event loop serves consensus."""

_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class OtlpGrpc:
    """OTLP over gRPC to the collector at `address`, an `OtlpTransport`."""

    def __init__(self, settings: OtlpSettings, address: ReceiverAddress) -> None:
        self._settings = settings
        self._address = address
        encoding = [("grpc-encoding", "gzip")] if settings.gzip else []
        scheme, _, authority = address.url.partition("://")
        self._headers = [
            (":method", "POST"),
            (":scheme", scheme),
            (":path", METHOD),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *encoding,
            # HTTP/2 has names in small letters alone.
            *((name.lower(), value) for name, value in settings.headers),
        ]

    def encode_body(self, message: bytes) -> bytes:
        """Return `message` after gRPC's prefix of 5 bytes, compressed with gzip if the settings say so."""
        content = gzip.compress(message, 6) if self._settings.gzip else message
        return _PREFIX.pack(self._settings.gzip, len(content)) + content

    async def send(self, body: bytes) -> bytes:
        """Call the collector with a body that `encode_body` made. Return the message of its answer, empty if there is
        none or if it is compressed. ReceiverError if the collector cannot be reached, the call's status is not OK or
        does not come within the seconds of the settings, or the answer is not gRPC or too long."""
        return await within_seconds(self._settings.request_seconds, lambda: self._call(body))

    async def _call(self, body: bytes) -> bytes:
        try:
            async with await self._address.connect() as stream:
                await _agree_on_http2(stream)
                exchange = _Exchange(self._headers, body)
                while not exchange.is_over:
                    await stream.send_all(exchange.next_bytes())
                    exchange.receive(bytes(await stream.receive_some(_READ_BYTES)))
        except H2Error as error:
            raise ReceiverError(f"an answer that is not gRPC: {str(error)[:MAX_REMARK_CHARACTERS]}") from None
        exchange.check_status()
        return exchange.message()


async def _agree_on_http2(stream: trio.abc.Stream) -> None:
    if not isinstance(stream, trio.SSLStream):
        return
    await stream.do_handshake()
    if stream.selected_alpn_protocol() != "h2":
        raise ReceiverError("it does not speak HTTP/2, which gRPC needs")


class _Exchange:
    """A call: what of it is still to be sent, and what the server has answered. H2Error for an answer that is not
    HTTP/2."""

    def __init__(self, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.is_over = False
        self._unsent = memoryview(body)
        self._received_bytes = 0
        self._fields: dict[bytes, bytes] = {}
        self._answer = bytearray()
        self._informational = 0
        self._connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._connection.decoder.max_header_list_size = MAX_FIELDS_BYTES
        self._connection.initiate_connection()
        self._stream_id = self._connection.get_next_available_stream_id()
        self._connection.send_headers(self._stream_id, headers)

    def next_bytes(self) -> bytes:
        """Return what can be sent now: as much of the body as the flow control of the server allows, and the answers to
        its frames."""
        while self._unsent:
            allowed = self._connection.local_flow_control_window(self._stream_id)
            allowed = min(allowed, self._connection.max_outbound_frame_size)
            if allowed <= 0:
                break
            part, self._unsent = self._unsent[:allowed], self._unsent[allowed:]
            self._connection.send_data(self._stream_id, bytes(part), end_stream=not self._unsent)
        return bytes(self._connection.data_to_send())

    def receive(self, data: bytes) -> None:
        """Take what the server has sent. ReceiverError if it has ended the call without a status, or sends too much."""
        if not data:
            raise ReceiverError("it closed the connection before its answer")
        # A server of HTTP/2 begins with its settings. h2 would wait for the end of a frame that begins with "HTT".
        if not self._received_bytes and data.startswith(b"HTTP/1"):
            raise ReceiverError("it speaks HTTP/1, and gRPC needs HTTP/2")
        self._received_bytes += len(data)
        if self._received_bytes > MAX_ANSWER_BYTES:
            raise ReceiverError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        for event in self._connection.receive_data(data):
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            # A later field wins: a call that fails at once has all of them in one list.
            self._fields.update((bytes(name), bytes(value)) for name, value in event.headers)
        elif isinstance(event, InformationalResponseReceived):
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                raise ReceiverError(f"more than {MAX_INFORMATIONAL} heads before its answer")
        elif isinstance(event, DataReceived):
            self._answer += event.data
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.is_over = True
        # A server that stops accepting calls says so early, and may still answer this one.
        elif isinstance(event, StreamReset) or (
            isinstance(event, ConnectionTerminated) and (event.last_stream_id or 0) < self._stream_id
        ):
            raise ReceiverError(f"it ended the call with HTTP/2 error {event.error_code}")

    def check_status(self) -> None:
        """ReceiverError if the call did not end with the status OK."""
        http_status = self._fields.get(b":status", b"")
        if http_status != b"200":
            raise ReceiverError(f"HTTP status {http_status.decode(errors='replace')[:3]}")
        status = self._fields.get(b"grpc-status", b"")
        if not status.isdigit() or len(status) > 2:
            raise ReceiverError("an answer without a status of gRPC")
        code = int(status)
        if code:
            name = _STATUSES[code] if code < len(_STATUSES) else "unknown"
            reason = unquote(self._fields.get(b"grpc-message", b"").decode(errors="replace"))
            raise ReceiverError(f"gRPC status {code} ({name}): {reason[:MAX_REMARK_CHARACTERS]}")

    def message(self) -> bytes:
        """Return the server's message, empty if there is none or if it is compressed."""
        if len(self._answer) < _PREFIX.size:
            return b""
        is_compressed, length = _PREFIX.unpack_from(self._answer)
        return b"" if is_compressed else bytes(self._answer[_PREFIX.size : _PREFIX.size + length])
