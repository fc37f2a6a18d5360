"""One HTTP request to a receiver of metrics, and the answer to it.

A request ends within its seconds, also if the receiver hangs. What is read of its answer is bounded. Must not know the
meaning of a body.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import h11
import trio

Answer = TypeVar("Answer")

MAX_HEAD_BYTES = 16 * 2**10
"""Bytes of the head of an answer, with the informational ones before it. That of a receiver has a few hundred."""

MAX_REMARK_CHARACTERS = 200
"""Characters of a receiver's own words that are logged."""

_READ_BYTES = 4 * 2**10
"""Bytes of an answer that are read at once: they may have a thousand chunks, and the event loop serves consensus."""


class ReceiverError(Exception):
    """The receiver did not accept a request. The text says why, in a clause for a sentence of the log. `wait_seconds`
    is the pause that the receiver asks for, 0 if it asks for none."""

    def __init__(self, text: str, wait_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class ReceiverAddress:
    """The host and port of a receiver of metrics, and the TLS context that checks its certificate. Without `tls` the
    request is not encrypted."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """The URL of the receiver without a path: scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"

    async def connect(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        """Return a new connection. OSError if no address of the host can be connected to. With `tls` the handshake
        follows at the first use, and trio.BrokenResourceError if it fails. There is no time limit here."""
        if self.tls is None:
            return await trio.open_tcp_stream(self.host, self.port)
        return await trio.open_ssl_over_tcp_stream(self.host, self.port, ssl_context=self.tls, https_compatible=True)


@dataclass(frozen=True, slots=True)
class ReceiverRequest:
    """An HTTP request. `target` is the path with its query. `max_answer_bytes` is how much of the body of the answer is
    read."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    max_answer_bytes: int = 0


async def send_request(address: ReceiverAddress, request: ReceiverRequest, seconds: float) -> bytes:
    """Send `request` on a connection of its own. Return the beginning of the body of the answer, at most
    `request.max_answer_bytes`. The rest is not read, without an error. ReceiverError if the connection cannot be made
    or breaks, if there is no answer within `seconds`, if it is not HTTP, or if its status is not from 200 to 299."""
    try:
        head, body = await within_seconds(seconds, lambda: _exchange(address, request))
    except h11.ProtocolError as error:
        raise ReceiverError(f"an answer that is not HTTP: {str(error)[:MAX_REMARK_CHARACTERS]}") from None
    if not 200 <= head.status_code < 300:
        raise ReceiverError(f"HTTP status {head.status_code}", _wait_seconds(head))
    return body


async def within_seconds(seconds: float, exchange: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do `exchange` with a receiver, and return its answer. ReceiverError if it takes longer than `seconds`, or if the
    connection cannot be made or breaks. Other errors of the exchange pass through."""
    try:
        with trio.fail_after(seconds):
            return await exchange()
    except trio.TooSlowError:
        raise ReceiverError(f"no answer within {seconds:g} s") from None
    except (OSError, UnicodeError, trio.BrokenResourceError) as error:
        raise ReceiverError(_reason(error)) from None


def _reason(error: Exception) -> str:
    """Return the text of the system or of TLS. trio's own error says only that no address could be connected to."""
    cause: BaseException = error.__cause__ or error
    # One error for each address of the name. The first one says enough.
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return str(cause)


async def _exchange(address: ReceiverAddress, request: ReceiverRequest) -> tuple[h11.Response, bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    headers = [
        ("Host", address.url.partition("//")[2]),
        *request.headers,
        ("Content-Length", str(len(request.body))),
        # One connection for each request: pushes are seconds apart, and a receiver closes idle connections.
        ("Connection", "close"),
    ]
    async with await address.connect() as stream:
        sent = connection.send(h11.Request(method=request.method, target=request.target, headers=headers))
        sent += connection.send(h11.Data(data=request.body)) + connection.send(h11.EndOfMessage())
        await stream.send_all(sent)
        answer = _Answer(connection, stream)
        head = await answer.read_head()
        return head, await answer.read_body(request.max_answer_bytes)


class _Answer:
    """An answer that arrives on `stream`. What is read of it is bounded, with all that stands around head and body."""

    def __init__(self, connection: h11.Connection, stream: trio.abc.Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._left_bytes = MAX_HEAD_BYTES

    async def read_head(self) -> h11.Response:
        """Return the head with the final status. h11.ProtocolError if the answer is not HTTP, ends before it, or has
        more than `MAX_HEAD_BYTES` before it."""
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event
            # An informational response (1xx) comes before the final one, which alone says whether the receiver took the
            # request.
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("it ended before its status, or its head is too long")

    async def read_body(self, limit: int) -> bytes:
        """Return at most `limit` bytes of the body. The rest is not read: the connection ends here. Chunks may be
        empty but for what stands around them, and count with that."""
        body = bytearray()
        self._left_bytes += limit
        while len(body) < limit:
            event = await self._next_event()
            if not isinstance(event, h11.Data):
                break
            body += event.data
        return bytes(body[:limit])

    async def _next_event(self) -> object:
        """Return the next event, NEED_DATA if as much has been read as may be."""
        while (event := self._connection.next_event()) is h11.NEED_DATA and self._left_bytes > 0:
            data = bytes(await self._stream.receive_some(min(_READ_BYTES, self._left_bytes)))
            self._left_bytes -= len(data)
            self._connection.receive_data(data)
        return event


def _wait_seconds(head: h11.Response) -> float:
    """Return the seconds of `Retry-After`, 0 if the answer has none. A date in its place is not read."""
    value = dict(head.headers).get(b"retry-after", b"")
    return float(value) if value.isdigit() and len(value) < 10 else 0.0
