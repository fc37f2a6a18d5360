"""Sends the responses of one connection, in the form of `h11` or of a plain request. A client that reads slowly meets a
bound in time, and all clients of a port together one in bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import trio

from lacnode.http.compression import MIN_COMPRESSED_BYTES, choose_coding, compress
from lacnode.http.http_messages import Request, Response
from lacnode.http.plain_requests import encode_head
from lacnode.http.send_backlog import SendBacklog

RESPONSE_SECONDS, RESPONSE_BYTES_PER_SECOND = 60.0, 50_000
"""Time that a client may take to read a response: so many seconds, and one more for so many bytes."""

JOINED_BODY_BYTES = 65_536
"""Length of a body that is sent in one go with its head."""


class _WaitingResponse:
    """A response that the client has not read yet."""

    def __init__(self, size: int, scope: trio.CancelScope) -> None:
        self.size = size
        self._scope = scope

    def cut_off(self) -> None:
        self._scope.cancel()


class ResponseSender:
    """Sends responses to `stream`. `http` is the state of its connection. Responses count for `backlog` until the
    system has taken their last byte. A body of `MIN_COMPRESSED_BYTES` or more is compressed if the client accepts that."""

    def __init__(self, stream: trio.abc.Stream, http: h11.Connection, backlog: SendBacklog) -> None:
        self._stream = stream
        self._http = http
        self._backlog = backlog

    async def send(self, response: Response, head: Request | None) -> None:
        """Send the response to the request with `head`, which `h11` has read. `head` is None if `h11` could not read
        the head. The response to a HEAD request is sent without its body.

        Nothing is sent if `h11` can send no response now: one was sent already, or the connection has failed.
        BrokenResourceError if the client has left, does not read the response in time, or holds too much of the port's
        memory.
        """
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(response, head, is_plain=False)

    async def send_to_plain_request(self, response: Response, request: Request) -> None:
        """Send the response to a plain request, which `parse_plain_request` and not `h11` has read. The state of `h11`
        does not change. BrokenResourceError if the client has left, does not read the response in time, or holds too
        much of the port's memory."""
        if len(response.body) < MIN_COMPRESSED_BYTES and isinstance(self._stream, trio.SocketStream):
            parts = self._parts(response, response.body, None, is_plain=True)
            # The system takes nearly every short response at once. Only the rest of a response needs a time limit.
            rest = _rest_after_sending(self._stream, b"".join(parts))
            if rest:
                with self._counted(len(rest)):
                    await self._stream.send_all(rest)
        else:
            await self._send(response, request, is_plain=True)

    async def _send(self, response: Response, head: Request | None, *, is_plain: bool) -> None:
        with self._counted(len(response.body)):
            for part in await self._coded_parts(response, head, is_plain=is_plain):
                await self._stream.send_all(part)

    @contextmanager
    def _counted(self, size: int) -> Iterator[None]:
        """Count a response of `size` bytes while it is sent, and bound its time. BrokenResourceError after that time."""
        with trio.move_on_after(RESPONSE_SECONDS + size / RESPONSE_BYTES_PER_SECOND) as reading:
            waiting = _WaitingResponse(size, reading)
            # The response takes memory from here on, also while it waits to be compressed.
            self._backlog.add_client(waiting)
            try:
                yield
            finally:
                self._backlog.forget(waiting)
        if reading.cancelled_caught:
            raise trio.BrokenResourceError("the client does not read its response")

    async def _coded_parts(self, response: Response, head: Request | None, *, is_plain: bool) -> list[bytes]:
        """Return the bytes of `response`, compressed if the client accepts that."""
        # A response to HEAD has no body.
        body = b"" if head is not None and head.method == "HEAD" else response.body
        coding = choose_coding(head, body)
        if coding is not None:
            # Megabytes take some tenths of a second to compress. The event loop serves all connections meanwhile.
            body = await trio.to_thread.run_sync(
                compress, body, coding, limiter=self._backlog.compressing, abandon_on_cancel=True
            )
        parts = self._parts(response, body, coding, is_plain=is_plain)
        # Joined, a long body would take its memory twice.
        return [b"".join(parts)] if len(body) < JOINED_BODY_BYTES else parts

    def _parts(self, response: Response, body: bytes, coding: str | None, *, is_plain: bool) -> list[bytes]:
        """Return the head of `response`, and its `body`, which is in `coding`."""
        headers = list(response.headers)
        if coding is not None:
            headers.append(("content-encoding", coding))
        if response.status != 204:
            headers.append(("content-length", str(len(body))))
        if response.close:
            headers.append(("connection", "close"))
        if is_plain:
            return [encode_head(response.status, response.reason, headers), body]
        head = h11.Response(status_code=response.status, headers=headers, reason=response.reason.encode())
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        return [part for event in events if (part := self._http.send(event))]


def _rest_after_sending(stream: trio.SocketStream, data: bytes) -> bytes:
    """Give `data` to the system without waiting. Return what it does not take. BrokenResourceError if the client has
    left."""
    try:
        return data[os.write(stream.socket.fileno(), data) :]
    except BlockingIOError:
        return data
    except OSError as error:
        raise trio.BrokenResourceError("the client has left") from error
