"""GraphQL requests over HTTP: how they are read, bounded and counted."""

from typing import cast

import orjson
import pytest

from lacnode.graphql.requests import GraphQlDispatcher, MalformedRequestError, parse_graphql_request
from lacnode.graphql.server import _GraphQlRoutes
from lacnode.graphql.settings import GraphQlSettings
from lacnode.http.http_messages import Request
from lacnode.rpc.dispatch import Reply, Steps
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.short_read_trials import ShortReadTrials
from tests.support.rpc_chain import finished, node


def test_a_url_with_too_many_fields_is_refused() -> None:
    fields = "&".join(f"name{number}=1" for number in range(21))
    with pytest.raises(MalformedRequestError, match="at most 20 fields"):
        parse_graphql_request(Request("GET", f"/graphql?query={{chainID}}&{fields}", {}))


def test_a_url_with_a_query_is_read() -> None:
    assert parse_graphql_request(Request("GET", "/graphql?query={chainID}", {})).text == "{chainID}"


def json_request(unit: bytes, count: int) -> Request:
    body = b'{"query": "{chainID}", "variables": {"a": [' + b",".join([unit] * count) + b"]}}"
    return Request("POST", "/graphql", {"content-type": "application/json"}, body)


@pytest.mark.parametrize("unit", [b"{}", b"[]", b"1", b'{"a":0}'])
def test_the_values_of_a_request_are_bounded(unit: bytes) -> None:
    assert parse_graphql_request(json_request(unit, 100)).variables
    with pytest.raises(MalformedRequestError, match="at most 100000 values of JSON"):
        parse_graphql_request(json_request(unit, 100_001))


def test_a_request_is_parsed_in_the_first_step_and_not_before() -> None:
    at = node()
    dispatcher = GraphQlDispatcher(at.services, ShortReadTrials())
    begun = dispatcher.steps(Request("POST", "/graphql", {"content-type": "application/json"}, b"no JSON"))
    reply = finished(begun)
    assert (reply.status, orjson.loads(reply.body)) == (
        400,
        {"errors": [{"message": "the body, or its variables, are not JSON"}]},
    )


async def test_the_bytes_of_a_request_are_counted() -> None:
    """As those of JSON-RPC are: for its share of the time, and for its memory while it waits for a reader."""
    counted: list[int] = []

    class Runner:
        def charge_unusual_request(self) -> None:
            pass

        async def run(self, request: bytes, steps: Steps, client: str) -> Reply:
            counted.append(len(request))
            return Reply(b"{}")

    at = node()
    dispatcher = GraphQlDispatcher(at.services, ShortReadTrials())
    routes = _GraphQlRoutes(GraphQlSettings(), dispatcher, cast(RequestRunner, Runner()))
    asked = json_request(b"1", 1_000)
    assert (await routes.answer(asked)).status == 200
    assert (await routes.answer(Request("GET", "/graphql?query={chainID}", {}))).status == 200
    assert counted == [len(asked.body), len("/graphql?query={chainID}")]
