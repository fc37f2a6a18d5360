"""Connections between managers stay open for the next call, and no more of them than the bound."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import ip_network

import pytest
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.peer_sender import PeerCall
from lacnode.privacy.service.peer_connections import PeerConnections
from lacnode.privacy.service.peer_exchange import MAX_PLAIN_HEAD_BYTES, AnswerError, parse_origin
from lacnode.privacy.service.permitted_network import PermittedNetwork

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LAST_ANSWER = ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
REFUSED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"
LARGEST = 1_000


class Server:
    """Answers every request with `answer`, in `parts`, and counts the connections: all of them, and those that are open."""

    def __init__(self, answer: bytes, parts: int = 1) -> None:
        self.answer, self.parts = answer, parts
        self.made = self.open = 0
        self.received, self.closed = trio.Event(), trio.Event()
        self.streams: list[trio.SocketStream] = []
        self.request = b""

    async def serve(self, stream: trio.SocketStream) -> None:
        self.made += 1
        self.open += 1
        self.streams.append(stream)
        with suppress(trio.BrokenResourceError):
            while request := await stream.receive_some():
                self.request = bytes(request)
                self.received.set()
                step = -(-len(self.answer) // self.parts)
                for start in range(0, len(self.answer), step):
                    await stream.send_all(self.answer[start : start + step])
                if b"connection: close" in self.answer:
                    break
        await stream.aclose()
        self.open -= 1
        self.closed.set()


@asynccontextmanager
async def server(answer: bytes = ANSWER, parts: int = 1) -> AsyncIterator[tuple[Server, str]]:
    """A running server and its URL."""
    made = Server(answer, parts)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1"))
        yield made, f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@pytest.fixture
async def connections() -> AsyncIterator[PeerConnections]:
    network = PermittedNetwork(AddressPolicy(allowed=[ip_network("127.0.0.0/8")]))
    made = PeerConnections(ssl.create_default_context(), network, max_open=2, keep_alive_seconds=60.0)
    yield made
    await made.close_unused()


def post(url: str) -> PeerCall:
    return PeerCall("POST", url, "/push", b"body", (("content-type", "application/cbor"),))


async def body(connections: PeerConnections, url: str) -> bytes:
    return (await connections.send(post(url), LARGEST)).body


async def test_the_request_has_a_host_and_the_length_of_its_body(connections: PeerConnections) -> None:
    async with server() as (there, url):
        await body(connections, url)
    head, _, sent = there.request.partition(b"\r\n\r\n")
    assert sent == b"body"
    assert head.split(b"\r\n") == [
        b"POST /push HTTP/1.1",
        b"Host: " + url.removeprefix("http://").encode(),
        b"content-type: application/cbor",
        b"accept-encoding: identity",
        b"Content-Length: 4",
    ]


async def test_an_answer_names_the_address_that_it_comes_from(connections: PeerConnections) -> None:
    async with server() as (_, url):
        assert [(await connections.send(post(url), LARGEST)).address for _ in range(2)] == ["127.0.0.1"] * 2


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED, ANSWER.replace(b"OK", b"\xe9"), REFUSED])
async def test_the_next_call_uses_the_open_connection(connections: PeerConnections, answer: bytes) -> None:
    async with server(answer) as (there, url):
        expected = b"" if answer == REFUSED else b"ok"
        assert [await body(connections, url) for _ in range(3)] == [expected] * 3
        assert there.made == 1


@pytest.mark.parametrize(
    "answer",
    [
        LAST_ANSWER,
        ANSWER + b"more",
        CHUNKED + b"HTTP/1.1",
        REFUSED + b"more",
        ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"),
        LAST_ANSWER.replace(b"200", b"404"),
    ],
)
async def test_a_connection_after_which_nothing_is_certain_is_not_used_again(
    connections: PeerConnections, answer: bytes
) -> None:
    async with server(answer) as (there, url):
        await body(connections, url)
        with trio.fail_after(60):
            await there.closed.wait()
        await body(connections, url)
        assert there.made == 2


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED, LAST_ANSWER])
async def test_an_answer_may_come_in_any_parts(connections: PeerConnections, answer: bytes) -> None:
    async with server(answer, parts=len(answer)) as (_, url):
        assert await body(connections, url) == b"ok"


async def test_an_answer_without_a_length_ends_with_the_connection(connections: PeerConnections) -> None:
    async with server(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok") as (_, url):
        assert await body(connections, url) == b"ok"


CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
USELESS = {
    "short": CLOSING + b"content-length: 3\r\n\r\nok",
    "short chunk": CLOSING + b"transfer-encoding: chunked\r\n\r\n3\r\nok",
    "two lengths": CLOSING + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "large": CLOSING + b"content-length: %d\r\n\r\n" % (LARGEST + 1) + bytes(LARGEST + 1),
    "endless": CLOSING + b"\r\n" + bytes(LARGEST + 1),
    "other protocol": CLOSING.replace(b"200", b"101") + b"\r\n",
    "text": b"connection: close, and no answer\r\n\r\n",
    "large text": b"connection: close" + bytes(200_000),
    "large head": CLOSING + b"x: " + b"y" * 200_000,
}


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("parts", [1, 7])
async def test_a_malformed_or_long_answer_is_an_error(connections: PeerConnections, kind: str, parts: int) -> None:
    async with server(USELESS[kind], parts) as (there, url):
        with trio.fail_after(60):
            with pytest.raises((AnswerError, trio.BrokenResourceError)):
                await body(connections, url)
            await there.closed.wait()


async def test_a_long_head_is_read_as_well(connections: PeerConnections) -> None:
    answer = ANSWER.replace(b"content", b"x: " + b"y" * MAX_PLAIN_HEAD_BYTES + b"\r\ncontent")
    async with server(answer) as (there, url):
        assert [await body(connections, url) for _ in range(2)] == [b"ok"] * 2
        assert there.made == 1


async def test_a_connection_that_the_other_side_has_closed_is_not_used_again(connections: PeerConnections) -> None:
    async with server() as (there, url):
        await body(connections, url)
        there.streams[0].socket.shutdown(trio.socket.SHUT_WR)
        assert await body(connections, url) == b"ok"
        assert there.made == 2


async def test_a_cancelled_call_closes_its_connection(connections: PeerConnections) -> None:
    async with server(ANSWER[:-1]) as (there, url):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(body, connections, url)
                await there.received.wait()
                nursery.cancel_scope.cancel()
            await there.closed.wait()
        assert there.open == 0


async def test_the_oldest_unused_connection_is_closed_for_a_new_one(connections: PeerConnections) -> None:
    async with server() as (first, one), server() as (second, two), server() as (third, three):
        for url in (one, two, one, three, one):
            await body(connections, url)
        assert (first.made, second.made, third.made) == (1, 1, 1)
        with trio.fail_after(60):
            await second.closed.wait()
        assert first.open + second.open + third.open == 2


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://a b", "http://a\x7fb", "http://a:port", "host:80"])
def test_a_url_that_no_request_can_have_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected|[Pp]ort"):
        parse_origin(url)


def test_a_url_with_a_path_and_a_name_leads_to_its_server() -> None:
    origin = parse_origin("https://name:secret@[::1]/path?x")
    assert (origin.is_tls, origin.host, origin.port, origin.name) == (True, "::1", 443, "::1:443")
