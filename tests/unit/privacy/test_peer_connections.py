"""Connections between managers stay open for the next call, and no more of them than the bound."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpcore
import pytest
import trio

from lacnode.privacy.service.peer_connections import PeerConnections

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LAST_ANSWER = ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


class Server:
    """Answers every request with `answer`, and counts the connections: all of them, and those that are open."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.made = self.open = 0
        self.received, self.closed = trio.Event(), trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.made += 1
        self.open += 1
        async with stream:
            while await stream.receive_some():
                self.received.set()
                await stream.send_all(self.answer)
                if self.answer == LAST_ANSWER:
                    break
        self.open -= 1
        self.closed.set()


@asynccontextmanager
async def server(answer: bytes = ANSWER) -> AsyncIterator[tuple[Server, bytes]]:
    """A running server and its URL."""
    made = Server(answer)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1"))
        yield made, b"http://127.0.0.1:%d/" % listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.fixture
async def connections() -> AsyncIterator[PeerConnections]:
    made = PeerConnections(ssl.create_default_context(), httpcore.TrioBackend(), max_open=2, keep_alive_seconds=60.0)
    yield made
    await made.aclose()


async def whole(response: httpcore.Response) -> bytes:
    return b"".join([part async for part in response.aiter_stream()])


async def nothing(response: httpcore.Response) -> bytes:
    return b""


def get(url: bytes) -> httpcore.Request:
    return httpcore.Request("GET", url, headers=[(b"Host", b"test")])


async def test_the_next_call_uses_the_open_connection(connections: PeerConnections) -> None:
    async with server() as (there, url):
        assert [await connections.send(get(url), whole) for _ in range(3)] == [b"ok"] * 3
        assert there.made == 1


@pytest.mark.parametrize(("answer", "read"), [(LAST_ANSWER, whole), (ANSWER, nothing)])
async def test_a_closed_or_half_read_connection_is_not_used_again(
    connections: PeerConnections, answer: bytes, read: object
) -> None:
    async with server(answer) as (there, url):
        await connections.send(get(url), read)  # type: ignore[arg-type]
        with trio.fail_after(60):
            await there.closed.wait()
        await connections.send(get(url), whole)
        assert there.made == 2


async def test_a_connection_that_the_other_side_has_closed_is_not_used_again(connections: PeerConnections) -> None:
    async with server() as (there, url):
        await connections.send(get(url), whole)
        (idle,) = connections._unused
        there.answer = LAST_ANSWER
        # The server closes its side after an answer that the client did not ask for.
        stream = idle._connection._network_stream  # type: ignore[union-attr]
        await stream.write(b"GET / HTTP/1.1\r\n\r\n")
        with trio.fail_after(60):
            await there.closed.wait()
        assert await connections.send(get(url), whole) == b"ok"
        assert there.made == 2


async def test_a_cancelled_call_closes_its_connection(connections: PeerConnections) -> None:
    async with server(ANSWER[:-1]) as (there, url):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connections.send, get(url), whole)
                await there.received.wait()
                nursery.cancel_scope.cancel()
            await there.closed.wait()
        assert there.open == 0


async def test_the_oldest_unused_connection_is_closed_for_a_new_one(connections: PeerConnections) -> None:
    async with server() as (first, one), server() as (second, two), server() as (third, three):
        for url in (one, two, one, three, one):
            await connections.send(get(url), whole)
        assert (first.made, second.made, third.made) == (1, 1, 1)
        with trio.fail_after(60):
            await second.closed.wait()
        assert first.open + second.open + third.open == 2
