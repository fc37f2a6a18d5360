"""The WebSocket port with real clients: calls, subscriptions, limits, and clients that misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url
from web3 import AsyncWeb3, WebSocketProvider
from web3.middleware import ExtraDataToPOAMiddleware

from lacnode.devnet.allowed_pages import ORIGINS
from lacnode.primitives.hexadecimal import to_hex
from tests.support.chain_genesis import LOGGER_ADDRESS, TOPIC
from tests.support.chain_transactions import transaction
from tests.support.logs import captured_logs
from tests.support.rpc_node import PATIENCE, RpcNode, Sync, call, error_code, raw, request, rpc_node, ws_settings


class Client:
    """A WebSocket client that tells replies from notifications."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection
        self.notices: list[Any] = []

    async def reply(self, message: object) -> Any:
        await self.connection.send_message(message if isinstance(message, str | bytes) else json.dumps(message))
        while True:
            document = await self._next()
            if isinstance(document, list) or "method" not in document:
                return document
            self.notices.append(document)

    async def call(self, method: str, *params: object) -> Any:
        document = await self.reply(request(method, *params))
        assert "error" not in document, document
        return document["result"]

    async def error(self, method: str, *params: object) -> tuple[int, str]:
        error = (await self.reply(request(method, *params)))["error"]
        return error["code"], error["message"]

    async def notice(self) -> tuple[str, Any]:
        """The next notification: subscription and result."""
        document = self.notices.pop(0) if self.notices else await self._next()
        assert list(document) == ["jsonrpc", "method", "params"]
        assert (document["jsonrpc"], document["method"]) == ("2.0", "eth_subscription")
        assert list(document["params"]) == ["subscription", "result"]
        return document["params"]["subscription"], document["params"]["result"]

    async def _next(self) -> Any:
        with trio.fail_after(PATIENCE):
            return json.loads(await self.connection.get_message())


@asynccontextmanager
async def client_of(node: RpcNode, **options: Any) -> AsyncIterator[Client]:
    async with open_websocket_url(node.ws_url, **options) as connection:
        yield Client(connection)


class TestCalls:
    async def test_text_and_binary_are_answered_in_text_on_any_path(self) -> None:
        async with rpc_node() as node, open_websocket_url(node.ws_url + "/any/path") as connection:
            for message in (json.dumps(request("eth_chainId")), json.dumps(request("eth_chainId")).encode()):
                await connection.send_message(message)
                assert await connection.get_message() == '{"jsonrpc":"2.0","id":1,"result":"0x539"}'

    async def test_codes_that_differ_from_http(self) -> None:
        async with rpc_node() as node, client_of(node) as client:
            for message, code in (("", -32600), ("{", -32603), ("[" * 10_000, -32603), ('{"id":1}', -32600)):
                assert error_code(json.dumps(await client.reply(message))) == code
            assert await client.reply("[]") == []
            assert (await client.error("web3_clientVersion"))[0] == -32604

    async def test_a_batch_may_be_longer_than_over_http(self) -> None:
        async with rpc_node() as node, client_of(node) as client:
            assert len(await client.reply([request("eth_chainId")] * 2_000)) == 2_000

    async def test_a_call_may_give_its_data_twice_by_either_port_and_in_batches(self) -> None:
        """As Foundry does. Where the two differ, the call alone is refused."""
        same, other = "0x0c55699c", "0x0c55699d"
        params = [[{"to": to_hex(LOGGER_ADDRESS), "data": same, "input": input_}, "latest"] for input_ in (same, other)]
        batch = [
            request(method, *p) for method in ("eth_call", "eth_estimateGas", "eth_createAccessList") for p in params
        ]
        async with rpc_node() as node, client_of(node) as client, httpx.AsyncClient() as http:
            answers = [
                await client.reply(batch),
                (await http.post(node.url, json=batch, timeout=PATIENCE)).json(),
                [await client.reply(one) for one in batch],
            ]
        for answered in answers:
            assert [answer.get("error", {}).get("code") for answer in answered] == [None, -32602] * 3

    async def test_calls_are_answered_in_order(self) -> None:
        async with rpc_node() as node, open_websocket_url(node.ws_url) as connection:
            for id_ in range(50):
                await connection.send_message(json.dumps(request("eth_blockNumber", id_=id_)))
            assert [json.loads(await connection.get_message())["id"] for _ in range(50)] == list(range(50))


class TestUpgrade:
    async def test_plain_http_is_told_off(self) -> None:
        async with rpc_node() as node, httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{node.ws_port}"
            for reply in (await client.get(url), await client.post(url, json=request("eth_chainId"))):
                assert (reply.status_code, reply.text) == (400, "Websocket endpoint can't handle HTTP requests")

    async def test_hosts_are_checked(self) -> None:
        evil = UPGRADE.replace(b"localhost", b"evil.example")
        async with rpc_node() as node:
            reply = await raw(node.ws_port, evil)
            assert reply.startswith(b"HTTP/1.1 403")
            assert reply.endswith(b'{"message":"Host not authorized."}')
        async with rpc_node(websocket=ws_settings(allowed_hosts=("*",))) as node:
            stream = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
            async with stream:
                await stream.send_all(evil)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")

    async def test_any_page_may_connect_as_with_besu(self) -> None:
        async with rpc_node() as node, client_of(node, extra_headers=[("Origin", "http://dapp.example")]) as client:
            assert await client.call("eth_chainId") == "0x539"

    @pytest.mark.parametrize(
        ("headers", "served"),
        [
            (b"", True),
            (b"Origin: http://localhost:3000\r\n", True),
            (b"ORIGIN: https://page.example\r\n", False),
            (b"Origin: null\r\n", False),
            (b"Origin: http://localhost.page.example\r\n", False),
        ],
    )
    async def test_a_port_with_origins_serves_programs_and_pages_of_these(self, headers: bytes, served: bool) -> None:
        async with rpc_node(websocket=ws_settings(cors_origins=ORIGINS)) as node:
            stream = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
            async with stream:
                await stream.send_all(UPGRADE.replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n"))
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101" if served else b"HTTP/1.1 403")

    async def test_the_subprotocol_of_old_clients_is_echoed(self) -> None:
        async with rpc_node() as node, client_of(node, subprotocols=["undefined"]) as client:
            assert client.connection.subprotocol == "undefined"


class TestSubscribing:
    async def test_ids_count_up_through_the_whole_node(self) -> None:
        async with rpc_node() as node, client_of(node) as one, client_of(node) as other:
            assert await one.call("eth_subscribe", "newHeads") == "0x1"
            assert await other.call("eth_subscribe", "syncing") == "0x2"
            assert await one.call("eth_subscribe", "newPendingTransactions", None) == "0x3"

    @pytest.mark.parametrize(
        "params",
        [
            [],
            ["nonsense"],
            [7],
            ["newheads"],
            ["newHeads", "x"],
            ["newHeads", {"includeTransactions": "yes"}],
            ["logs"],
            ["logs", {"address": "nobody"}],
        ],
    )
    async def test_every_bad_wish_is_an_invalid_request(self, params: list[object]) -> None:
        async with rpc_node() as node, client_of(node) as client:
            assert await client.error("eth_subscribe", *params) == (-32600, "Invalid Request")

    async def test_ending_a_subscription(self) -> None:
        async with rpc_node() as node, client_of(node) as client, client_of(node) as other:
            id_ = await client.call("eth_subscribe", "newHeads")
            assert await other.error("eth_unsubscribe", id_) == (-32000, "Subscription not found")
            assert await client.error("eth_unsubscribe", "0x77") == (-32000, "Subscription not found")
            assert await client.error("eth_unsubscribe", "nonsense") == (-32600, "Invalid Request")
            assert await client.error("eth_unsubscribe") == (-32600, "Invalid Request")
            assert await client.call("eth_unsubscribe", id_) is True
            assert await client.error("eth_unsubscribe", id_) == (-32000, "Subscription not found")
            await other.call("eth_subscribe", "newHeads")
            await node.grow()
            await other.notice()
            await client.call("eth_chainId")
            assert client.notices == []

    async def test_one_connection_may_hold_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.subscriptions.MAX_SUBSCRIPTIONS_PER_CONNECTION", 2)
        async with rpc_node() as node, client_of(node) as client, client_of(node) as other:
            for _ in range(2):
                await client.call("eth_subscribe", "newHeads")
            assert (await client.error("eth_subscribe", "newHeads"))[0] == -32005
            await other.call("eth_subscribe", "newHeads")


class TestNotices:
    async def test_new_heads_are_whole_blocks(self) -> None:
        async with rpc_node() as node, httpx.AsyncClient() as http, client_of(node) as client:
            hashes = await client.call("eth_subscribe", "newHeads")
            whole = await client.call("eth_subscribe", "newHeads", {"includeTransactions": True})
            await node.grow(transaction(0))
            told = dict([await client.notice(), await client.notice()])
            for id_, full in ((hashes, False), (whole, True)):
                expected = await call(http, node.url, "eth_getBlockByNumber", "0x1", full)
                assert told[id_] == expected
                assert list(told[id_]) == list(expected)

    async def test_blocks_come_in_order(self) -> None:
        async with rpc_node() as node, client_of(node) as client:
            await client.call("eth_subscribe", "newHeads")
            for _ in range(5):
                await node.grow()
            assert [(await client.notice())[1]["number"] for _ in range(5)] == ["0x1", "0x2", "0x3", "0x4", "0x5"]

    async def test_logs(self) -> None:
        def logging(nonce: int) -> Any:
            return transaction(nonce, LOGGER_ADDRESS, data=bytes(32))

        address, topic = to_hex(LOGGER_ADDRESS), to_hex(TOPIC)
        async with rpc_node() as node, httpx.AsyncClient() as http, client_of(node) as client:
            every = await client.call("eth_subscribe", "logs", {})
            chosen = await client.call("eth_subscribe", "logs", {"address": [address], "topics": [[topic]]})
            await client.call("eth_subscribe", "logs", {"address": "0x" + "55" * 20})
            late = await client.call("eth_subscribe", "logs", {"fromBlock": "0x2"})
            early = await client.call("eth_subscribe", "logs", {"toBlock": "0x1", "fromBlock": "earliest"})
            await node.grow(logging(0))
            await node.grow(logging(1))
            told = [await client.notice() for _ in range(6)]
            assert sorted((id_, log["blockNumber"]) for id_, log in told) == sorted(
                [(every, "0x1"), (every, "0x2"), (chosen, "0x1"), (chosen, "0x2"), (early, "0x1"), (late, "0x2")]
            )
            assert told[0][1] in await call(http, node.url, "eth_getLogs", {"fromBlock": "0x1"})

    async def test_pending_and_dropped_transactions(self) -> None:
        async with rpc_node() as node, client_of(node) as client:
            hashes = await client.call("eth_subscribe", "newPendingTransactions")
            whole = await client.call("eth_subscribe", "newPendingTransactions", {"includeTransactions": True})
            dropped = await client.call("eth_subscribe", "droppedPendingTransactions")
            first, rival = transaction(0), transaction(0, b"\x02" * 20)
            node.pend(first)
            told = dict([await client.notice(), await client.notice()])
            assert told[hashes] == to_hex(first.hash)
            assert (told[whole]["hash"], told[whole]["nonce"]) == (to_hex(first.hash), "0x0")
            assert "blockHash" not in told[whole]
            await node.grow(rival)
            assert await client.notice() == (dropped, to_hex(first.hash))

    async def test_syncing(self) -> None:
        async with rpc_node() as node, client_of(node) as client:
            id_ = await client.call("eth_subscribe", "syncing")
            node.servers.subscriptions.sync_changed(Sync(1, 2, 30))
            shown = {"startingBlock": "0x1", "currentBlock": "0x2", "highestBlock": "0x1e"}
            assert await client.notice() == (id_, shown)
            node.servers.subscriptions.sync_changed(None)
            assert await client.notice() == (id_, False)

    async def test_web3_hears_of_blocks(self) -> None:
        async with rpc_node() as node:
            heard = trio.Event()
            token = trio.lowlevel.current_trio_token()

            async def listen() -> int:
                async with AsyncWeb3(WebSocketProvider(node.ws_url)) as w3:
                    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
                    assert await w3.eth.chain_id == 1337
                    await w3.eth.subscribe("newHeads")
                    trio.from_thread.run_sync(heard.set, trio_token=token)
                    async for message in w3.socket.process_subscriptions():
                        return int(message["result"]["number"])
                return -1

            numbers: list[int] = []

            async def run() -> None:
                numbers.append(await trio.to_thread.run_sync(asyncio.run, asyncio.wait_for(listen(), PATIENCE)))

            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run)
                    await heard.wait()
                    await node.grow()
            assert numbers == [1]


class TestLimits:
    async def test_frames_and_messages_have_a_size(self) -> None:
        async with rpc_node(websocket=ws_settings(max_frame=1000)) as node:
            text = json.dumps(request("eth_chainId"))
            assert b'"0x539"' in await frames_reply(node, [text.ljust(1000).encode()])
            refused = await frames_reply(node, [text.ljust(1001).encode()])
            assert (refused[0], int.from_bytes(refused[2:4])) == (0x88, 1009)
            for frames, answered in ((4, True), (5, False)):
                reply = await frames_reply(node, [text.ljust(1000).encode(), *[b" " * 1000] * (frames - 1)])
                assert (b'"0x539"' in reply) == answered
            async with client_of(node) as client:
                assert await client.call("eth_chainId") == "0x539"

    async def test_messages_have_only_so_many_parts(self) -> None:
        async with rpc_node() as node:
            text = json.dumps(request("eth_chainId")).encode()
            assert b'"0x539"' in await frames_reply(node, [text, *[b" "] * 1_000])
            refused = await frames_reply(node, [text, *[b" "] * 1_100])
            assert (refused[0], int.from_bytes(refused[2:4])) == (0x88, 1009)

    async def test_unfinished_messages_of_a_port_have_a_size_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.websocket.MAX_PORT_REQUEST_BYTES", 2_500)
        monkeypatch.setattr("lacnode.rpc.websocket.KEPT_MESSAGE_BYTES", 100)
        text = json.dumps(request("eth_chainId")).encode()
        async with rpc_node() as node, client_of(node) as good:
            first, second, third = [await connected(node) for _ in range(3)]
            async with first, second, third:
                await first.send_all(frame(text.ljust(1_000), last=False))
                await second.send_all(frame(text.ljust(1_001), last=False))
                assert await good.call("eth_chainId") == "0x539"
                await third.send_all(frame(text.ljust(999), last=False))
                with trio.fail_after(PATIENCE):
                    assert await second.receive_some() == b""
                    for other in (first, third):
                        await other.send_all(frame(b" ", first=False))
                        assert b'"0x539"' in await other.receive_some()
            # What was answered counts no more.
            for _ in range(3):
                assert await good.reply(text.ljust(1_500)) == {"jsonrpc": "2.0", "id": 1, "result": "0x539"}

    async def test_a_message_that_does_not_end_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.websocket.MESSAGE_SECONDS", 0.2)
        async with rpc_node() as node, client_of(node) as idle:
            stream = await connected(node)
            async with stream:
                await stream.send_all(frame(b"[", last=False))
                with trio.fail_after(PATIENCE):
                    reply = await stream.receive_some()
                assert (reply[0], int.from_bytes(reply[2:4])) == (0x88, 1008)
            assert await idle.call("eth_chainId") == "0x539"

    async def test_a_client_that_does_not_read_is_cut_off_and_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.rpc.outgoing_queue.CONNECTION_LIMIT_BYTES", 10_000)
        async with rpc_node(websocket=ws_settings(max_connections=2)) as node, client_of(node) as good:
            await good.call("eth_subscribe", "syncing")
            deaf = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
            async with deaf:
                assert await upgrade(deaf)
                for _ in range(100):
                    await deaf.send_all(frame(json.dumps(request("eth_subscribe", "syncing")).encode()))
                    assert b'"result"' in await deaf.receive_some()
                with trio.fail_after(PATIENCE):
                    while not await accepted(node):
                        for _ in range(100):
                            node.servers.subscriptions.sync_changed(Sync())
                            await good.notice()

    async def test_connections_over_the_limit_are_closed(self) -> None:
        async with rpc_node(websocket=ws_settings(max_connections=1)) as node, client_of(node) as client:
            assert await raw(node.ws_port, b"GET / HTTP/1.1\r\n") == b""
            assert await client.call("eth_chainId") == "0x539"


class TestHostile:
    async def test_garbage_before_and_after_the_upgrade(self) -> None:
        async with rpc_node() as node:
            with captured_logs() as logs:
                assert (await raw(node.ws_port, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
                assert (await raw(node.ws_port, b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 2_000)).startswith(b"HTTP/1.1 400")
                for garbage in (b"\xff" * 100, b"\x81\x05hello", b"\x00" * 50, b"\x89\xfe" + b"\x00" * 200):
                    stream = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
                    async with stream:
                        await upgrade(stream)
                        await stream.send_all(garbage)
                        with trio.fail_after(PATIENCE):
                            reply = await stream.receive_some()
                            assert reply[:1] == b"\x88"
            assert not [entry for entry in logs if entry["log_level"] in ("error", "critical")]
            async with client_of(node) as client:
                assert await client.call("eth_chainId") == "0x539"

    async def test_text_that_is_no_utf_8_closes_the_connection(self) -> None:
        async with rpc_node() as node:
            assert b"\x88" in await frames_reply(node, [b"\xff\xfe"])

    @pytest.mark.parametrize(
        "line", ["Host: \xff", "Host: xn--\x80", "Connection: \xff, Upgrade", "Sec-WebSocket-Protocol: \xff"]
    )
    async def test_an_upgrade_whose_head_has_other_characters_is_refused(self, line: str) -> None:
        name = line.partition(":")[0].encode()
        kept = [part for part in UPGRADE.strip().split(b"\r\n") if not part.startswith(name + b":")]
        with captured_logs() as logs:
            async with rpc_node() as node:
                reply = await raw(node.ws_port, b"\r\n".join([*kept, line.encode("latin-1")]) + b"\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 400")
        assert not [entry for entry in logs if entry["log_level"] == "error"]

    async def test_an_upgrade_that_drips_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.websocket.HANDSHAKE_SECONDS", 0.1)
        async with rpc_node() as node:
            assert await raw(node.ws_port, b"GET / HTTP/1.1\r\n") == b""

    async def test_clients_that_vanish_take_their_subscriptions_along(self) -> None:
        async with rpc_node(websocket=ws_settings(max_connections=1)) as node:
            for _ in range(3):
                stream = await connected(node)
                async with stream:
                    await stream.send_all(frame(json.dumps(request("eth_subscribe", "newHeads")).encode()))
                    assert b'"result"' in await stream.receive_some()
            with captured_logs() as logs:
                await node.grow()
                await (await connected(node)).aclose()
            assert not [entry for entry in logs if entry["log_level"] == "error"]


async def accepted(node: RpcNode) -> bool:
    """Whether one more client is let in."""
    stream = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
    async with stream:
        return await upgrade(stream)


# -- a client that may do what a good library does not ------------------------------------------------------------------

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def upgrade(stream: trio.SocketStream) -> bool:
    """Whether the server agrees to speak WebSocket."""
    try:
        await stream.send_all(UPGRADE)
        return bytes(await stream.receive_some()).startswith(b"HTTP/1.1 101")
    except trio.BrokenResourceError:
        return False


async def connected(node: RpcNode) -> trio.SocketStream:
    """A WebSocket, as soon as there is room for one."""
    with trio.fail_after(PATIENCE):
        while True:
            stream = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
            if await upgrade(stream):
                return stream
            await stream.aclose()


def frame(payload: bytes, *, first: bool = True, last: bool = True) -> bytes:
    """A masked text frame; a part of a message unless it is its first and last."""
    head = bytes([(0x80 if last else 0) | (1 if first else 0)])
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return head + size + bytes(4) + payload


async def frames_reply(node: RpcNode, parts: list[bytes]) -> bytes:
    """What the server says to one message in several frames."""
    with trio.fail_after(PATIENCE):
        stream = await trio.open_tcp_stream("127.0.0.1", node.ws_port)
        async with stream:
            assert await upgrade(stream)
            for index, part in enumerate(parts):
                await stream.send_all(frame(part, first=index == 0, last=index == len(parts) - 1))
            return bytes(await stream.receive_some())
