"""The command line's client of a node, against servers that answer what no node does."""

import pytest

from lacnode.rpc.json_rpc_client import NodeUnreachableError, block_number, call, call_all, read_quantity
from tests.support.answering_server import answering

REPLY = {"jsonrpc": "2.0", "id": 0}


def test_a_number_of_the_head_is_read() -> None:
    with answering(lambda request: [{**REPLY, "result": "0x1f"}]) as url:
        assert block_number(url) == 31


@pytest.mark.parametrize("result", ["pending", "", "0x", "-0x1", "0x_1", " 0x1", "0x" + "1" * 65, 7, None, [], {}])
def test_a_head_that_is_no_quantity_counts_as_no_answer(result: object) -> None:
    assert read_quantity(result) is None
    with (
        answering(lambda request: [{**REPLY, "result": result}]) as url,
        pytest.raises(NodeUnreachableError, match="gives no block number"),
    ):
        block_number(url)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"\xff", b"", b'[{"id":[]}]', b'[{"id":{}}]', b"[1]", b'{"a":1}'], ids=range(7)
)
def test_what_is_no_answer_to_a_batch_counts_as_none(body: bytes) -> None:
    with answering(lambda request: body) as url, pytest.raises(NodeUnreachableError):
        call_all(url, [("eth_blockNumber", [])], timeout=10)


def test_an_answer_without_a_result_is_quoted() -> None:
    with (
        answering(lambda request: {"message": "Host not authorized."}) as url,
        pytest.raises(NodeUnreachableError, match="Host not authorized"),
    ):
        call(url, "eth_blockNumber")


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:port"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(NodeUnreachableError, match="is no address of a node"):
        call(url, "eth_blockNumber")
