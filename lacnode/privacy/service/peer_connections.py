"""Connections to other managers, which stay open for the next call.

httpcore's own pool looks at all its connections for each of them, several times in each call. With thirty connections that
took longer than the call. This module must not choose what is sent, and must not judge a certificate.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import httpcore
import trio

T = TypeVar("T")


class PeerConnections:
    """The connections of one TLS context over `network`, at most `max_open` at a time.

    One that was not used for `keep_alive_seconds` is closed at the next call.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        network: httpcore.AsyncNetworkBackend,
        *,
        max_open: int,
        keep_alive_seconds: float,
    ) -> None:
        self._context = context
        self._network = network
        self._max_open = max_open
        self._keep_alive_seconds = keep_alive_seconds
        # In the order of their last use, the oldest first.
        self._unused: list[httpcore.AsyncHTTPConnection] = []
        self._in_use_count = 0

    async def send(self, request: httpcore.Request, read: Callable[[httpcore.Response], Awaitable[T]]) -> T:
        """Send `request`, and return what `read` makes of the response. The caller sends at most `max_open` at a time
        and bounds the time: there is no time limit for the response.

        The connection stays open for the next request if `read` reads the response to its end. httpcore's errors if
        there is no response. The errors of `read` pass through.
        """
        connection, outdated = self._take(request.url.origin)
        try:
            await _close(outdated)
            response = await connection.handle_async_request(request)
            try:
                return await read(response)
            finally:
                # Also when the call is cancelled: no other code closes a response that was read in part.
                with trio.CancelScope(shield=True):
                    await response.aclose()
        finally:
            self._in_use_count -= 1
            # A connection is available if its last response was read to its end. Any other one is of no use.
            if connection.is_available():
                self._unused.append(connection)
            else:
                await _close([connection])

    async def aclose(self) -> None:
        """Close every connection that is not in use. Those in use are not closed here."""
        unused, self._unused = self._unused, []
        await _close(unused)

    def _take(self, origin: httpcore.Origin) -> tuple[httpcore.AsyncHTTPConnection, list[httpcore.AsyncHTTPConnection]]:
        """Return a connection to `origin`, and the connections that must be closed."""
        outdated = []
        while self._unused and self._unused[0].has_expired():
            outdated.append(self._unused.pop(0))
        self._in_use_count += 1
        # The last one that was used is the least likely to be closed by the other side.
        for connection in [each for each in reversed(self._unused) if each.can_handle_request(origin)]:
            self._unused.remove(connection)
            if not connection.has_expired():
                return connection, outdated
            outdated.append(connection)
        if self._unused and len(self._unused) + self._in_use_count > self._max_open:
            outdated.append(self._unused.pop(0))
        return self._new_connection(origin), outdated

    def _new_connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        # There is no read timeout. It would be per part: a manager could send one byte a second for ever. The caller bounds
        # the whole call.
        return httpcore.AsyncHTTPConnection(
            origin, self._context, keepalive_expiry=self._keep_alive_seconds, network_backend=self._network
        )


async def _close(connections: Sequence[httpcore.AsyncHTTPConnection]) -> None:
    with trio.CancelScope(shield=True):
        for connection in connections:
            await connection.aclose()
