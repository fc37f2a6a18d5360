"""HTTP/1.1 on `h11` and trio streams: reads requests, writes responses, and knows neither paths nor methods.

A slow or greedy client meets a bound everywhere: the head and the body of a request in size and in the time they take
to arrive, and a response in the time that the client takes to read it.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import h11
import trio

from lacnode.client_address import client_address
from lacnode.http.arriving_bodies import ArrivingBodies, ArrivingBody
from lacnode.http.head_lines import HeadLineCounter
from lacnode.http.http_messages import BUSY, HOST_REFUSED, JSON, TOO_LARGE, TOO_SLOW, Request, RequestHandler, Response
from lacnode.http.plain_requests import ends_with_head, parse_plain_request
from lacnode.http.response_sender import ResponseSender
from lacnode.http.send_backlog import SendBacklog

READ_BYTES = 65_536
MAX_REQUEST_HEAD_BYTES = 32_768

FREE_CHUNKS, BYTES_PER_CHUNK = 1_000, 256
"""A body may come in `FREE_CHUNKS` chunks, and in one more for each `BYTES_PER_CHUNK` bytes: to read a chunk takes 20
microseconds."""

CHUNKS_AT_ONCE = 64
"""Chunks that are read before other connections have a turn."""

FIRST_REQUEST_SECONDS = 30.0
"""Seconds that a new connection may stay silent."""

IDLE_SECONDS = 300.0
"""Seconds that a connection may stay silent after a request."""

REQUEST_SECONDS = 60.0
"""Seconds that a request may take to arrive, from its first byte to its last."""

HEAD_SECONDS = 15.0
"""Seconds that the head of a request may take to arrive."""

BODY_SECONDS, BODY_BYTES_PER_SECOND = 15.0, 16_384
"""Time that a body may take: so many seconds, and one more for so many bytes that have come."""

MAX_PORT_REQUEST_BYTES = 32 * 2**20
"""Bytes of bodies that a port may hold. Beyond that, the address that holds most loses its largest unfinished body."""

MAX_PORT_RESPONSE_BYTES = 40 * 2**20
"""Bytes of responses that may wait for all clients of a port. Beyond that, the largest is given up. With the replies
of unfinished batches they are 64 MiB."""

LINGER_SECONDS = 5.0
"""Seconds during which further bytes of a refused client are thrown away, so that it reads the refusal before the
connection breaks."""


class HttpConnection:
    """One client, request after request. `routes` answers them.

    `max_body` is the largest body in bytes: a number for all requests, or a function that returns it for the head of a
    request. A longer body gets status 413. Responses count for `backlog` until the system has taken their last byte,
    bodies for `arriving` until they are answered. If one of these two is None, this connection has a bound of its own.
    `client` is the address at the other end. If it is None, it is read from `stream`.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        routes: RequestHandler,
        max_body: int | Callable[[Request], int],
        backlog: SendBacklog | None = None,
        arriving: ArrivingBodies | None = None,
        client: str | None = None,
    ) -> None:
        self._arriving = arriving or ArrivingBodies(MAX_PORT_REQUEST_BYTES)
        self._stream = stream
        self._routes = routes
        self._max_body = max_body
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_HEAD_BYTES)
        self._sender = ResponseSender(stream, self._http, backlog or SendBacklog(MAX_PORT_RESPONSE_BYTES))
        self._head: Request | None = None
        self._head_lines = HeadLineCounter()
        self._client = client_address(stream) if client is None else client

    async def run(self) -> None:
        """Serve requests until the client or this node ends the connection, or the client is silent too long. The
        stream is not closed. Errors of `routes` pass through.

        The client has `FIRST_REQUEST_SECONDS` for its first request and `IDLE_SECONDS` for each later one.
        trio.BrokenResourceError if the connection breaks or the client does not read its response.
        """
        # One scope for all silences: making a scope takes longer than reading a plain request.
        with trio.CancelScope() as silence:
            seconds = FIRST_REQUEST_SECONDS
            while (data := await self._arrived(silence, seconds)) is not None and await self._serve(data):
                seconds = IDLE_SECONDS

    async def _arrived(self, silence: trio.CancelScope, seconds: float) -> bytes | None:
        """Return the first bytes of the next request, or none if `h11` has them. None if the client ends the connection.
        `silence` is cancelled after `seconds`."""
        # The client may send its next request before it has read the response. Then the bytes are here already.
        if self._http.trailing_data[0]:
            return b""
        silence.deadline = trio.current_time() + seconds
        data = bytes(await self._stream.receive_some(READ_BYTES))
        silence.deadline = math.inf
        return data or None

    async def _serve(self, data: bytes) -> bool:
        """Answer the request that begins with `data`. Return whether another one may follow."""
        if data and ends_with_head(data):
            data += self._body_at_once()
        plain = parse_plain_request(data, self._client)
        if plain is not None and len(plain.body) <= self._largest_body(plain):
            return await self._serve_plain(plain)
        if data:
            self._http.receive_data(data)
        response = await self._response()
        if response is None:
            return False
        await self._sender.send(response, self._head)
        # A connection whose request was not read to its end cannot be used again: the rest would be taken for the
        # next request.
        if response.close or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            await self._linger()
            return False
        self._http.start_next_cycle()
        self._head = None
        return True

    def _body_at_once(self) -> bytes:
        """Return what has arrived after the head of a request, without waiting. It may be nothing."""
        if not isinstance(self._stream, trio.SocketStream):
            return b""
        try:
            return os.read(self._stream.socket.fileno(), READ_BYTES)
        # Nothing is here yet, or the connection is broken, which the next reading finds too.
        except OSError:
            return b""

    async def _serve_plain(self, request: Request) -> bool:
        response = self._routes.answer_head(request)
        if response is None:
            with self._arriving.track_body(self._client) as body:
                # Set before the bytes count: a request that is being answered is not given up.
                body.is_complete = True
                self._arriving.add_bytes(body, len(request.body))
                request.set_arriving(body)
                response = await self._routes.answer(request)
        await self._sender.send_to_plain_request(response, request)
        if response.close:
            await self._linger()
        return not response.close

    async def _response(self) -> Response | None:
        """Return the response to the next request. None if the client left in the middle of it."""
        with self._arriving.track_body(self._client) as body:
            received = await self._receive(body)
            body.is_complete = True
            return await self._routes.answer(received) if isinstance(received, Request) else received

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _receive(self, body: ArrivingBody) -> Request | Response | None:
        """Return the next request, or the response to one that is refused. None if the client left in the middle."""
        try:
            with trio.move_on_after(REQUEST_SECONDS), body.scope:
                return await self._request(body)
            # The two bounds look alike here. The client is to know which one it met: its own slowness, or the memory of
            # this port.
            return BUSY if body.scope.cancelled_caught else TOO_SLOW
        except h11.RemoteProtocolError as error:
            # h11 refuses a request without `Host`. Besu answers it as one for a host that is not allowed.
            if "Host" in str(error):
                return Response(403, HOST_REFUSED, (JSON,), close=True)
            return Response(error.error_status_hint, close=True)

    async def _request(self, arriving: ArrivingBody) -> Request | Response | None:
        self._head_lines = HeadLineCounter()
        # The client may have sent the head, or a part of it, with the request before.
        self._head_lines.count_lines(self._http.trailing_data[0])
        with trio.move_on_after(HEAD_SECONDS) as patience:
            head = await self._event()
        if patience.cancelled_caught:
            return TOO_SLOW
        if not isinstance(head, h11.Request):
            return None
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        request = self._head = Request(
            head.method.decode("ascii"), head.target.decode("latin-1"), headers, client=self._client
        )
        if {"content-length", "transfer-encoding"} <= headers.keys():
            # A proxy between this node and the client may believe the other header. It would take the rest of this body
            # for a request of another client (RFC 9112, 6.1). So no further request is answered on this connection.
            return Response(400, close=True)
        # Asked before the body is read: a refused client cannot make this node keep its body.
        refused = self._routes.answer_head(request)
        if refused is not None:
            return refused
        # The deadline moves with the bytes that come, in `_body`. A slow line is served, a client that only keeps its
        # place is not.
        with trio.CancelScope(deadline=trio.current_time() + BODY_SECONDS) as patience:
            body = await self._body(headers, self._largest_body(request), arriving, patience)
            return TOO_LARGE if body is None else replace(request, body=body, arriving=arriving)
        return TOO_SLOW

    def _largest_body(self, head: Request) -> int:
        return self._max_body if isinstance(self._max_body, int) else self._max_body(head)

    async def _body(
        self, headers: Mapping[str, str], largest: int, arriving: ArrivingBody, patience: trio.CancelScope
    ) -> bytes | None:
        """Return the body of the request, None once it is too large: its rest is not kept. RemoteProtocolError for
        too many chunks."""
        # Known from the head: no byte of such a body is read.
        if int(headers.get("content-length", "0")) > largest:
            return None
        # Sent only here, after every check of the head. A client that asks first need not send a body in vain.
        if self._http.they_are_waiting_for_100_continue:
            await self._stream.send_all(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        body, pieces = bytearray(), 0
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            pieces += 1
            if len(body) > largest:
                return None
            self._arriving.add_bytes(arriving, len(event.data))
            patience.deadline += len(event.data) / BODY_BYTES_PER_SECOND
            if pieces > FREE_CHUNKS + len(body) // BYTES_PER_CHUNK:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
            # Chunks that are here already are read without a pause. Other connections must get their turn.
            if pieces % CHUNKS_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        return bytes(body)

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = bytes(await self._stream.receive_some(READ_BYTES))
            self._head_lines.count_lines(data)
            self._http.receive_data(data)
        return event

    async def _linger(self) -> None:
        # Closing with unread bytes resets the connection, and the client may never see the response.
        with trio.move_on_after(LINGER_SECONDS):
            if isinstance(self._stream, trio.SocketStream):  # TLS cannot be closed by half
                await self._stream.send_eof()
            while await self._stream.receive_some(READ_BYTES):
                pass
