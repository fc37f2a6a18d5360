"""One WebSocket to an ethstats server, as a client (RFC 6455).

Every step has a bound in time, and every message one in length. A server that breaks one loses the connection.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import wsproto
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from lacnode.rpc.time_share import TimeShare

PATH = "/api"
CONNECT_SECONDS = 10.0
"""Seconds from the look-up of the name to the end of the upgrade."""

SEND_SECONDS = 10.0
"""Seconds that the server may take to read one message."""

MAX_MESSAGE_BYTES = 64 * 1024
"""Bytes of a message of the server. A request for 50 blocks has some hundred."""

MAX_PARTS = 64
"""Parts in which a message may come."""

FRAME_SECONDS = 0.0001
"""Estimated time of the event loop for a frame, with the answer to a Ping."""

FRAMES_SHARE, FRAMES_BURST_SECONDS = 0.02, 0.02
"""The share of one processor's time that the frames of the server may take, and how much of it may be saved up."""

MAX_REMARK_CHARACTERS = 200
"""Characters of the server's own words that are logged."""

READ_BYTES = 16_384


class StatsServerError(Exception):
    """The ethstats server cannot be used now. The text says why in a clause about "it", such as "it closed the
    connection". It has no secret."""


class StatsConnection:
    """A WebSocket to an ethstats server, on the connected `stream`. It is open after `upgrade`, which must be called
    first. One task sends, one receives. The caller closes `stream`."""

    def __init__(self, stream: trio.abc.Stream, socket: wsproto.WSConnection) -> None:
        self._stream = stream
        self._socket = socket
        self._sending = trio.Lock()
        self._share = TimeShare(FRAMES_SHARE, FRAMES_BURST_SECONDS)

    async def send(self, text: str) -> None:
        """Send one text message. StatsServerError if the server does not read it within `SEND_SECONDS` or the
        connection breaks."""
        await self._send(self._socket.send(TextMessage(data=text)))

    async def receive(self) -> str:
        """Return the next text message of the server. It waits without a limit, and answers pings meanwhile.
        StatsServerError if the connection ends, the message is too long or no text, or the server breaks the protocol.
        """
        message, parts = "", 0
        while True:
            for event in self._socket.events():
                # Pings and empty frames are no messages. A flood of them must not hold the event loop either.
                self._share.spend(FRAME_SECONDS)
                await trio.sleep(self._share.delay_seconds())
                if isinstance(event, TextMessage):
                    message, parts = message + event.data, parts + 1
                    if len(message) > MAX_MESSAGE_BYTES or parts > MAX_PARTS:
                        raise StatsServerError(f"it sent a message of more than {MAX_MESSAGE_BYTES} bytes")
                    if event.message_finished:
                        return message
                else:
                    await self._control(event)
            await self._read()

    async def _control(self, event: Event) -> None:
        match event:
            case Ping():
                await self._send(self._socket.send(event.response()))
            case CloseConnection():
                raise StatsServerError(f"it closed the connection ({event.code})")
            case BytesMessage():
                raise StatsServerError("it sent bytes that are no text")

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some(READ_BYTES)
            if not data:
                raise StatsServerError("it closed the connection")
            self._socket.receive_data(bytes(data))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StatsServerError(_reason(error)) from None
        except ProtocolError as error:
            raise StatsServerError(f"it does not speak WebSocket: {str(error)[:MAX_REMARK_CHARACTERS]}") from None

    async def _send(self, data: bytes) -> None:
        try:
            with trio.fail_after(SEND_SECONDS):
                async with self._sending:
                    await self._stream.send_all(data)
        except trio.TooSlowError:
            raise StatsServerError(f"it did not read a message within {SEND_SECONDS:.0f} s") from None
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StatsServerError(_reason(error)) from None

    async def upgrade(self, host: str) -> None:
        """Ask the server for the WebSocket and wait until it accepts. `host` is for the `Host` header, with its port.
        StatsServerError if the server refuses or the connection breaks. There is no time limit here."""
        await self._send(self._socket.send(Request(host=host, target=PATH)))
        while True:
            for event in self._socket.events():
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise StatsServerError(f"it answered with HTTP status {event.status_code}")
            await self._read()


@asynccontextmanager
async def open_stats_connection(host: str, port: int, tls: ssl.SSLContext | None) -> AsyncIterator[StatsConnection]:
    """Connect to the server, and yield an open WebSocket on `host` and `port`: over TLS with `tls`, without encryption
    for None. It is closed at the end of the `async with` block. StatsServerError if the server cannot be reached within
    `CONNECT_SECONDS`, refuses, or has a wrong certificate."""
    stream: trio.abc.Stream | None = None
    try:
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await _opened(host, port, tls)
                connection = StatsConnection(stream, wsproto.WSConnection(wsproto.ConnectionType.CLIENT))
                await connection.upgrade(f"{host}:{port}")
        except trio.TooSlowError:
            raise StatsServerError(f"no answer within {CONNECT_SECONDS:.0f} s") from None
        except (OSError, UnicodeError, ssl.CertificateError, trio.BrokenResourceError) as error:
            raise StatsServerError(_reason(error)) from None
        yield connection
    finally:
        if stream is not None:
            await trio.aclose_forcefully(stream)


async def _opened(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    stream = await trio.open_tcp_stream(host, port)
    if tls is None:
        return stream
    secured = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


def _reason(error: BaseException) -> str:
    # trio's own errors say only that something failed. Their cause is the error of the system or of OpenSSL.
    return str(error.__cause__ or error) or type(error).__name__
