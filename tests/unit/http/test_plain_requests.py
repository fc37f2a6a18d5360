"""Requests that are read without `h11`: they must mean to `h11` what they mean here."""

import random

import h11
import pytest
import trio
import trio.testing

from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners
from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import Request, Response
from lacnode.http.plain_requests import parse_plain_request

BODY = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
PLAIN = b"POST /?a=b HTTP/1.1\r\nHost: node:8545\r\naccept: */*\r\nX-Empty:\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


def read_by_h11(data: bytes) -> tuple[str, str, dict[str, str], bytes] | None:
    """What `h11` reads in `data`: None unless that is one whole request after which another one may follow."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    body = b""
    try:
        head = connection.next_event()
        while isinstance(event := connection.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    if not isinstance(head, h11.Request) or not isinstance(event, h11.EndOfMessage):
        return None
    if connection.trailing_data[0] or connection.their_state is not h11.DONE:
        return None
    headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    return head.method.decode(), head.target.decode(), headers, body


def fields(request: Request) -> tuple[str, str, dict[str, str], bytes]:
    return request.method, request.target, dict(request.headers), request.body


def test_a_plain_request_is_read() -> None:
    request = parse_plain_request(PLAIN, "10.0.0.1")
    assert request is not None
    assert fields(request) == read_by_h11(PLAIN)
    assert request.client == "10.0.0.1"


@pytest.mark.parametrize(
    "changed",
    [
        PLAIN + b"x",
        PLAIN[:-1],
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Host: node:8545\r\n", b""),
        PLAIN.replace(b"accept: */*", b"host: other"),
        PLAIN.replace(b"accept: */*", b"connection: close"),
        PLAIN.replace(b"accept: */*", b"transfer-encoding: chunked"),
        PLAIN.replace(b"accept: */*", b"content-length: %d" % len(BODY)),
        PLAIN.replace(b"accept: */*", b"expect: 100-continue"),
        PLAIN.replace(b"accept: */*", b"accept : */*"),
        PLAIN.replace(b"accept: */*", b"accept: */*\r\n folded"),
        PLAIN.replace(b"accept: */*", b"accept: \xff"),
        PLAIN.replace(b"Content-Length: ", b"Content-Length: +"),
        PLAIN.replace(b"accept: */*", b"\r\n".join(b"h%d: 1" % number for number in range(40))),
        PLAIN.replace(b"*/*", b"a" * 5_000),
    ],
)
def test_every_other_form_is_left_to_h11(changed: bytes) -> None:
    assert parse_plain_request(changed, "") is None


def test_nothing_is_read_otherwise_than_by_h11() -> None:
    generator = random.Random(1)
    signs = [b"\r\n", b"\n", b":", b" ", b"\t", b"\0", b",", b"0", b"POST / HTTP/1.1\r\n", b"content-length: 3\r\n"]
    read = 0
    for _ in range(20_000):
        data = bytearray(PLAIN)
        for _ in range(generator.randint(1, 3)):
            place = generator.randrange(len(data))
            data[place : place + generator.randint(0, 2)] = generator.choice(
                [*signs, bytes([generator.randrange(256)])]
            )
        request = parse_plain_request(bytes(data), "")
        if request is not None:
            read += 1
            assert fields(request) == read_by_h11(bytes(data)), bytes(data)
    assert read > 1_000


class Echoes:
    def answer_head(self, head: Request) -> Response | None:
        return Response(403, close=True) if head.target == "/refused" else None

    async def answer(self, request: Request) -> Response:
        return Response(200, request.body * int(request.headers.get("times", "1")))


async def replies(parts: list[bytes], *, largest: int = 1_000) -> bytes:
    """All that a client reads that sends `parts` one after the other, and ends then."""
    listeners = await open_listeners("127.0.0.1", 0)
    server = ConnectionServer("test", 1, lambda stream: HttpConnection(stream, Echoes(), largest).run())
    port = bound_port(listeners)
    async with listeners[0], trio.open_nursery() as nursery, await trio.open_tcp_stream("127.0.0.1", port) as client:
        nursery.start_soon(server.serve, listeners)
        for part in parts:
            await client.send_all(part)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await client.send_eof()
        read = b""
        with trio.fail_after(60):
            while data := await client.receive_some(65_536):
                read += data
        nursery.cancel_scope.cancel()
    return read


async def test_both_ways_of_reading_answer_alike_on_one_connection() -> None:
    ok = b"HTTP/1.1 200 \r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
    chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(BODY),
        BODY,
    )
    head, body = PLAIN[: -len(BODY)], PLAIN[-len(BODY) :]
    assert await replies([PLAIN, chunked, PLAIN, head, body, PLAIN + PLAIN, PLAIN]) == ok * 7


async def test_a_plain_request_meets_the_bounds_of_every_request() -> None:
    assert (await replies([PLAIN], largest=10)).startswith(b"HTTP/1.1 413 ")
    refused = await replies([PLAIN.replace(b"/?a=b", b"/refused"), PLAIN])
    assert refused == b"HTTP/1.1 403 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def test_a_long_response_to_a_plain_request_arrives_whole() -> None:
    reply = await replies([PLAIN.replace(b"accept: */*", b"times: 50000")])
    assert reply.partition(b"\r\n\r\n")[2] == BODY * 50_000
