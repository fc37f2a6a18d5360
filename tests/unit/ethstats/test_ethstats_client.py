"""What an ethstats server gets, and what one that hangs, lies, floods or is away costs: one line in the log."""

import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from lacnode.consensus.bft.controller import ConsensusStatus
from lacnode.ethstats import ethstats_client, stats_connection
from lacnode.ethstats.ethstats_client import EthstatsClient
from lacnode.ethstats.ethstats_settings import EthstatsSettings, EthstatsUrlError, parse_ethstats_url
from lacnode.ethstats.node_reports import MAX_HISTORY_BLOCKS, NodeReports
from lacnode.ethstats.server_certificate import EthstatsCertificateError
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.hexadecimal import to_hex
from tests.support.certificates import certificate, issuer
from tests.support.logs import captured_logs
from tests.support.rpc_chain import RpcTestNode, node, signed

DEADLINE_SECONDS = 60.0
NODE_ID = bytes(range(64))
READY = '{"emit":["ready"]}'

Behaviour = Callable[["Server", WebSocketConnection], Awaitable[None]]


class Server:
    """An ethstats server that remembers what it gets, by type."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.received: list[tuple[str, Any]] = []
        self.texts: list[str] = []
        self.logins = 0
        self.port = 0
        self._behaviour = behaviour or Server.accept
        self._changed = trio.Event()

    async def serve(
        self, tls: ssl.SSLContext | None, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, self._client, "127.0.0.1", 0, tls)
            self.port = server.port
            task_status.started()

    async def _client(self, request: WebSocketRequest) -> None:
        if request.path != "/api":
            await request.reject(404)
            return
        connection = await request.accept()
        self.logins += 1
        try:
            await self._behaviour(self, connection)
        except ConnectionClosed:
            return

    async def accept(self, connection: WebSocketConnection) -> None:
        """Log the node in and read what it sends."""
        await self.read_one(connection)
        await connection.send_message(READY)
        await self.read(connection)

    async def read(self, connection: WebSocketConnection) -> None:
        while True:
            await self.read_one(connection)

    async def read_one(self, connection: WebSocketConnection) -> None:
        text = str(await connection.get_message())
        self.texts.append(text)
        message = json.loads(text)
        if isinstance(message, dict):
            self.received.append(tuple(message["emit"]))
        self._changed.set()
        self._changed = trio.Event()

    async def got(self, kind: str, count: int = 1) -> list[Any]:
        """Wait for so many messages of a type, and return their payloads."""
        while len(found := [payload for type_, payload in self.received if type_ == kind]) < count:
            await self._changed.wait()
        return found


def reports(chain: RpcTestNode, settings: EthstatsSettings) -> NodeReports:
    status = replace(chain.services.status, consensus=lambda: ConsensusStatus(1, True, ()))
    services = replace(chain.services, status=status)
    return NodeReports(services, settings, NODE_ID)


@asynccontextmanager
async def reporting(
    server: Server,
    url: str = "ws://node:secret@127.0.0.1:{port}",
    *,
    chain: RpcTestNode | None = None,
    tls: ssl.SSLContext | None = None,
    ca_file: Path | None = None,
    pause_seconds: float = 0.01,
) -> AsyncIterator[None]:
    """A node reports to the server until the block is left."""
    with trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, tls)
            settings = parse_ethstats_url(url.format(port=server.port), "ops@example.org", ca_file)
            client = EthstatsClient(settings, reports(chain or node(), settings), pause_seconds)
            nursery.start_soon(client.run)
            yield
            nursery.cancel_scope.cancel()


# -- what it reports -------------------------------------------------------------------------------------------------


async def test_a_server_gets_the_login_and_the_reports() -> None:
    chain, server = node(), Server()
    chain.grow(2)
    async with reporting(server, chain=chain):
        (block,), (pending,), (stats,) = (
            await server.got("block"),
            await server.got("pending"),
            await server.got("stats"),
        )
    (hello,) = await server.got("hello")
    assert hello["id"] == "0x" + NODE_ID.hex()
    assert hello["secret"] == "secret"
    assert hello["info"]["name"] == "node"
    assert hello["info"]["contact"] == "ops@example.org"
    assert hello["info"]["net"] == str(chain.chain.spec.chain_id)
    assert hello["info"]["protocol"].startswith("[eth/")
    assert set(hello["info"]) == {
        *("name", "node", "port", "net", "protocol", "api", "os", "os_v", "client", "canUpdateHistory", "contact")
    }
    assert block["block"]["number"] == "0x2"
    assert block["block"]["hash"] == "0x" + chain.chain.head.hash.hex()
    assert pending["stats"] == {"pending": 0}
    expected = {
        "active": True,
        "mining": True,
        "hashrate": 0,
        "peers": 0,
        "gasPrice": 0,
        "syncing": False,
        "uptime": 100,
    }
    assert stats["stats"] == expected
    # Nothing comes before the login is accepted.
    assert [kind for kind, _ in server.received[:2]] == ["hello", "node-ping"]


async def test_the_latency_follows_a_pong_and_a_keep_alive_is_answered() -> None:
    async def behaviour(server: Server, connection: WebSocketConnection) -> None:
        await server.read_one(connection)
        await connection.send_message('"primus::ping::1700000000000"')
        await server.read_one(connection)
        await connection.send_message(READY)
        await server.read_one(connection)
        await connection.send_message('{"emit":["node-pong",{"clientTime":"1"}]}')
        await server.read(connection)

    server = Server(behaviour)
    async with reporting(server):
        (latency,) = await server.got("latency")
    assert 0 <= int(latency["latency"]) < DEADLINE_SECONDS * 1000
    assert server.texts[1].startswith('"primus::pong::')


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"list": [1, 0, 2]}, [1, 0, 2]),
        ({"list": [7, -1, 2, 10**30, "1", None]}, [2]),
        ({}, [0, 1, 2, 3]),
        ("no object", [0, 1, 2, 3]),
    ],
)
async def test_earlier_blocks_are_sent_in_the_order_of_the_request(payload: object, expected: list[int]) -> None:
    async def behaviour(server: Server, connection: WebSocketConnection) -> None:
        await server.read_one(connection)
        await connection.send_message(READY)
        await connection.send_message(json.dumps({"emit": ["history", payload]}))
        await server.read(connection)

    chain, server = node(), Server(behaviour)
    chain.grow(3)
    async with reporting(server, chain=chain):
        (history,) = await server.got("history")
    assert [int(block["number"], 16) for block in history["history"]] == expected


def test_one_answer_has_a_bounded_number_of_blocks() -> None:
    chain = node()
    chain.grow(1)
    text = reports(chain, EthstatsSettings("n", "s", "h")).history_message([1] * 10_000)
    assert text is not None
    assert len(json.loads(text)["emit"][1]["history"]) == MAX_HISTORY_BLOCKS


def test_a_long_block_is_shown_by_hashes_and_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = node()
    chain.send(*[signed(nonce=nonce, gas=200_000, data=bytes(30_000)) for nonce in range(12)])
    chain.grow(1)
    block = chain.chain.block_at(1)
    assert block is not None
    monkeypatch.setattr(Block, "decode", None)
    monkeypatch.setattr(BlockBody, "from_items", None)
    made = reports(chain, EthstatsSettings("n", "s", "h"))
    shown = json.loads(made.all_reports()[0])["emit"][1]["block"]
    assert shown["transactions"] == [to_hex(transaction.hash) for transaction in block.transactions]
    text = made.history_message([1])
    assert text is not None
    assert json.loads(text)["emit"][1]["history"] == [shown]


# -- servers that do not what they should ----------------------------------------------------------------------------


async def test_a_lost_connection_is_made_again() -> None:
    async def behaviour(server: Server, connection: WebSocketConnection) -> None:
        await server.read_one(connection)
        await connection.send_message(READY)
        await server.read_one(connection)

    server = Server(behaviour)
    async with reporting(server):
        await server.got("hello", 3)


async def refuse(server: Server, connection: WebSocketConnection) -> None:
    await server.read_one(connection)
    await connection.send_message('{"emit":["un-authorization"]}')
    await server.read(connection)


async def nonsense(server: Server, connection: WebSocketConnection) -> None:
    await server.read_one(connection)
    await connection.send_message(READY)
    for text in (
        "",
        "[]",
        "{}",
        '{"emit":1}',
        '{"emit":[]}',
        '{"emit":[["a"]]}',
        "[" * 10_000,
        "null",
        '{"emit":["x",{}]}',
    ):
        await connection.send_message(text)
    await server.read(connection)


async def too_long(server: Server, connection: WebSocketConnection) -> None:
    await server.read_one(connection)
    await connection.send_message("x" * (stats_connection.MAX_MESSAGE_BYTES + 1))
    await server.read(connection)


async def bytes_only(server: Server, connection: WebSocketConnection) -> None:
    await server.read_one(connection)
    await connection.send_message(b"\x00")
    await server.read(connection)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [(refuse, "did not accept the login"), (too_long, "a message of more than"), (bytes_only, "no text")],
)
async def test_a_server_that_refuses_or_breaks_a_bound_is_left_and_named_once(
    behaviour: Behaviour, reason: str
) -> None:
    server = Server(behaviour)
    with captured_logs() as logged:
        async with reporting(server):
            await server.got("hello", 3)
    warnings = [entry["event"] for entry in logged if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert reason in warnings[0]
    assert "secret@" not in warnings[0]


async def test_nonsense_is_ignored() -> None:
    server = Server(nonsense)
    async with reporting(server):
        await server.got("stats")
    assert server.logins == 1


async def test_a_server_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethstats_client, "LOGIN_SECONDS", 0.05)

    async def behaviour(server: Server, connection: WebSocketConnection) -> None:
        await server.read(connection)

    server = Server(behaviour)
    async with reporting(server):
        await server.got("hello", 2)


async def test_a_server_that_falls_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethstats_client, "SILENCE_SECONDS", 0.05)
    server = Server()
    async with reporting(server):
        await server.got("hello", 2)


async def test_a_server_that_does_not_upgrade_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats_connection, "CONNECT_SECONDS", 0.05)
    accepted = 0

    async def hang(stream: trio.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        await trio.sleep_forever()

    with captured_logs() as logged, trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, hang, 0)
            port = listeners[0].socket.getsockname()[1]
            settings = EthstatsSettings("n", "s", "127.0.0.1", port, "ws")
            nursery.start_soon(EthstatsClient(settings, reports(node(), settings), 0.01).run)
            while accepted < 3:
                await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    assert ["no answer within" in entry["event"] for entry in logged if entry["log_level"] == "warning"] == [True]


async def test_a_flood_is_read_slowly() -> None:
    sent = 0

    async def behaviour(server: Server, connection: WebSocketConnection) -> None:
        nonlocal sent
        await server.read_one(connection)
        await connection.send_message(READY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.read, connection)
            # Each answer of the node shows one message that it has read.
            for _ in range(1_000):
                await connection.send_message('{"emit":["node-pong",{}]}')
                sent += 1

    server = Server(behaviour)
    async with reporting(server):
        began = time.monotonic()
        await server.got("latency", ethstats_client.MESSAGES_AT_ONCE + 20)
        seconds = time.monotonic() - began
    # A faster node would have read all in much less time.
    assert seconds > 1


async def test_a_flood_of_pings_is_answered_slowly() -> None:
    answered = trio.Event()
    seconds = 0.0

    async def behaviour(server: Server, connection: WebSocketConnection) -> None:
        nonlocal seconds
        await server.read_one(connection)
        await connection.send_message(READY)
        began = time.monotonic()
        async with trio.open_nursery() as reading:
            # Pongs come between the reports, which must be read too.
            reading.start_soon(server.read, connection)
            async with trio.open_nursery() as nursery:
                for number in range(400):
                    nursery.start_soon(connection.ping, str(number).encode())
            seconds = time.monotonic() - began
            answered.set()

    async with reporting(Server(behaviour)):
        await answered.wait()
    assert seconds > 0.5


async def test_a_server_that_is_away_is_tried_with_longer_and_longer_pauses() -> None:
    settings = EthstatsSettings("n", "s", "127.0.0.1", 1, "ws")
    client = EthstatsClient(settings, reports(node(), settings))
    pauses = []
    for client._failures in range(12):
        pauses.append(client._pause_seconds())
    assert pauses[:5] == [10, 10, 10, 20, 40]
    assert pauses[-1] == ethstats_client.MAX_PAUSE_SECONDS


# -- TLS -------------------------------------------------------------------------------------------------------------


def server_context(path: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / f"{name}.pem", path / f"{name}.key")
    return context


async def test_a_server_with_a_certificate_of_the_authority_is_used(tmp_path: Path) -> None:
    root = certificate(tmp_path, "root")
    certificate(tmp_path, "server", issuer(tmp_path, "root"))
    server = Server()
    url = "wss://node:secret@127.0.0.1:{port}"
    async with reporting(server, url, tls=server_context(tmp_path, "server"), ca_file=root):
        await server.got("stats")


@pytest.mark.parametrize(("issued_by", "days"), [("other", 1), ("root", -1)])
async def test_a_server_with_a_wrong_or_an_expired_certificate_learns_nothing(
    tmp_path: Path, issued_by: str, days: int
) -> None:
    root = certificate(tmp_path, "root")
    certificate(tmp_path, "other")
    certificate(tmp_path, "server", issuer(tmp_path, issued_by), days)
    server = Server()
    with captured_logs() as logged:
        url = "wss://node:secret@127.0.0.1:{port}"
        async with reporting(server, url, tls=server_context(tmp_path, "server"), ca_file=root):
            while not [entry for entry in logged if entry["log_level"] == "warning"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert "certificate" in next(entry["event"] for entry in logged if entry["log_level"] == "warning")
    assert server.received == []


async def test_without_a_scheme_both_are_tried(tmp_path: Path) -> None:
    server = Server()
    async with reporting(server, "node:secret@127.0.0.1:{port}"):
        await server.got("stats")


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    settings = EthstatsSettings("n", "s", "h", ca_file=file)
    with pytest.raises(EthstatsCertificateError, match="certificates in PEM were expected"):
        EthstatsClient(settings, reports(node(), settings))


# -- the URL ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("name:secret@host", ("name", "secret", "host", None, None)),
        ("name:secret@host:3000", ("name", "secret", "host", 3000, None)),
        ("ws://name:secret@host:3000", ("name", "secret", "host", 3000, "ws")),
        ("WSS://name:se:cr@et@host", ("name", "se:cr@et", "host", None, "wss")),
        ("name:@[::1]:80", ("name", "", "::1", 80, None)),
    ],
)
def test_the_url_is_read_as_besu_reads_it(url: str, expected: tuple[object, ...]) -> None:
    settings = parse_ethstats_url(url)
    assert (settings.name, settings.secret, settings.host, settings.port, settings.scheme) == expected


@pytest.mark.parametrize(
    "url", ["", "host:3000", "name@host", ":s@host", "http://n:s@host", "n:s@", "n:s@h:x", "n:s@h:0"]
)
def test_a_wrong_url_is_refused_in_besus_words(url: str) -> None:
    with pytest.raises(EthstatsUrlError, match="Ethstats URL should have the following format"):
        parse_ethstats_url(url)
