"""The HTTP port with a real client: codes, hosts, origins, health, compression, and a chain behind it all."""

import json
import socket
from collections.abc import AsyncIterator, Sequence

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import trio

from lacnode.http.connection_server import PortUnavailableError
from lacnode.rpc.host_cors_filter import InvalidCorsOriginError
from lacnode.rpc.methods import eth_blocks
from tests.support.chain_transactions import transaction
from tests.support.rpc_node import (
    HTTP,
    PATIENCE,
    Sync,
    call,
    error_code,
    http_settings,
    raw,
    request,
    rpc_node,
)

ONE = request("eth_blockNumber")


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


class TestCodes:
    async def test_a_call_is_answered_as_json(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            reply = await client.post(node.url, json=ONE)
            assert (reply.status_code, reply.content) == (200, b'{"jsonrpc":"2.0","id":1,"result":"0x0"}')
            assert reply.headers["content-type"] == "application/json"
            plain = await client.post(node.url, content=json.dumps(ONE), headers={"content-type": "text/plain"})
            assert plain.content == reply.content

    async def test_every_other_code(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient(base_url=node.url) as client:
            expected = [
                (await client.get("/"), 201, b""),
                (await client.get("/nowhere"), 404, b""),
                (await client.post("/nowhere", json=ONE), 404, b""),
                (await client.put("/", json=ONE), 405, b""),
                (await client.head("/"), 405, b""),
                (await client.post("/liveness"), 405, b""),
                (await client.post("/login", json={"username": "a", "password": "b"}), 400, b""),
            ]
            for reply, status, body in expected:
                assert (reply.status_code, reply.content) == (status, body), reply.request.url
            assert expected[-1][0].reason_phrase == "Authentication not enabled"

    async def test_only_what_is_no_request_is_a_bad_request(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            for body, status, code in [
                ("{", 400, -32700),
                ("", 400, -32700),
                ("[]", 400, -32600),
                ('{"id":1}', 400, -32600),
                (json.dumps(request("unknown")), 200, -32601),
                (json.dumps(request("ibft_getPendingVotes")), 200, -32604),
                (json.dumps(request("eth_subscribe", "newHeads")), 200, -32604),
                (json.dumps(request("eth_getBalance", 1)), 200, -32602),
                ("[" + ",".join(["{}"] * 1025) + "]", 200, -32005),
            ]:
                reply = await client.post(node.url, content=body)
                assert (reply.status_code, error_code(reply.content)) == (status, code), body[:60]

    async def test_a_notification_gets_an_empty_reply(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            reply = await client.post(node.url, json={"jsonrpc": "2.0", "method": "eth_blockNumber"})
            assert (reply.status_code, reply.content) == (200, b"")

    async def test_a_method_that_takes_too_long_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        release = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def wait(services: object, params: Sequence[object]) -> object:
            trio.from_thread.run(release.wait, trio_token=token)
            return None

        slow = [m if m.name != "eth_accounts" else type(m)(m.name, m.group, wait) for m in eth_blocks.BLOCK_METHODS]
        monkeypatch.setattr("lacnode.rpc.server.all_methods", lambda **options: tuple(slow))
        async with rpc_node(http_settings(timeout=2.0), None) as node, httpx.AsyncClient() as client:
            reply = await client.post(node.url, json=request("eth_accounts"), timeout=PATIENCE)
            assert reply.status_code == 504
            assert reply.json() == {
                "jsonrpc": "2.0",
                "id": None,
                "error": {"code": -32603, "message": "Timeout expired"},
            }
            assert (await client.post(node.url, json=ONE)).status_code == 200
            release.set()


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 201),
            ("LocalHost:4545", 201),
            ("127.0.0.1", 201),
            ("127.0.0.1:1", 201),
            ("evil.example", 403),
            ("localhost.evil.example", 403),
            ("localhost:notaport", 403),
            ("localhost:70000", 403),
            ("localhost:1:2", 403),
            ("", 403),
        ],
    )
    async def test_by_default_only_this_machine(self, host: str, status: int) -> None:
        async with rpc_node(websocket=None) as node:
            reply = await raw(node.http_port, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert status_of(reply) == status
            assert (b'{"message":"Host not authorized."}' in reply) == (status == 403)

    @pytest.mark.parametrize("head", ["GET / HTTP/1.0", "GET / HTTP/1.1", "GET /liveness HTTP/1.1"])
    async def test_no_host_is_no_authorized_host(self, head: str) -> None:
        async with rpc_node(websocket=None) as node:
            assert status_of(await raw(node.http_port, f"{head}\r\n\r\n".encode())) == 403

    @pytest.mark.parametrize("name", ["*", "all"])
    async def test_any_host_where_the_operator_says_so(self, name: str) -> None:
        async with rpc_node(http_settings(allowed_hosts=(name,)), None) as node, httpx.AsyncClient() as client:
            assert (await client.get(node.url, headers={"host": "writer.lacchain.net"})).status_code == 201


class TestOrigins:
    async def test_pages_of_listed_origins_may_call(self) -> None:
        settings = http_settings(cors_origins=(r"https://.*\.example", "http://foo.io"))
        async with rpc_node(settings, None) as node, httpx.AsyncClient() as client:
            for origin in ("https://dapp.example", "http://foo.io"):
                reply = await client.post(node.url, json=ONE, headers={"origin": origin})
                assert reply.status_code == 200
                assert reply.headers["access-control-allow-origin"] == origin
            for origin in ("http://foo.io.evil", "http://dapp.example", "null"):
                reply = await client.post(node.url, json=ONE, headers={"origin": origin})
                assert reply.status_code == 403
                assert "access-control-allow-origin" not in reply.headers
            assert (await client.post(node.url, json=ONE)).headers["vary"] == "origin"

    async def test_none_by_default(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            assert (await client.post(node.url, json=ONE, headers={"origin": "http://a"})).status_code == 403
            assert (await client.post(node.url, json=ONE)).status_code == 200

    async def test_a_browser_asks_first(self) -> None:
        asks = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        async with rpc_node(http_settings(cors_origins=("*",)), None) as node, httpx.AsyncClient() as client:
            reply = await client.options(node.url, headers={"origin": "moz-extension://8021", **asks})
            assert (reply.status_code, reply.content) == (204, b"")
            assert reply.headers["access-control-allow-origin"] == "moz-extension://8021"
            assert reply.headers["access-control-allow-headers"] == "*,content-type"
            assert (await client.options(node.url)).status_code == 405
        async with (
            rpc_node(http_settings(cors_origins=("http://foo.io",)), None) as node,
            httpx.AsyncClient() as client,
        ):
            assert (await client.options(node.url, headers={"origin": "http://bar.me", **asks})).status_code == 403

    async def test_what_is_no_regular_expression_is_named_before_a_port_is_opened(self) -> None:
        with pytest.raises(InvalidCorsOriginError, match=r"CORS origin '\*\.example\.com'"):
            async with rpc_node(http_settings(cors_origins=("*.example.com",)), None):
                pass


class TestHealth:
    async def test_a_node_is_alive(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            node.peers.peers = []
            reply = await client.get(node.url + "/liveness")
            assert (reply.status_code, reply.text) == (200, '{\n  "status" : "UP"\n}')

    @pytest.mark.parametrize(
        ("query", "peers", "behind", "ready"),
        [
            ("", 1, 0, True),
            ("", 0, 0, False),
            ("?minPeers=0", 0, 0, True),
            ("?minPeers=2", 1, 0, False),
            ("?minPeers=+1", 1, 0, False),  # a plus is a space in a query
            ("?minPeers=%2B1", 1, 0, True),
            ("?minPeers=-1", 0, 0, True),
            ("?minPeers=one", 5, 0, False),
            ("?minPeers=", 5, 0, False),
            ("?minPeers=1&minPeers=9", 1, 0, True),
            ("", 1, 2, True),
            ("", 1, 3, False),
            ("?maxBlocksBehind=3", 1, 3, True),
            ("?maxBlocksBehind=x", 1, 0, False),
            ("?maxBlocksBehind=x", 1, None, True),
            ("?minPeers=2&maxBlocksBehind=9", 2, 9, True),
        ],
    )
    async def test_readiness(self, query: str, peers: int, behind: int | None, ready: bool) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            node.peers.peers = [object()] * peers
            node.sync = None if behind is None else Sync(highest_block=10 + behind)
            reply = await client.get(node.url + "/readiness" + query)
            assert reply.status_code == (200 if ready else 503)
            assert reply.json() == {"status": "UP" if ready else "DOWN"}

    async def test_without_p2p_peers_are_not_asked_for(self) -> None:
        async with rpc_node(websocket=None, p2p=False) as node, httpx.AsyncClient() as client:
            assert (await client.get(node.url + "/readiness?minPeers=9")).status_code == 200


class TestConnections:
    async def test_one_connection_serves_many_requests_even_at_once(self) -> None:
        body = json.dumps(ONE).encode()
        one = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        async with rpc_node(websocket=None) as node:
            reply = await raw(node.http_port, one * 3 + last)
            assert reply.count(b'"result":"0x0"') == 3
            assert reply.count(b"HTTP/1.1 200") == 3
            assert reply.count(b"HTTP/1.1 201") == 1

    async def test_a_body_may_come_in_chunks(self) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            text = json.dumps(ONE).encode()
            for position in range(len(text)):
                yield text[position : position + 1]

        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            reply = await client.post(node.url, content=chunks())
            assert reply.json()["result"] == "0x0"

    async def test_who_waits_for_leave_to_send_a_body_gets_it(self) -> None:
        body = json.dumps(ONE).encode()
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        async with rpc_node(websocket=None) as node:
            with trio.fail_after(PATIENCE):
                stream = await trio.open_tcp_stream("127.0.0.1", node.http_port)
                async with stream:
                    await stream.send_all(head % len(body))
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
                    await stream.send_all(body)
                    assert b'"result":"0x0"' in await stream.receive_some()

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    async def test_long_replies_are_compressed_for_those_who_accept_it(self, coding: str) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            block = request("eth_getBlockByNumber", "latest", True)
            for accepted, used in (
                (coding, coding),
                (f"br, {coding};q=0.5", coding),
                (f"{coding};q=0", None),
                ("br", None),
            ):
                reply = await client.post(node.url, json=block, headers={"accept-encoding": accepted})
                assert reply.headers.get("content-encoding") == used
                assert reply.json()["result"]["number"] == "0x0"

    async def test_a_taken_port_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.RaisesGroup(
                pytest.RaisesExc(PortUnavailableError, match=rf"Port\(s\) '\[{port}\]' already in use")
            ):
                async with rpc_node(http_settings(port=port), None):
                    pass

    async def test_ten_apis_live_in_one_process_and_end_with_their_scope(self) -> None:
        ports: list[int] = []

        async def one(task_status: trio.TaskStatus[None]) -> None:
            async with rpc_node() as node, httpx.AsyncClient() as client:
                assert await call(client, node.url, "eth_chainId") == "0x539"
                ports.extend((node.http_port, node.ws_port))
                task_status.started()
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                await nursery.start(one)
            assert len(set(ports)) == 20
            nursery.cancel_scope.cancel()
        # Somebody else may have them by now.
        listening = {at.laddr.port for at in psutil.Process().net_connections("tcp") if at.status == psutil.CONN_LISTEN}
        assert not listening & set(ports)


class TestModules:
    async def test_each_port_tells_its_own_groups(self) -> None:
        async with rpc_node() as node, httpx.AsyncClient() as client:
            assert set(await call(client, node.url, "rpc_modules")) == {group.lower() for group in HTTP.groups}


class TestFilters:
    async def test_blocks_are_told_once(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            id_ = await call(client, node.url, "eth_newBlockFilter")
            assert id_.startswith("0x")
            assert len(id_) <= 34
            await node.grow()
            await node.grow()
            hashes = [await call(client, node.url, "eth_getBlockByNumber", hex(n), False) for n in (1, 2)]
            assert await changes(client, node.url, id_, 2) == [block["hash"] for block in hashes]
            assert await call(client, node.url, "eth_getFilterChanges", id_) == []

    async def test_pending_transactions(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            id_ = await call(client, node.url, "eth_newPendingTransactionFilter")
            hash_ = await call(client, node.url, "eth_sendRawTransaction", "0x" + transaction(0).raw.hex())
            assert await changes(client, node.url, id_, 1) == [hash_]

    async def test_uninstalled_and_unknown_filters(self) -> None:
        async with rpc_node(websocket=None) as node, httpx.AsyncClient() as client:
            id_ = await call(client, node.url, "eth_newBlockFilter")
            assert await error(client, node.url, "eth_getFilterLogs", id_) == (-32000, "Logs filter not found")
            assert await call(client, node.url, "eth_uninstallFilter", id_) is True
            assert await call(client, node.url, "eth_uninstallFilter", id_) is False
            assert await error(client, node.url, "eth_getFilterChanges", id_) == (-32000, "Filter not found")
            assert await error(client, node.url, "eth_getFilterLogs", id_) == (-32000, "Logs filter not found")
            assert (await error(client, node.url, "eth_newFilter"))[0] == -32602
            both = {"blockHash": "0x" + "11" * 32, "fromBlock": "0x1"}
            assert (await error(client, node.url, "eth_newFilter", both))[0] == -32602


async def changes(client: httpx.AsyncClient, url: str, id_: str, count: int) -> list[str]:
    """What the filter gathers, polled until there are `count`."""
    found: list[str] = []
    with trio.fail_after(PATIENCE):
        while len(found) < count:
            found += await call(client, url, "eth_getFilterChanges", id_)
    return found


async def error(client: httpx.AsyncClient, url: str, method: str, *params: object) -> tuple[int, str]:
    reply = (await client.post(url, json=request(method, *params))).json()
    return reply["error"]["code"], reply["error"]["message"]
