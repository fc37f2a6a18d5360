"""Clients of the HTTP port that are greedy, slow, many, or do not speak HTTP: each is bounded, and nobody else notices."""

import json
import os
import random
import resource
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from tests.support.logs import captured_logs
from tests.support.rpc_node import PATIENCE, error_code, http_settings, raw, read_to_end, request, rpc_node

ONE = request("eth_blockNumber")
MEGABYTE = 2**20


async def still_serves(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        reply: dict[str, object] = (await client.post(url, json=ONE)).json()
        return reply == {"jsonrpc": "2.0", "id": 1, "result": "0x0"}


def peak_memory() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class TestGreedy:
    async def test_a_hundred_megabytes_are_refused_before_they_arrive(self) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield bytes(MEGABYTE)

        async with rpc_node(websocket=None) as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (100 * MEGABYTE)
            assert b"HTTP/1.1 413" in await raw_start(node.http_port, head)
            before = peak_memory()
            announced = await client.post(node.url, content=body(), headers={"content-length": str(100 * MEGABYTE)})
            assert announced.status_code == 413
            chunked = await client.post(node.url, content=body())
            assert chunked.status_code == 413
            assert peak_memory() - before < 60 * MEGABYTE
            assert await still_serves(node.url)

    async def test_the_limit_is_the_operators_to_the_byte(self) -> None:
        async with rpc_node(http_settings(max_body=100), None) as node, httpx.AsyncClient() as client:
            text = json.dumps(ONE)
            assert (await client.post(node.url, content=text.ljust(100))).status_code == 200
            assert (await client.post(node.url, content=text.ljust(101))).status_code == 413

    async def test_a_small_body_that_unfolds(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            for body in ("[" * 10_000, '{"a":' * 10_000, "[" * 5_000_000):
                reply = await client.post(node.url, content=body)
                assert (reply.status_code, error_code(reply.content)) == (400, -32700)
            batch = "[" + ",".join([json.dumps(ONE)] * 100_000)[: 5 * MEGABYTE].rpartition(",{")[0] + "]"
            reply = await client.post(node.url, content=batch)
            assert (reply.status_code, error_code(reply.content)) == (200, -32005)

    async def test_many_small_values_are_not_made(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            before = peak_memory()
            for body in ("[" + "[]," * 1_700_000 + "[]]", '{"a":[' + "0," * 2_600_000 + "0]}"):
                reply = await client.post(node.url, content=body)
                assert (reply.status_code, error_code(reply.content)) == (400, -32700)
            reply = await client.post(node.url, content="[" + "{}," * 1_700_000 + "{}]")
            assert (reply.status_code, error_code(reply.content)) == (200, -32005)
            assert peak_memory() - before < 60 * MEGABYTE
            topics = ["0x" + number.to_bytes(32).hex() for number in range(30_000)]
            reply = await client.post(node.url, json=request("eth_getLogs", {"topics": [topics]}))
            assert error_code(reply.content) != -32700

    async def test_a_head_of_many_lines_is_refused(self) -> None:
        async with rpc_node(websocket=None) as node:
            head = b"GET / HTTP/1.1\nHost: localhost\n"
            for end in (b"\r\n\r\n", b"\n\n"):
                assert b"HTTP/1.1 431" in await raw(node.http_port, head + b"a:b\n" * 5_000 + end)
            body = b"\n" * 200 + json.dumps(ONE).encode()
            post = head.replace(b"GET", b"POST") + b"Connection: close\nContent-Length: %d\n\n" % len(body)
            assert b"HTTP/1.1 200" in await raw(node.http_port, post + body)

    @pytest.mark.parametrize(
        "head", [b"GET /" + b"a" * 40_000, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000]
    )
    async def test_an_endless_head_is_cut(self, head: bytes) -> None:
        async with rpc_node(websocket=None) as node:
            assert b"HTTP/1.1 431" in await raw(node.http_port, head)
            assert await still_serves(node.url)


class TestNotHttp:
    async def test_garbage_is_a_bad_request_or_a_closed_connection(self) -> None:
        randomness = random.Random(1)
        async with rpc_node(websocket=None) as node:
            for _ in range(50):
                garbage = randomness.randbytes(randomness.randrange(1, 2_000)) + b"\r\n\r\n"
                reply = await raw(node.http_port, garbage)
                assert reply.startswith((b"HTTP/1.1 400", b"HTTP/1.1 4", b"HTTP/1.1 5"))
            assert await still_serves(node.url)

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 5\r\nContent-Length: 6",
            b"Content-Length: -1",
            b"Content-Length: 99999999999999999999999999",
            b"Transfer-Encoding: gzip",
            b"Host: second.example",
        ],
    )
    async def test_ambiguous_requests_are_refused(self, fields: bytes) -> None:
        async with rpc_node(websocket=None) as node:
            reply = await raw(node.http_port, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n\r\n{}")
            assert int(reply[9:12]) >= 400
            assert reply.count(b"HTTP/1.1") == 1

    async def test_an_origin_that_is_not_ascii_is_refused_and_the_port_serves_on(self) -> None:
        async with rpc_node(http_settings(cors_origins=("*",)), None) as node:
            body = json.dumps(ONE).encode()
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://caf\xe9.example\r\nContent-Length: %d\r\n\r\n"
            assert (await raw(node.http_port, head % len(body) + body)).startswith(b"HTTP/1.1 403")
            assert await still_serves(node.url)

    async def test_what_follows_a_request_is_not_taken_for_another(self) -> None:
        async with rpc_node(websocket=None) as node:
            body = json.dumps(ONE).encode()
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            reply = await raw(node.http_port, head + b"\0" * 100 + b"\r\n\r\n")
            assert reply.count(b"HTTP/1.1 200") == 1
            assert reply.count(b"HTTP/1.1 400") == 1


class TestSlow:
    async def test_a_request_that_drips_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.http.http_connection.REQUEST_SECONDS", 0.3)
        async with rpc_node(websocket=None) as node:
            with trio.fail_after(PATIENCE):
                stream = await trio.open_tcp_stream("127.0.0.1", node.http_port)
                replies: list[bytes] = []

                async def listen(stop: trio.CancelScope) -> None:
                    replies.append(await read_to_end(stream))
                    stop.cancel()

                async with stream, trio.open_nursery() as nursery:
                    nursery.start_soon(listen, nursery.cancel_scope)
                    await stream.send_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
                    try:
                        while True:
                            await stream.send_all(b" ")
                            await trio.sleep(0.05)
                    except trio.BrokenResourceError:
                        pass
            assert replies[0].startswith(b"HTTP/1.1 408")

    async def test_a_connection_that_says_nothing_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.http.http_connection.IDLE_SECONDS", 0.1)
        async with rpc_node(websocket=None) as node:
            with monkeypatch.context() as at_first:
                at_first.setattr("lacnode.http.http_connection.FIRST_REQUEST_SECONDS", 0.1)
                assert await raw(node.http_port, b"") == b""
            assert b"HTTP/1.1 201" in await raw(node.http_port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    async def test_a_client_that_does_not_read_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.http.response_sender.RESPONSE_SECONDS", 0.1)
        monkeypatch.setattr("lacnode.http.response_sender.RESPONSE_BYTES_PER_SECOND", 2**40)
        body = json.dumps([request("eth_getBlockByNumber", "latest", False)] * 1000).encode()
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with rpc_node(http_settings(max_connections=1), None) as node:
            with trio.fail_after(PATIENCE):
                stream = await trio.open_tcp_stream("127.0.0.1", node.http_port)
                async with stream:
                    try:
                        for _ in range(40):
                            await stream.send_all(head + body)
                    except trio.BrokenResourceError:
                        pass
                    while not await accepted(node.http_port):
                        await trio.lowlevel.checkpoint()

    async def test_clients_that_leave_in_the_middle_leave_nothing_behind(self) -> None:
        body = json.dumps(ONE).encode()
        whole = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        async with rpc_node(http_settings(max_connections=2), None) as node:
            with captured_logs() as logs:
                for length in range(0, len(whole), 7):
                    with trio.fail_after(PATIENCE):
                        stream = await trio.open_tcp_stream("127.0.0.1", node.http_port)
                        await stream.send_all(whole[:length])
                        await stream.aclose()
                        while not await accepted(node.http_port):
                            await trio.lowlevel.checkpoint()
            assert not [entry for entry in logs if entry["log_level"] == "error"]
            assert await still_serves(node.url)


class TestMany:
    async def test_connections_over_the_limit_are_closed_and_room_is_made_again(self) -> None:
        async with rpc_node(http_settings(max_connections=3), None) as node:
            with trio.fail_after(PATIENCE):
                inside = [await trio.open_tcp_stream("127.0.0.1", node.http_port) for _ in range(3)]
                for stream in inside:
                    await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 201")
                for _ in range(100):
                    assert not await accepted(node.http_port)
                for stream in inside:
                    await stream.aclose()
                while not await accepted(node.http_port):
                    await trio.lowlevel.checkpoint()

    async def test_a_client_that_comes_and_goes_at_the_limit_writes_one_line(self) -> None:
        async with rpc_node(http_settings(max_connections=1), None) as node:
            with trio.fail_after(PATIENCE), captured_logs() as logs:
                for _ in range(5):
                    while (inside := await admitted(node.http_port)) is None:
                        await trio.lowlevel.checkpoint()
                    assert not await accepted(node.http_port)
                    await inside.aclose()
        assert sum("turned away" in str(line["event"]) for line in logs) == 1

    async def test_the_loop_stays_free_while_every_worker_is_busy(self) -> None:
        batch = [request("eth_getBlockByNumber", "latest", True)] * 1000
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.sleep(0.01)

        async with (
            rpc_node(websocket=None) as node,
            httpx.AsyncClient(timeout=PATIENCE) as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(turn)
            async with trio.open_nursery() as asking:
                for _ in range(os.cpu_count() or 1):
                    asking.start_soon(post, client, node.url, batch)
            nursery.cancel_scope.cancel()
        assert turns > 1


async def admitted(port: int) -> trio.SocketStream | None:
    """A connection whose first request was answered; None if it was turned away."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if await stream.receive_some():
            return stream
    except trio.BrokenResourceError:
        pass
    await stream.aclose()
    return None


async def raw_start(port: int, data: bytes) -> bytes:
    """The first of what the server says to `data`, while the connection is still open."""
    with trio.fail_after(PATIENCE):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(data)
            return bytes(await stream.receive_some())


async def post(client: httpx.AsyncClient, url: str, document: object) -> None:
    assert (await client.post(url, json=document)).status_code == 200


async def accepted(port: int) -> bool:
    """Whether a new connection is let in."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        try:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return (await stream.receive_some()).startswith(b"HTTP/1.1 201")
        except trio.BrokenResourceError:
            return False
