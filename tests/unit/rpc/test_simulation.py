"""`eth_simulateV1`: the test files of the specification, and what Besu 25.5.0 and this node add."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.evm.transfer_logs import TRANSFER_ADDRESS
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.settings import ApiSettings
from tests.support.rpc_chain import (
    GAS_ADDRESS,
    INVALID_ADDRESS,
    LOGGER_ADDRESS,
    POOR,
    RECIPIENT,
    REVERTER_ADDRESS,
    RICH,
    STORER_ADDRESS,
    VALIDATOR,
    RpcTestNode,
    node,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "simulate_v1.json").read_text())
"""Requests and answers of ethereum/execution-apis (CC0-1.0), `tests/eth_simulateV1`, without what depends on that chain."""

HEAD_NUMBER, HEAD_TIME, CHAIN_ID = 54, 540, 3_503_995_874_084_926

CHAIN_DEPENDENT = dict.fromkeys(
    (
        "add-more-non-defined-BlockStateCalls-than-fit-but-now-with-fit",
        "blockhash-complex",
        "blockhash-simple",
        "blockhash-start-before-head",
        "contract-calls-itself",
        "empty-with-block-num-set-firstblock",
        "empty-with-block-num-set-minusone",
        "get-block-properties",
        "overwrite-existing-contract",
        "self-destructing-state-override",
        "self-destructive-contract-produces-logs",
        "use-as-many-features-as-possible",
    ),
    "the outcome has hashes, times, the coinbase or the difficulty of the files' chain",
)

OTHERWISE = {
    **CHAIN_DEPENDENT,
    "blobs": "blocks of IBFT 2.0 have no blobs",
    "check-invalid-nonce": "Besu looks at the nonces first",
    "move-two-accounts-to-same-38023": "Besu refuses two precompiles at one address",
    "overflow-nonce": "Besu refuses the last nonce",
    "overflow-nonce-validation": "the code is Besu's, -32602",
    "override-ecrecover": "to Besu, the address of a moved precompile is still warm",
}
"""The files whose outcome is another one here, with the reason."""


@lru_cache(maxsize=1)
def chain_of_the_files() -> RpcTestNode:
    """A chain whose head has the number, the timestamp and the gas limit of that of the files."""
    document: dict[str, Any] = devnet_genesis([VALIDATOR.address], [], 1, HEAD_TIME - HEAD_NUMBER, "prague")
    document["config"] |= {"chainId": CHAIN_ID}
    document["config"].pop("zeroBaseFee")
    document |= {"baseFeePerGas": hex(10**9), "gasLimit": hex(10**8)}
    # The machine may have much else to do.
    made = node(genesis=document, api=ApiSettings(call_seconds=100.0))
    made.grow(HEAD_NUMBER)
    return made


def essence(block: dict[str, Any]) -> dict[str, Any]:
    calls = [
        {
            **{name: call[name] for name in ("status", "gasUsed", "returnData")},
            "logs": [[log["address"], log["topics"], log["data"]] for log in call["logs"]],
        }
        for call in block["calls"]
    ]
    return {**{name: block[name] for name in ("number", "timestamp", "gasUsed")}, "calls": calls}


class TestFiles:
    def test_the_table_of_differences_names_files(self) -> None:
        assert VECTORS.keys() >= OTHERWISE.keys()
        assert len(VECTORS.keys() - OTHERWISE.keys()) == 73

    @pytest.mark.parametrize("name", sorted(VECTORS.keys() - OTHERWISE.keys()))
    def test_a_file_of_the_specification(self, name: str) -> None:
        expected, chain = VECTORS[name], chain_of_the_files()
        if "code" in expected:
            assert chain.fails("eth_simulateV1", *expected["params"])[0] == expected["code"]
            return
        found = chain.call("eth_simulateV1", *expected["params"])
        assert isinstance(found, list)
        assert [essence(block) for block in found] == expected["blocks"]


@pytest.fixture(scope="module")
def at() -> RpcTestNode:
    made = node(api=ApiSettings(call_seconds=100.0))
    made.grow()
    return made


def simulate(at: RpcTestNode, *calls: Mapping[str, object], **options: object) -> list[dict[str, Any]]:
    found = at.call("eth_simulateV1", {"blockStateCalls": [{"calls": list(calls)}], **options}, "latest")
    assert isinstance(found, list)
    return found


def pay(value: int = 5, **members: str) -> dict[str, object]:
    return {"from": to_hex(RICH.address), "to": to_hex(RECIPIENT), "value": hex(value), **members}


def store(value: int) -> dict[str, object]:
    return {"to": to_hex(STORER_ADDRESS), "data": to_hex(value.to_bytes(32))}


class TestBlocks:
    def test_a_block_before_london_has_the_members_of_its_fork(self, at: RpcTestNode) -> None:
        (block,) = simulate(at, pay())
        head = at.chain.head.header
        assert list(block) == sorted(block)
        assert (block["number"], block["parentHash"]) == (hex(head.number + 1), to_hex(at.chain.head.hash))
        assert (block["timestamp"], block["gasLimit"]) == (hex(head.timestamp + 12), hex(head.gas_limit))
        assert not block.keys() & {"baseFeePerGas", "withdrawals", "totalDifficulty", "requestsHash"}
        assert block["calls"] == [{"gasUsed": "0x5208", "logs": [], "returnData": "0x", "status": "0x1"}]

    def test_a_block_of_prague_has_besus_members(self) -> None:
        (block,) = simulate(chain_of_the_files(), {"from": to_hex(RICH.address), "to": to_hex(RECIPIENT)})
        assert block["baseFeePerGas"] == block["blobGasUsed"] == block["excessBlobGas"] == "0x0"
        assert block["requestsHash"] == "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        assert block["withdrawals"] == []

    def test_a_later_call_and_a_later_block_see_what_an_earlier_one_did(self, at: RpcTestNode) -> None:
        back = to_hex(RECIPIENT)
        blocks = [{"calls": [pay(7), {"from": back, "to": to_hex(POOR.address), "value": "0x3"}]}]
        blocks += [{"calls": [{"from": back, "to": to_hex(POOR.address), "value": "0x4"}]}]
        found = at.call("eth_simulateV1", {"blockStateCalls": blocks}, "latest")
        assert isinstance(found, list)
        assert [call["status"] for block in found for call in block["calls"]] == ["0x1"] * 3
        assert found[1]["parentHash"] == found[0]["hash"]
        too_much = {"blockStateCalls": [*blocks, blocks[1]]}
        assert at.fails("eth_simulateV1", too_much, "latest")[0] == -38014

    def test_nothing_is_left_of_it(self, at: RpcTestNode) -> None:
        before = at.call("eth_getBlockByNumber", "latest", False)
        simulate(at, store(9), pay())
        assert at.call("eth_getBlockByNumber", "latest", False) == before
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), "0x0", "latest") == to_hex(bytes(32))
        assert at.call("eth_getBalance", to_hex(RECIPIENT), "latest") == "0x0"

    def test_overrides_of_the_header_are_shown_and_do_not_lose_the_state(self, at: RpcTestNode) -> None:
        named = {"hash": "0x" + "ab" * 32, "stateRoot": "0x" + "cd" * 32, "extraData": "0x0102", "gasLimit": "0xf4240"}
        blocks = [{"blockOverrides": named, "calls": [pay(7)]}, {"calls": [{**pay(7), "from": to_hex(RECIPIENT)}]}]
        found = at.call("eth_simulateV1", {"blockStateCalls": blocks}, "latest")
        assert isinstance(found, list)
        assert {name: found[0][name] for name in named} == named
        assert (found[1]["parentHash"], found[1]["calls"][0]["status"]) == (named["hash"], "0x1")

    def test_full_transactions_are_those_of_the_calls(self, at: RpcTestNode) -> None:
        (block,) = simulate(at, pay(), store(1), returnFullTransactions=True)
        first, second = block["transactions"]
        assert (first["from"], first["value"], first["blockHash"]) == (to_hex(RICH.address), "0x5", block["hash"])
        assert (second["from"], second["transactionIndex"], second["r"]) == ("0x" + "00" * 20, "0x1", "0x0")
        (hashes,) = simulate(at, pay(), store(1))
        assert hashes["transactions"] == [first["hash"], second["hash"]]


class TestCalls:
    def test_a_call_that_fails_says_why_and_the_next_one_runs(self, at: RpcTestNode) -> None:
        text = bytes.fromhex("08c379a0") + (32).to_bytes(32) + (2).to_bytes(32) + b"no".ljust(32, b"\0")
        reverting = {"to": to_hex(REVERTER_ADDRESS), "data": to_hex(text)}
        (block,) = simulate(at, reverting, {"to": to_hex(INVALID_ADDRESS), "gas": "0x186a0"}, pay())
        reverted, halted, paid = block["calls"]
        assert reverted["error"] == {"code": -32000, "message": "Execution reverted (no)", "data": to_hex(text)}
        assert (reverted["returnData"], reverted["status"]) == ("0x", "0x0")
        assert (halted["error"]["code"], halted["gasUsed"]) == (-32015, "0x186a0")
        assert paid["status"] == "0x1"

    def test_transfers_are_logs_in_their_order_and_of_calls_that_succeed(self, at: RpcTestNode) -> None:
        # Sends 1 wei to 0x..77, logs, sends 1 wei to the reverter, which reverts, and then 1 wei to 0x..78.
        steps = ((b"\x77" * 20, "60006000a0"), (REVERTER_ADDRESS, ""), (b"\x78" * 20, ""))
        code = "".join("6000600060006000600173" + target.hex() + "5af150" + log for target, log in steps)
        forwarder = "0x" + "70" * 20
        block = {"stateOverrides": {forwarder: {"code": "0x" + code}}, "calls": [{**pay(9), "to": forwarder}]}
        found = at.call("eth_simulateV1", {"blockStateCalls": [block], "traceTransfers": True}, "latest")
        assert isinstance(found, list)
        logs = found[0]["calls"][0]["logs"]
        assert [log["address"] for log in logs] == [
            to_hex(TRANSFER_ADDRESS), to_hex(TRANSFER_ADDRESS), forwarder, to_hex(TRANSFER_ADDRESS),
        ]  # fmt: skip
        assert [log["topics"][2][-40:] for log in logs if log["topics"]] == ["70" * 20, "77" * 20, "78" * 20]
        assert [log["logIndex"] for log in logs] == ["0x0", "0x1", "0x2", "0x3"]
        # They are no part of the block.
        without = at.call("eth_simulateV1", {"blockStateCalls": [block]}, "latest")
        assert isinstance(without, list)
        assert without[0]["receiptsRoot"] == found[0]["receiptsRoot"]
        assert len(without[0]["calls"][0]["logs"]) == 1

    def test_validation_asks_for_the_next_nonce_and_the_fees(self) -> None:
        chain = chain_of_the_files()
        rich = {to_hex(RICH.address): {"balance": hex(10**20)}}

        def code(gas_limit: int = 10**8, **members: str) -> int:
            named = {"gasLimit": hex(gas_limit)}
            block = {"stateOverrides": rich, "blockOverrides": named, "calls": [{**pay(), **members}]}
            return chain.fails("eth_simulateV1", {"blockStateCalls": [block], "validation": True}, "latest")[0]

        assert code() == -38012
        assert code(maxFeePerGas=hex(10**10), nonce="0x1") == -38011
        assert code(maxFeePerGas=hex(10**14)) == -38014
        assert code(maxFeePerGas=hex(10**10), gas="0x5207") == -38013
        assert code(30_000, maxFeePerGas=hex(10**10), gas=hex(30_001)) == -38015
        block = {"stateOverrides": rich, "calls": [pay(maxFeePerGas=hex(10**10), gas="0x5208")]}
        found = chain.call("eth_simulateV1", {"blockStateCalls": [block], "validation": True})
        assert isinstance(found, list)
        assert int(found[0]["baseFeePerGas"], 16) > 0


class TestBounds:
    def test_the_gas_of_all_calls_together_is_capped(self) -> None:
        capped = node(api=ApiSettings(gas_cap=100_000, call_seconds=100.0))
        ask = {"to": to_hex(GAS_ADDRESS)}
        (block,) = simulate(capped, pay(), {**ask, "gas": hex(10**9)}, ask)
        left = [int(call["returnData"], 16) for call in block["calls"][1:]]
        assert 50_000 < left[0] < 100_000 - 2 * 21_000
        assert left[1] < left[0] - 21_000
        assert capped.fails("eth_simulateV1", {"blockStateCalls": [{"calls": [pay()] * 5}]}, "latest")[0] == -38013

    @pytest.mark.parametrize(
        ("blocks", "code"),
        [
            ([{}] * 257, -38026),
            ([{"blockOverrides": {"number": hex(1 + 257)}}], -38026),
            ([{"blockOverrides": {"number": "0xffffffffffffffff"}}], -38026),
            ([{}] * 200 + [{"blockOverrides": {"number": hex(1 + 257)}}], -38026),
            ([{"blockOverrides": {"number": "0x1"}}], -38020),
            ([{"blockOverrides": {"number": "0x5"}}, {"blockOverrides": {"number": "0x5"}}], -38020),
            ([{"blockOverrides": {"time": "0x1"}}], -38021),
            ([{"blockOverrides": {"time": "0xffffffffffffffff"}}, {}], -38021),
            ([{"calls": [pay(nonce="0x1"), pay(nonce="0x1")]}], -32602),
            ([{"calls": {}}], -32602),
            ([{"calls": [5]}], -32602),
            ([5], -32602),
            ({}, -32602),
            ([{"blockOverrides": []}], -32602),
            ([{"blockOverrides": {"number": "0x10000000000000000"}}], -32602),
            ([{"blockOverrides": {"extraData": "0x" + "00" * 65_537}}], -32602),
            ([{"stateOverrides": {to_hex(RECIPIENT): {"movePrecompileToAddress": to_hex(RECIPIENT)}}}], -32000),
            ([{"stateOverrides": {hex(10**30 + index): {} for index in range(600)}}] * 2, -32005),
        ],
    )
    def test_what_does_not_fit_is_refused(self, at: RpcTestNode, blocks: object, code: int) -> None:
        assert at.fails("eth_simulateV1", {"blockStateCalls": blocks}, "latest")[0] == code

    def test_256_blocks_are_simulated(self, at: RpcTestNode) -> None:
        found = at.call("eth_simulateV1", {"blockStateCalls": [{"blockOverrides": {"number": hex(1 + 256)}}]}, "latest")
        assert isinstance(found, list)
        assert len(found) == 256

    def test_a_large_answer_and_a_long_time_are_refused(self, at: RpcTestNode) -> None:
        log = {"to": to_hex(LOGGER_ADDRESS), "data": to_hex(bytes(32))}
        long = {"stateOverrides": {to_hex(LOGGER_ADDRESS): {"code": "0x620f424060006000a0620f42406000f3"}}}
        blocks = [{**long, "calls": [{**log, "gas": hex(9_000_000)}]}] * 9
        many = node(api=ApiSettings(call_seconds=100.0, gas_cap=0))
        assert many.fails("eth_simulateV1", {"blockStateCalls": blocks}, "latest")[0] == -32005
        hurried = node(api=ApiSettings(call_seconds=0.01))
        endless = {to_hex(RECIPIENT): {"code": "0x5b600056"}}
        call = {"stateOverrides": endless, "calls": [pay(0, gas=hex(10**7))]}
        assert hurried.fails("eth_simulateV1", {"blockStateCalls": [call] * 9}) == (-32603, "Timeout expired")
