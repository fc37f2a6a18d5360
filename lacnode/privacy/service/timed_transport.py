"""HTTP calls with one time limit for the whole call, and a bound for all that comes before the body of an answer.

httpx bounds each wait for the other side alone. A server that takes a byte at a time, or that sends interim answers
(`100 Continue`) without end, would hold a thread for ever. This module must not know what is sent.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

CONNECTIONS, UNUSED_CONNECTIONS = 100, 20
"""The largest number of connections, and of those that are kept open without a call: httpx's defaults."""

KEEP_ALIVE_SECONDS = 5.0
"""The time after which an unused connection is closed."""

MAX_HEAD_BYTES = 262_144
"""The largest number of bytes that are read until the head of an answer is whole. Interim answers are among them. Beyond
it, reading them would take longer than a fifth of a second."""

TRANSPORT_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)
"""The errors of a call besides WholeCallTimeoutError, `ssl.SSLError` and OSError."""


class WholeCallTimeoutError(Exception):
    """A whole call took longer than its time limit. The text names the limit."""


class TimedTransport(httpx.BaseTransport):
    """A transport of httpx for HTTP/1.1 without proxies. Each call has `seconds`, from its request until its answer is
    read, and its answer has `MAX_HEAD_BYTES` until its head is whole. Safe to use from several threads, but the thread
    that makes a call reads its answer too, before its next call.

    `verify` is the context for https URLs, None for the system's roots. `clock` returns monotonic seconds.
    """

    def __init__(
        self, seconds: float, verify: ssl.SSLContext | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bounds = _CallBounds(seconds, clock)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(True if verify is None else verify, trust_env=False),
            max_connections=CONNECTIONS,
            max_keepalive_connections=UNUSED_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=_TimedNetwork(self._bounds),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and return the answer, whose body is not read yet. WholeCallTimeoutError if the time limit is over,
        then or while the body is read. One of `TRANSPORT_ERRORS` if the connection or the answer is faulty, a wait is
        too long, or the head of the answer does not come within `MAX_HEAD_BYTES`."""
        self._bounds.begin_call()
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.read(),
                extensions=request.extensions,
            )
        )
        self._bounds.end_head()
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_AnswerBody(answer), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close every connection. No call may be made after it."""
        self._pool.close()


class _AnswerBody(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _CallBounds:
    """The bounds of the call that each thread makes."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        # By thread: a connection serves the calls of several threads, one after the other.
        self._of_thread = threading.local()

    def begin_call(self) -> None:
        """Begin a call of this thread."""
        self._of_thread.until = self._clock() + self._seconds
        self._of_thread.head_bytes, self._of_thread.is_in_head = 0, True

    def end_head(self) -> None:
        """Count no more bytes of the call of this thread: its caller bounds the body."""
        self._of_thread.is_in_head = False

    def count_read(self, size: int) -> None:
        """Count `size` bytes that were read. httpcore.RemoteProtocolError if the head is still not whole and has too
        many."""
        if self._of_thread.is_in_head:
            self._of_thread.head_bytes += size
            if self._of_thread.head_bytes > MAX_HEAD_BYTES:
                raise httpcore.RemoteProtocolError(f"a head within {MAX_HEAD_BYTES} bytes was expected")

    def shorten(self, timeout: float | None) -> float:
        """Return how long this thread may wait now: `timeout` seconds (None for no limit), or less at the end of its
        call. WholeCallTimeoutError if the time of the call is over."""
        left: float = self._of_thread.until - self._clock()
        if left <= 0.0:
            raise WholeCallTimeoutError(f"the whole call within {self._seconds:g} s was expected")
        return left if timeout is None else min(timeout, left)


class _TimedNetwork(httpcore.NetworkBackend):
    """The network of the system, with `bounds` for each wait."""

    def __init__(self, bounds: _CallBounds) -> None:
        self._network = httpcore.SyncBackend()
        self._bounds = bounds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        shorter = self._bounds.shorten(timeout)
        stream = self._network.connect_tcp(host, port, shorter, local_address, socket_options)
        return _TimedStream(stream, self._bounds)


class _TimedStream(httpcore.NetworkStream):
    """A connection, with `bounds` for each wait."""

    def __init__(self, stream: httpcore.NetworkStream, bounds: _CallBounds) -> None:
        self._stream = stream
        self._bounds = bounds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._bounds.shorten(timeout))
        self._bounds.count_read(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # httpcore's own stream has no end of the whole `buffer`: it begins the timeout again after each part.
        connection, rest = self._stream.get_extra_info("socket"), memoryview(buffer)
        try:
            while rest:
                connection.settimeout(self._bounds.shorten(timeout))
                rest = rest[connection.send(rest) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        shorter = self._bounds.shorten(timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, shorter), self._bounds)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
