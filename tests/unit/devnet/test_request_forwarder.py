"""What the developer endpoint makes of the node's responses."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from lacnode.devnet import request_forwarder
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.request_pause import RequestPause
from lacnode.http.http_messages import Request
from lacnode.rpc.errors import RpcError
from tests.support.answering_server import answering

REQUEST = Request("POST", "/", {}, b'{"jsonrpc":"2.0","id":1,"method":"eth_getLogs"}')


@contextmanager
def forwarder(body: bytes) -> Iterator[RequestForwarder]:
    """For a node that answers everything with `body`."""
    with answering(lambda document: body) as url:
        yield RequestForwarder(int(url.rpartition(":")[2]), RequestPause())


@pytest.mark.parametrize("more", [0, 1])
async def test_an_answer_that_is_too_long_is_an_error_and_not_a_part_of_it(
    more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x" + "11" * 1000})
    monkeypatch.setattr(request_forwarder, "MAX_REPLY_BYTES", len(body) - more)
    with forwarder(body) as node:
        response = await node.forward(REQUEST)
        if not more:
            assert (response.status, response.body) == (200, body)
            return
        assert response.status == 502
        assert f"more than {len(body) - 1} bytes" in orjson.loads(response.body)["message"]
        with pytest.raises(RpcError, match="more than"):
            await node.call("eth_getLogs")


async def test_a_node_that_does_not_answer_has_no_result() -> None:
    with forwarder(b"") as node:
        pass
    assert (await node.forward(REQUEST)).status == 503
    with pytest.raises(RpcError, match="the node does not answer"):
        await node.call("eth_getLogs")


async def test_a_response_that_is_no_json_rpc_has_no_result() -> None:
    with forwarder(b"[]") as node, pytest.raises(RpcError, match="the node does not answer"):
        await node.call("eth_getLogs")
