"""GraphQL over HTTP: what clients send and get, and what a client that means harm can take."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from lacnode.graphql import document, query_context
from lacnode.graphql.server import GraphQlServer
from lacnode.graphql.settings import GraphQlSettings
from lacnode.rpc.settings import ApiSettings
from tests.support.chain_genesis import LOGGER_ADDRESS, PAYER, TOPIC
from tests.support.chain_transactions import transaction
from tests.support.devnet import until
from tests.support.rpc_node import RpcNode, call, rpc_node
from tests.support.single_node import single_node

NUMBER = "{ block { number } }"


class Client:
    """Sends queries."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def ask(self, text: str, **variables: object) -> Any:
        """The data of the answer."""
        reply = await self.http.post("/graphql", json={"query": text, "variables": variables})
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def errors(self, text: str) -> list[str]:
        """The messages of an answer that has errors."""
        reply = await self.http.post("/graphql", json={"query": text})
        assert reply.status_code == 400, reply.text
        return [error["message"] for error in reply.json()["errors"]]


@asynccontextmanager
async def graphql(
    settings: GraphQlSettings | None = None, api: ApiSettings | None = None
) -> AsyncIterator[tuple[RpcNode, Client]]:
    """A node, and a client of its GraphQL port."""
    async with rpc_node(api=api) as served:
        server = GraphQlServer(
            settings or GraphQlSettings(port=0), served.services, served.servers.runner, served.servers.trials
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
                yield served, Client(client)
            nursery.cancel_scope.cancel()


class TestRequests:
    async def test_come_by_get_by_json_and_as_they_are(self) -> None:
        async with graphql() as (_, client):
            expected = {"data": {"block": {"number": "0x0"}}}
            replies = [
                await client.http.get("/graphql", params={"query": NUMBER}),
                await client.http.post("/graphql", json={"query": NUMBER}),
                await client.http.post("/graphql", content=NUMBER, headers={"content-type": "application/graphql"}),
                await client.http.post("/graphql", content=NUMBER),
            ]
            assert [(reply.status_code, reply.json()) for reply in replies] == [(200, expected)] * 4
            assert replies[0].headers["content-type"] == "application/json"

    async def test_may_name_an_operation_and_variables(self) -> None:
        text = "query a { chainID } query b($n: Long) { block(number: $n) { number } }"
        async with graphql() as (_, client):
            for number in (0, "0", "0x0"):
                body = {"query": text, "operationName": "b", "variables": {"n": number}}
                assert (await client.http.post("/graphql", json=body)).json() == {"data": {"block": {"number": "0x0"}}}
            parameters = {"query": text, "operationName": "b", "variables": json.dumps({"n": "0x0"})}
            assert (await client.http.get("/graphql", params=parameters)).status_code == 200
            nameless = await client.http.post("/graphql", json={"query": text})
            assert nameless.json()["errors"][0]["message"] == "Must provide operation name."

    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [("/", "GET", 308), ("/", "POST", 308), ("/graphql", "PUT", 405), ("/other", "GET", 404), ("/", "DELETE", 405)],
    )
    async def test_have_besus_status(self, path: str, method: str, status: int) -> None:
        async with graphql() as (_, client):
            reply = await client.http.request(method, path)
            assert reply.status_code == status
            assert reply.headers.get("location") == ("/graphql" if status == 308 else None)

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'"a"', b'{"query": 5}', b'{"query": "{chainID}", "variables": []}', b"\xff"]
    )
    async def test_that_ask_nothing_are_400(self, body: bytes) -> None:
        async with graphql() as (_, client):
            for kind in ("application/json", "application/graphql"):
                reply = await client.http.post("/graphql", content=body, headers={"content-type": kind})
                assert reply.status_code == 400
                assert reply.json()["errors"][0]["message"]

    async def test_the_schema_is_served(self) -> None:
        async with graphql() as (_, client):
            reply = await client.http.get("/graphql/schema.graphql")
            assert reply.status_code == 200
            assert "type Query {" in reply.text

    async def test_hosts_and_pages_are_those_of_the_operator(self) -> None:
        settings = GraphQlSettings(port=0, cors_origins=("https://dapp.example",))
        async with graphql(settings) as (_, client):
            foreign = await client.http.post("/graphql", json={"query": NUMBER}, headers={"host": "evil.example"})
            assert foreign.status_code == 403
            page = {"origin": "https://dapp.example"}
            reply = await client.http.post("/graphql", json={"query": NUMBER}, headers=page)
            assert reply.headers["access-control-allow-origin"] == page["origin"]
            other = await client.http.post(
                "/graphql", json={"query": NUMBER}, headers={"origin": "https://evil.example"}
            )
            assert other.status_code == 403
            asked = {**page, "access-control-request-method": "POST"}
            assert (await client.http.options("/graphql", headers=asked)).status_code == 204


class TestAnswers:
    async def test_a_transaction_is_sent_waits_and_is_found(self) -> None:
        sent = transaction(0, LOGGER_ADDRESS, data=bytes(31) + b"\x05")
        async with graphql() as (node, client):
            data = await client.ask("mutation($t: Bytes!) { sendRawTransaction(data: $t) }", t="0x" + sent.raw.hex())
            assert data == {"sendRawTransaction": "0x" + sent.hash.hex()}
            pending = "{ pending { transactionCount transactions { hash from { address } block { number } status } } }"
            assert await client.ask(pending) == {
                "pending": {
                    "transactionCount": "0x1",
                    "transactions": [
                        {
                            "hash": "0x" + sent.hash.hex(),
                            "from": {"address": "0x" + PAYER.address.hex()},
                            "block": None,
                            "status": None,
                        }
                    ],
                }
            }
            block = await node.grow(sent)
            text = "query($h: Bytes32!) { transaction(hash: $h) { status block { number } logs { data topics } } }"
            found = (await client.ask(text, h="0x" + sent.hash.hex()))["transaction"]
            assert (found["status"], found["block"]["number"]) == ("0x1", hex(block.number))
            assert found["logs"] == [{"data": "0x" + "00" * 31 + "05", "topics": ["0x" + TOPIC.hex()]}]

    async def test_logs_are_those_of_json_rpc(self) -> None:
        async with graphql() as (node, client):
            for nonce in range(3):
                await node.grow(transaction(nonce, LOGGER_ADDRESS, data=bytes([0] * 31 + [nonce])))
            text = "query($f: FilterCriteria!) { logs(filter: $f) { data transaction { block { number } } } }"
            found = (await client.ask(text, f={"fromBlock": 1, "addresses": ["0x" + LOGGER_ADDRESS.hex()]}))["logs"]
            shown = await call(client.http, node.url, "eth_getLogs", {"fromBlock": "0x1"})
            assert [log["data"] for log in found] == [log["data"] for log in shown]
            assert [log["transaction"]["block"]["number"] for log in found] == [log["blockNumber"] for log in shown]
            assert await client.ask(text, f={"fromBlock": 1, "topics": [[], ["0x01"]]}) == {"logs": []}

    async def test_an_estimate_suffices(self) -> None:
        """The refund of a cleared slot comes at the end: what was used would not be enough."""
        data = {"data": "0x" + "6001600055" + "6000600055"}
        async with graphql() as (node, client):
            block = (await client.ask("query($d: CallData!) { block { estimateGas(data: $d) } }", d=data))["block"]
            reply = await call(client.http, node.url, "eth_call", {**data, "gas": block["estimateGas"]}, "latest")
            assert reply == "0x"

    async def test_what_is_not_there_is_null_or_an_error(self) -> None:
        async with graphql() as (_, client):
            assert await client.ask('{ transaction(hash: "0x01") { hash } }') == {"transaction": None}
            assert await client.errors("{ block(number: 99) { number } }") == [
                "Exception while fetching data (/block) : Block number 99 was not found"
            ]
            assert await client.errors("{ blocks(from: 2, to: 1) { number } }") == [
                "Exception while fetching data (/blocks) : Invalid params"
            ]

    async def test_a_block_may_be_asked_for_its_parents(self) -> None:
        async with graphql() as (node, client):
            for nonce in range(3):
                await node.grow(transaction(nonce))
            assert await client.ask("{ block { parent { parent { number } } } }") == {
                "block": {"parent": {"parent": {"number": "0x1"}}}
            }
            assert [block["number"] for block in (await client.ask("{ blocks(from: 1) { number } }"))["blocks"]] == [
                "0x1",
                "0x2",
                "0x3",
            ]


class TestBounds:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{" * 1_000, "maximum query depth exceeded"),
            ("{ block " * 1_000 + "{ number }" + "}" * 1_000, "maximum query depth exceeded"),
            ("{ block { parent " * 90 + "{ number }" + "}}" * 90, "maximum query depth exceeded"),
            (
                "{ " + " ".join(f"a{n}: chainID" for n in range(201)) + " }",
                "maximum query complexity exceeded 201 > 200",
            ),
            ("{ chainID } " + "fragment a on Query { chainID }" * 2_000, "Invalid syntax"),
            ("#" * (document.MAX_QUERY_CHARACTERS + 1), "maximum query length exceeded"),
            ("query { ...a } fragment a on Query { ...b } fragment b on Query { ...a }", "Validation error"),
            ("{ chainID @skip(if: 5) }", "Validation error"),
            ("subscription { chainID }", "Validation error"),
        ],
    )
    async def test_of_a_text(self, text: str, message: str) -> None:
        async with graphql() as (_, client):
            assert (await client.errors(text))[0].startswith(message)

    async def test_exponential_fragments_are_counted_before_they_are_looked_at(self) -> None:
        definitions = (f"fragment f{n} on Block {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
        text = "{ block { ...f0 } } " + " ".join(definitions) + " fragment f60 on Block { number }"
        async with graphql() as (_, client):
            with trio.fail_after(20):
                assert (await client.errors(text))[0].startswith("maximum query complexity exceeded")

    async def test_of_a_body(self) -> None:
        async with graphql() as (_, client):
            reply = await client.http.post("/graphql", content=b"{" * (3 * 2**20))
            assert reply.status_code == 413

    async def test_of_a_range_are_those_of_logs(self) -> None:
        async with graphql(api=ApiSettings(max_logs_range=2)) as (node, client):
            for nonce in range(4):
                await node.grow(transaction(nonce))
            for text in ("{ blocks(from: 0) { number } }", "{ logs(filter: {fromBlock: 0}) { data } }"):
                assert await client.errors(text) == ["Requested range exceeds maximum RPC range limit"]
            assert len((await client.ask("{ blocks(from: 2) { number } }"))["blocks"]) == 3

    async def test_of_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(query_context, "MAX_VALUES", 10)
        async with graphql() as (node, client):
            for nonce in range(10):
                await node.grow(transaction(nonce))
            assert await client.errors("{ blocks(from: 0) { number } }") == [
                "Requested range exceeds maximum RPC range limit"
            ]

    async def test_of_the_time(self) -> None:
        text = 'query a { block { call(data: {data: "0x5b600056", gas: 9223372036854775807}) { status } } }'
        async with graphql(api=ApiSettings(call_seconds=0.2, gas_cap=0)) as (_, client):
            assert await client.errors(text) == ["Timeout expired"]

    async def test_what_fails_unexpectedly_is_told_to_no_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with graphql() as (node, client):
            monkeypatch.setattr(type(node.made.chain), "state_at", lambda *_: 1 / 0)
            reply = await client.http.post("/graphql", json={"query": "{ block { miner { balance } } }"})
            assert reply.status_code == 500
            assert reply.json()["errors"][0]["message"] == "Internal error"


def test_a_node_answers_in_a_reader_process_and_keeps_its_pace(tmp_path: Path) -> None:
    """A query that is too long for a trial: the reader loads what it needs, and the node goes on making blocks."""
    endless = 'block { call(data: {data: "0x5b600056", gas: 9223372036854775807}) { status } }'
    # On py-evm: the native engine uses up all the gas of a call long before the time is over.
    with single_node(tmp_path, "--evm=python", "--graphql-http-enabled", "--graphql-http-port=0") as ports:
        url = f"http://127.0.0.1:{ports['graphql-http']}/graphql"

        def height() -> int:
            reply = httpx.post(url, json={"query": NUMBER + " #" + "-" * 3_000}, timeout=60)
            return int(reply.json()["data"]["block"]["number"], 16)

        first = height()
        reply = httpx.post(url, json={"query": "{ " + endless + " }"}, timeout=60)
        assert reply.json()["errors"][0]["message"] == "Timeout expired"
        until(lambda: height() > first + 5, "more blocks")
