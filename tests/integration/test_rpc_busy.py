"""A node that is asked for more than it can do: cheap methods go on, and what cannot wait is refused at once."""

import json
from contextlib import AsyncExitStack

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from lacnode.rpc.fair_limiter import FairLimiter
from lacnode.rpc.http_routes import PAGE_SECONDS
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.request_runner import WORKER_THREADS
from lacnode.rpc.websocket import FRAME_SECONDS
from tests.support.rpc_node import PATIENCE, call, http_settings, raw, request, rpc_node

ENDLESS = ({"data": "0x5b600056", "gas": hex(2**63 - 1)}, "latest")


class StuckReaders:
    """Readers that answer nothing until `released`, and take `waiting` calls of one address besides the one that runs."""

    def __init__(self, waiting: int) -> None:
        self.released = trio.Event()
        self.asked: list[str] = []
        self._turns = FairLimiter(1, per_client=waiting)

    async def run(self) -> None:
        pass

    async def read(self, call: ReadCall, client: str) -> object:
        self.asked.append(call.handler.__name__)
        async with self._turns.turn(client):
            await self.released.wait()
        return "0x"


async def until_asked(readers: StuckReaders, calls: int) -> None:
    with trio.fail_after(PATIENCE):
        while len(readers.asked) < calls:  # noqa: ASYNC110, a server's tasks tell nobody
            await trio.sleep(0.01)


class CountedShare:
    """A share of the processor that is never used up; `owed` is what was spent and not yet waited for."""

    def __init__(self, *limits: float) -> None:
        self.spent = 0.0
        self.owed = 0.0

    def spend(self, seconds: float) -> None:
        self.spent += seconds
        self.owed += seconds

    def delay_seconds(self) -> float:
        self.owed = 0.0
        return 0.0


class TestWhatIsNoCall:
    async def test_pings_use_up_a_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        share = CountedShare()
        monkeypatch.setattr("lacnode.rpc.websocket.TimeShare", lambda *limits: share)
        async with rpc_node() as node, open_websocket_url(node.ws_url) as websocket:
            for _ in range(10):
                await websocket.ping()
        assert share.spent >= 10 * FRAME_SECONDS
        assert share.owed == 0.0

    async def test_pages_use_up_a_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        share = CountedShare()
        monkeypatch.setattr("lacnode.rpc.http_routes.TimeShare", lambda *limits: share)
        async with rpc_node(websocket=None) as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            for path in ("/", "/liveness", "/nothing"):
                await client.get(node.url.rstrip("/") + path)
            spent = share.spent
            assert spent >= 3 * PAGE_SECONDS
            assert share.owed == 0.0
            await call(client, node.url, "eth_blockNumber")
            assert share.spent == spent, "calls are counted elsewhere"


class TestHeavyCalls:
    async def test_do_not_hold_cheap_methods(self) -> None:
        readers = StuckReaders(waiting=100)
        async with (
            rpc_node(readers=readers) as node,
            httpx.AsyncClient(timeout=PATIENCE) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(40):
                nursery.start_soon(_ask, client, node.url, request("eth_call", *ENDLESS))
            await until_asked(readers, 40)
            assert await call(client, node.url, "eth_blockNumber") == "0x0"
            async with open_websocket_url(node.ws_url) as websocket:
                await websocket.send_message(json.dumps(request("eth_chainId")))
                assert "result" in json.loads(await websocket.get_message())
            readers.released.set()

    async def test_that_cannot_wait_are_refused_at_once(self) -> None:
        readers = StuckReaders(waiting=1)
        async with (
            rpc_node(readers=readers) as node,
            httpx.AsyncClient(timeout=PATIENCE) as client,
            trio.open_nursery() as nursery,
        ):
            for calls in (1, 2):
                nursery.start_soon(_ask, client, node.url, request("eth_call", *ENDLESS))
                await until_asked(readers, calls)
            refused = await client.post(node.url, json=request("eth_call", *ENDLESS, id_=7))
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert (refused.json()["error"]["code"], refused.json()["id"]) == (-32005, 7)
            batch = [request("eth_call", *ENDLESS, id_=1), request("eth_blockNumber", id_=2)]
            reply = await client.post(node.url, json=batch)
            assert (reply.status_code, "retry-after" in reply.headers) == (200, False)
            assert [item.get("error", {}).get("code") for item in reply.json()] == [-32005, None]
            async with open_websocket_url(node.ws_url) as websocket:
                await websocket.send_message(json.dumps(request("eth_call", *ENDLESS)))
                assert json.loads(await websocket.get_message())["error"]["code"] == -32005
            readers.released.set()

    async def test_of_one_connection_wait_for_each_other(self) -> None:
        """A batch has one call at the readers at a time, however long it is."""
        readers = StuckReaders(waiting=100)
        async with rpc_node(readers=readers) as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            async with trio.open_nursery() as nursery:
                batch = [request("eth_call", *ENDLESS, id_=number) for number in range(50)]
                nursery.start_soon(_ask, client, node.url, batch)
                await until_asked(readers, 1)
                assert await call(client, node.url, "eth_blockNumber") == "0x0"
                assert readers.asked == ["eth_call"]
                readers.released.set()
            assert len(readers.asked) == 50

    async def test_that_are_quick_need_no_reader(self) -> None:
        readers = StuckReaders(waiting=1)
        async with rpc_node(readers=readers) as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            assert await call(client, node.url, "eth_call", {"data": "0x"}, "latest") == "0x"
            assert await call(client, node.url, "eth_getLogs", {}) == []
            assert readers.asked == []

    async def test_end_without_a_reader_too(self) -> None:
        async with rpc_node() as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            reply = (await client.post(node.url, json=request("eth_call", *ENDLESS))).json()
            assert reply["error"]["message"] == "Timeout expired"


async def _ask(client: httpx.AsyncClient, url: str, document: object) -> None:
    await client.post(url, json=document)


class TestLongBatches:
    async def test_let_others_have_a_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Batches of one address, twice as many as there are threads, and a single call of the same address."""
        monkeypatch.setattr("lacnode.rpc.dispatch.STEP_SECONDS", 0.002)  # so that a batch has many
        done: list[str] = []
        begun: list[int] = []
        async with rpc_node() as node, httpx.AsyncClient(timeout=PATIENCE) as client:
            hash_at = node.made.chain.hash_at

            def noted(number: int) -> bytes | None:
                begun.append(number)
                return hash_at(number)

            monkeypatch.setattr(node.made.chain, "hash_at", noted)

            async def send(name: str, document: object) -> None:
                await client.post(node.url, json=document)
                done.append(name)

            async with trio.open_nursery() as nursery:
                batch = [request("eth_getBlockByNumber", "0x0", True, id_=number) for number in range(1_024)]
                for _ in range(2 * WORKER_THREADS):
                    nursery.start_soon(send, "batch", batch)
                with trio.fail_after(PATIENCE):
                    while not begun:  # noqa: ASYNC110, threads tell nobody
                        await trio.sleep(0.01)
                nursery.start_soon(send, "single", request("eth_blockNumber"))
            assert done[0] == "single"


class TestSmuggledRequests:
    """Requests whose end two readers may see in different places: one answer, and the connection closes."""

    NEXT = b"GET /liveness HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def test_length_and_chunks_together(self) -> None:
        async with rpc_node() as node:
            for headers in (
                b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: chunked\r\nContent-Length: 48\r\n",
                b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            ):
                head = b"POST / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"
                answer = await raw(node.http_port, head + b"0\r\n\r\n" + self.NEXT)
                assert answer.startswith(b"HTTP/1.1 400 ")
                assert answer.count(b"HTTP/1.1 ") == 1
                assert b"connection: close" in answer.lower()

    async def test_other_ends_in_doubt(self) -> None:
        async with rpc_node() as node:
            for headers, body in (
                (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"12345"),
                (b"Content-Length: 5, 6\r\n", b"12345"),
                (b"Content-Length: +5\r\n", b"12345"),
                (b"Content-Length: 0x5\r\n", b"12345"),
                (b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
                (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
                (b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffffffffffff\r\n"),
                (b"Transfer-Encoding: chunked\r\n", b"-1\r\n"),
                (b"Transfer-Encoding: chunked\r\n", b"0x0\r\n\r\n"),
                (b"Content-Length : 5\r\n", b"12345"),
            ):
                answer = await raw(
                    node.http_port, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n" + body + self.NEXT
                )
                assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), headers
                assert answer.count(b"HTTP/1.1 ") == 1, headers


class TestTinyPieces:
    """Bodies and messages in pieces of a byte: to take them in costs more than to send them."""

    async def test_of_a_body(self) -> None:
        async with rpc_node() as node:
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            text = json.dumps(request("eth_chainId")).encode()
            small = b"".join(b"1\r\n%c\r\n" % byte for byte in text.ljust(900)) + b"0\r\n\r\n"
            assert b'"0x539"' in await raw(node.http_port, head + small + b"GET /nowhere HTTP/1.0\r\n\r\n")
            assert (await raw(node.http_port, head + b"1\r\n \r\n" * 30_000)).startswith(b"HTTP/1.1 400 ")
            large = b" " * 300
            body = (b"%x\r\n%b\r\n" % (len(large), large)) * 10_000
            chunked = head + b"%x\r\n%b\r\n" % (len(text), text) + body + b"0\r\n\r\n"
            assert b'"0x539"' in await raw(node.http_port, chunked + b"GET /nowhere HTTP/1.0\r\n\r\n")


class TestConnections:
    async def test_of_one_address_leave_room_for_others(self) -> None:
        """All the connections that there are, idle, from one address; then a client with another address."""
        async with rpc_node(http_settings(max_connections=5, host="0.0.0.0")) as node, AsyncExitStack() as stack:
            idle = [await _connected(node.http_port, "127.0.0.1", stack) for _ in range(5)]
            assert await _answer(await _connected(node.http_port, "127.0.0.1", stack)) == b""
            for _ in range(2):
                other = await _connected(node.http_port, "127.0.0.2", stack)
                assert b"200" in await _answer(other)
            assert await idle[0].receive_some() == b""
            assert await idle[1].receive_some() == b""
            assert b"200" in await _answer(idle[2])
            # Now 127.0.0.1 has three of five, and 127.0.0.2 two: one more would only turn it round.
            assert await _answer(await _connected(node.http_port, "127.0.0.2", stack)) == b""


async def _connected(port: int, address: str, stack: AsyncExitStack) -> trio.SocketStream:
    socket = trio.socket.socket()
    await socket.bind((address, 0))
    await socket.connect(("127.0.0.1", port))
    return await stack.enter_async_context(trio.SocketStream(socket))


async def _answer(stream: trio.SocketStream) -> bytes:
    """The beginning of the answer to a request; empty if the connection is closed."""
    with trio.fail_after(PATIENCE):
        try:
            await stream.send_all(b"GET /liveness HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return bytes(await stream.receive_some())
        except trio.BrokenResourceError:
            return b""
