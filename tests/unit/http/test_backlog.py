"""Responses that clients do not read: what waits for all of them together is bounded."""

import gzip
import threading

import pytest
import trio
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import Request, Response
from lacnode.http.send_backlog import SendBacklog


class Echoes:
    """Answers with as many bytes as the path says."""

    def answer_head(self, head: Request) -> Response | None:
        return None

    async def answer(self, request: Request) -> Response:
        return Response(200, b"x" * int(request.target[1:]))


class Client:
    """A client of a port, which reads only when it is told to."""

    def __init__(self, backlog: SendBacklog, nursery: trio.Nursery) -> None:
        self._stream, server = lockstep_stream_pair()
        self.is_cut = False
        nursery.start_soon(self._serve, HttpConnection(server, Echoes(), 1_000, backlog))

    async def _serve(self, conversation: HttpConnection) -> None:
        try:
            await conversation.run()
        except trio.BrokenResourceError:
            self.is_cut = True

    async def ask(self, size: int, headers: bytes = b"") -> None:
        await self._stream.send_all(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (size, headers))
        await wait_all_tasks_blocked()

    async def read(self) -> int:
        """Bytes of the response, head included."""
        return len(await self._stream.receive_some())


async def test_the_largest_response_is_given_up_when_too_much_waits() -> None:
    async with trio.open_nursery() as nursery:
        backlog = SendBacklog(10_000)
        small, large, late = (Client(backlog, nursery) for _ in range(3))
        await small.ask(3_000)
        await large.ask(6_000)
        assert not large.is_cut
        await late.ask(2_000)
        assert [client.is_cut for client in (small, large, late)] == [False, True, False]
        assert await small.read() > 3_000
        assert await late.read() > 2_000
        nursery.cancel_scope.cancel()


async def test_what_waits_to_be_compressed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    compressing = threading.Event()

    def compress(data: bytes, level: int) -> bytes:
        compressing.wait(60)
        return data

    monkeypatch.setattr(gzip, "compress", compress)
    async with trio.open_nursery() as nursery:
        backlog = SendBacklog(10_000)
        small, large, late = (Client(backlog, nursery) for _ in range(3))
        for client, size in ((small, 3_000), (large, 6_000), (late, 2_000)):
            await client.ask(size, b"Accept-Encoding: gzip\r\n")
        assert [client.is_cut for client in (small, large, late)] == [False, True, False]
        compressing.set()
        nursery.cancel_scope.cancel()


async def test_what_has_been_read_waits_no_longer() -> None:
    async with trio.open_nursery() as nursery:
        backlog = SendBacklog(10_000)
        clients = [Client(backlog, nursery) for _ in range(2)]
        for _ in range(5):
            for client in clients:
                await client.ask(6_000)
                assert await client.read() > 6_000
                await wait_all_tasks_blocked()
        assert not any(client.is_cut for client in clients)
        nursery.cancel_scope.cancel()
