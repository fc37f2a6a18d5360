"""Methods and results against the OpenRPC schema of ethereum/execution-apis."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.filters import PollingFilters
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import GROUPS, MethodRegistry
from tests.support.rpc_chain import (
    BERLIN,
    CHAIN_ID,
    GENESIS_TIME,
    LOGGER_ADDRESS,
    REVERTER_ADDRESS,
    RICH,
    VALIDATOR,
    RpcTestNode,
    genesis_document,
    node,
    signed,
    typed,
)

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "execution_apis.json").read_text())
"""Of commit 033ca6e69da0 (CC0-1.0): the result of each method of `src/eth`, `src/debug` and `src/txpool`, and the types."""

KEYS = "a node has no keys of accounts. The developer endpoint of a devnet has the method"
LATER = "younger than Besu 25.5.0"

ABSENT = {
    "eth_sign": KEYS,
    "eth_signTransaction": KEYS,
    "debug_getRawBlockAccessList": LATER,
    "eth_baseFee": LATER,
    "eth_capabilities": LATER,
    "eth_fillTransaction": LATER,
    "eth_getBlockAccessList": LATER,
    "eth_getStorageValues": LATER,
}
"""The methods that a node does not have, with the reason."""

LATER_MEMBERS = {"blockTimestamp"}
"""Members that the schema requires of transactions and Besu 25.5.0 does not know."""

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": int | float}

RICH_ACCOUNT, LOGGER = to_hex(RICH.address), to_hex(LOGGER_ADDRESS)
UNKNOWN = "0x" + "ab" * 32
CALL = {"from": RICH_ACCOUNT, "to": LOGGER, "data": "0x" + "07".zfill(64)}
SIMULATION = {"blockStateCalls": [{"calls": [CALL]}]}


def mistakes(value: object, schema: Mapping[str, Any], at: str = "result") -> Iterator[str]:
    """What is wrong with `value`, as far as the keywords go that the schema uses."""
    if "$ref" in schema:
        yield from mistakes(value, SCHEMA["schemas"][schema["$ref"].rsplit("/", 1)[1]], at)
    wanted = TYPES.get(schema.get("type", ""), object)
    if not isinstance(value, wanted):
        yield f"{at}: {schema['type']} was expected, not {str(value)[:80]}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{at}: {value[:80]!r} does not match {schema['pattern']}"
    if isinstance(value, dict):
        yield from _mistakes_of_object(value, schema, at)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from mistakes(item, schema.get("items", {}), f"{at}[{index}]")
    for part in schema.get("allOf", ()):
        yield from mistakes(value, part, at)
    # An empty array fits several alternatives of `oneOf`, so that one or more may fit here.
    alternatives = [list(mistakes(value, part, at)) for name in ("anyOf", "oneOf") for part in schema.get(name, ())]
    if alternatives and all(alternatives):
        yield f"{at}: no alternative fits: {[each[0] for each in alternatives]}"


def _mistakes_of_object(value: Mapping[str, object], schema: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from (f"{at}.{name} is missing" for name in {*schema.get("required", ())} - LATER_MEMBERS - value.keys())
    others = schema.get("additionalProperties", {})
    for name, member in value.items():
        described = schema.get("properties", {}).get(name, others)
        if described is False:
            yield f"{at}.{name} is not described"
        else:
            yield from mistakes(member, {} if described is True else described, f"{at}.{name}")


@lru_cache(maxsize=1)
def asked() -> RpcTestNode:
    """A chain of Prague with a transaction of each kind in block 1, and others in the pool."""
    document: dict[str, Any] = devnet_genesis([VALIDATOR.address], [], 1, GENESIS_TIME, "prague")
    document["config"]["chainId"] = CHAIN_ID
    document["alloc"] |= genesis_document(BERLIN)["alloc"]
    made = node(genesis=document)
    made.registry = MethodRegistry([*all_methods(), *PollingFilters().methods()], GROUPS)
    made.send(
        signed(nonce=0, value=5, chain_id=None),
        signed(nonce=1, to=LOGGER_ADDRESS, data=b"\7".rjust(32, b"\0")),
        signed(nonce=2, to=REVERTER_ADDRESS, data=b"why"),
        signed(nonce=3, to=None, data=bytes.fromhex("600160005260206000f3")),
        typed(nonce=4, access_list=[(LOGGER_ADDRESS, (bytes(32),))]),
        typed(nonce=5, fees=(0, 0)),
    )
    assert len(made.grow().transactions) == 6
    made.send(signed(nonce=6), typed(nonce=7, fees=(0, 0)), signed(nonce=9))
    return made


def questions() -> dict[str, list[list[object]]]:
    """The parameters of the questions to each method."""
    at = asked()
    block = at.chain.block_of(at.chain.head.hash)
    assert block is not None
    head, blocks = to_hex(at.chain.head.hash), ["latest", "0x0", "0x99", "pending"]
    mined = [to_hex(each.hash) for each in block.transactions]
    tracers: list[list[object]] = [
        [],
        [{"tracer": "callTracer"}],
        [{"tracer": "prestateTracer"}],
        [{"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}],
    ]
    of_blocks: list[list[object]] = [[block] for block in blocks]
    by_index: list[object] = [hex(index) for index in range(7)]
    id_ = at.call("eth_newFilter", {"fromBlock": "earliest"})
    return {
        "debug_getRawBlock": [["latest"], ["0x0"]],
        "debug_getRawHeader": [["latest"], ["0x0"]],
        "debug_getRawReceipts": [["latest"], ["0x0"]],
        "debug_getRawTransaction": [[each] for each in mined],
        "debug_traceBlockByHash": [[head, *tracer] for tracer in tracers],
        "debug_traceBlockByNumber": [["latest", *tracer] for tracer in tracers],
        "debug_traceTransaction": [[each, *tracer] for each in mined for tracer in tracers],
        "eth_call": [[CALL, "latest"]],
        "eth_createAccessList": [[CALL, "latest"]],
        "eth_estimateGas": [[CALL], [CALL, "latest"]],
        "eth_feeHistory": [["0x2", "latest", [10, 50]], ["0x1", "latest"]],
        "eth_getBalance": [[RICH_ACCOUNT, "latest"]],
        "eth_getBlockByHash": [[hash_, full] for hash_ in (head, UNKNOWN) for full in (True, False)],
        "eth_getBlockByNumber": [[each, full] for each in blocks for full in (True, False)],
        "eth_getBlockReceipts": [["latest"], ["0x0"]],
        "eth_getBlockTransactionCountByHash": [[head], [UNKNOWN]],
        "eth_getBlockTransactionCountByNumber": of_blocks,
        "eth_getCode": [[LOGGER, "latest"], [RICH_ACCOUNT, "latest"]],
        "eth_getFilterChanges": [[id_]],
        "eth_getFilterLogs": [[id_]],
        "eth_getLogs": [[{"fromBlock": "earliest"}], [{"blockHash": head}]],
        "eth_getProof": [[RICH_ACCOUNT, ["0x0"], "latest"], [LOGGER, ["0x1"], "latest"]],
        "eth_getStorageAt": [[LOGGER, "0x0", "latest"]],
        "eth_getTransactionByBlockHashAndIndex": [[head, index] for index in by_index],
        "eth_getTransactionByBlockNumberAndIndex": [["latest", index] for index in by_index],
        # The schema has none for those of the pool, whose block is null in Besu and in geth.
        "eth_getTransactionByHash": [[each] for each in (*mined, UNKNOWN)],
        "eth_getTransactionCount": [[RICH_ACCOUNT, "latest"], [RICH_ACCOUNT, "pending"]],
        "eth_getTransactionReceipt": [[each] for each in (*mined, UNKNOWN)],
        "eth_newFilter": [[{}]],
        "eth_sendRawTransaction": [[to_hex(signed(nonce=8).raw)]],
        "eth_simulateV1": [[{**SIMULATION, "returnFullTransactions": full}, "latest"] for full in (True, False)],
        "eth_uninstallFilter": [[id_], ["0x1"]],
        "txpool_contentFrom": [[RICH_ACCOUNT]],
    }


@pytest.mark.parametrize("method", sorted(SCHEMA["methods"].keys() - ABSENT.keys() - {"eth_sendTransaction"}))
def test_results_are_those_of_the_schema(method: str) -> None:
    for params in questions().get(method, [[]]):
        result = json.loads(json.dumps(asked().call(method, *params)))
        assert list(mistakes(result, SCHEMA["methods"][method])) == [], params


def test_all_methods_are_there_but_those_with_a_reason() -> None:
    own = {method.name for method in (*all_methods(), *PollingFilters().methods())}
    assert SCHEMA["methods"].keys() - own == ABSENT.keys()


@pytest.mark.parametrize("result", [None, 5, "5", {"number": 5}, [None]])
def test_wrong_results_are_found(result: object) -> None:
    assert list(mistakes(result, SCHEMA["methods"]["eth_blockNumber"]))
