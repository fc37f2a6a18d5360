"""What a caller is told of a parameter that is wrong: Besu 25.5.0's words for its kind, and in `data` what was expected."""

import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.errors import RpcError
from tests.support.rpc_chain import RICH, RpcTestNode, node

ACCOUNT, HASH = to_hex(RICH.address), "0x" + "ab" * 32
BLOCK = "Invalid block param (block not found)"
NEGATIVE = "Invalid block number params"
LONG = HASH + "1234"


@pytest.fixture(scope="module")
def at() -> RpcTestNode:
    return node()


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        *((method, [], BLOCK) for method in ("eth_getBalance", "eth_getCode", "eth_getStorageAt", "eth_getProof")),
        *((method, [ACCOUNT, LONG], BLOCK) for method in ("eth_getBalance", "eth_getCode", "eth_getTransactionCount")),
        *((method, [ACCOUNT, "-0x10"], NEGATIVE) for method in ("eth_getBalance", "eth_getCode")),
        ("eth_getBalance", ["0xzz", "latest"], "Invalid address params"),
        ("eth_getStorageAt", [ACCOUNT, "0x0", LONG], BLOCK),
        ("eth_getStorageAt", [ACCOUNT, "0xzz", "latest"], "Invalid position params"),
        ("eth_getProof", [ACCOUNT, "0x0", "latest"], "Invalid storage keys params"),
        ("eth_getTransactionCount", [], BLOCK),
        ("eth_getBlockReceipts", ["garbage"], BLOCK),
        ("eth_getBlockByNumber", ["garbage", True], NEGATIVE),
        ("eth_getBlockByNumber", ["latest", "x"], "Invalid return complete transaction params"),
        ("eth_getBlockByHash", ["0x0", True], "Invalid block hash params"),
        ("eth_getBlockTransactionCountByHash", [], "Invalid block hash params"),
        ("eth_getBlockTransactionCountByNumber", [], BLOCK),
        ("eth_getTransactionByBlockHashAndIndex", ["0x0"], "Invalid transaction hash params"),
        ("eth_getTransactionByBlockHashAndIndex", [HASH], "Invalid transaction id params"),
        ("eth_getTransactionByBlockHashAndIndex", [HASH, "0x0L"], "Invalid transaction id params"),
        ("eth_getTransactionByBlockNumberAndIndex", [], BLOCK),
        ("eth_getTransactionByBlockNumberAndIndex", ["latest"], "Invalid transaction index params"),
        ("eth_getTransactionByHash", ["0x0"], "Invalid transaction hash params"),
        ("eth_getTransactionReceipt", ["0x0"], "Invalid transaction hash params"),
        ("eth_getLogs", [{"address": ["foo"]}], "Invalid filter params"),
        ("eth_getLogs", [{"blockHash": HASH, "fromBlock": "0x0"}], "Invalid filter params"),
        ("eth_feeHistory", ["0x0", "latest"], "Invalid block count params"),
        ("eth_feeHistory", ["0x1", "0x99"], NEGATIVE),
        ("eth_feeHistory", ["0x1", "latest", ["a"]], "Invalid reward percentiles params"),
        ("eth_call", ["0x8"], BLOCK),
        ("eth_call", [{"data": "0x01", "input": "0x02"}, "latest"], "Invalid call params"),
        ("ibft_getValidatorsByBlockNumber", [], BLOCK),
        ("ibft_getValidatorsByBlockHash", [], "Invalid block hash params"),
        ("ibft_proposeValidatorVote", [ACCOUNT, "x"], "Invalid vote type params"),
        ("eth_sendRawTransaction", ["0x00"], "Invalid params"),
    ],
)
def test_a_wrong_parameter_is_named_by_its_kind(
    at: RpcTestNode, method: str, params: list[object], message: str
) -> None:
    error: RpcError = at.error(method, *params)
    assert (error.code, error.message) == (-32602, message)
    assert error.data, "what was expected"
