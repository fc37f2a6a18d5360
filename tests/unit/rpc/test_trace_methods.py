"""TRACE on a chain of this project's own kind: rewards, bounds and errors that Besu's files do not have."""

from typing import Any

import pytest

from lacnode.evm.engine_kind import EngineKind
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.settings import ApiSettings
from tests.support.rpc_chain import (
    BERLIN,
    CALLER_ADDRESS,
    REVERTER_ADDRESS,
    RICH,
    STORER_ADDRESS,
    VALIDATOR,
    RpcTestNode,
    node,
    signed,
)


@pytest.fixture(scope="module")
def at(engine_kind: EngineKind) -> RpcTestNode:
    """Block 1 has a call of a call, and a call that reverts."""
    made = node(evm=engine_kind)
    made.send(signed(to=CALLER_ADDRESS), signed(nonce=1, to=REVERTER_ADDRESS, data=b"why"))
    made.grow()
    return made


def traces(at: RpcTestNode, method: str, *params: object) -> list[dict[str, Any]]:
    found = at.call(method, *params)
    assert isinstance(found, list)
    return found


class TestFlatTraces:
    def test_a_block_has_the_calls_of_its_transactions_and_its_reward_last(self, at: RpcTestNode) -> None:
        found = traces(at, "trace_block", "0x1")
        assert [(each["type"], each["traceAddress"], each["subtraces"]) for each in found] == [
            ("call", [], 1), ("call", [0], 0), ("call", [], 0), ("reward", [], 0),
        ]  # fmt: skip
        assert found[1]["action"]["from"] == to_hex(CALLER_ADDRESS)
        assert found[1]["action"]["to"] == to_hex(STORER_ADDRESS)
        assert (found[2]["error"], found[2]["revertReason"]) == ("Reverted", to_hex(b"why"))
        assert "result" not in found[2]
        reward = {"author": to_hex(VALIDATOR.address), "rewardType": "block", "value": "0x0"}
        assert (found[3]["action"], found[3]["transactionHash"]) == (reward, None)

    def test_a_block_reward_of_the_genesis_goes_to_the_beneficiary_it_names(self) -> None:
        beneficiary = b"\x77" * 20
        ibft = {"blockreward": "0x10", "miningbeneficiary": to_hex(beneficiary)}
        made = node(forks=BERLIN, ibft=ibft)
        made.grow()
        (reward,) = traces(made, "trace_block", "latest")
        assert reward["action"] == {"author": to_hex(beneficiary), "rewardType": "block", "value": "0x10"}

    def test_one_transaction_and_one_call_of_it_are_those_of_the_block(self, at: RpcTestNode) -> None:
        whole = traces(at, "trace_block", "0x1")
        hash_ = whole[0]["transactionHash"]
        assert traces(at, "trace_transaction", hash_) == whole[:2]
        assert at.call("trace_get", hash_, ["0x0"]) == whole[1]
        assert at.call("trace_get", hash_, ["0x5"]) is None
        assert at.call("trace_transaction", to_hex(bytes(32))) == []

    def test_a_filter_finds_by_sender_and_recipient(self, at: RpcTestNode) -> None:
        asked: dict[str, object] = {"fromBlock": "0x0", "toBlock": "latest", "toAddress": [to_hex(STORER_ADDRESS)]}
        assert [each["traceAddress"] for each in traces(at, "trace_filter", asked)] == [[0]]
        asked = {"fromBlock": "0x1", "fromAddress": to_hex(RICH.address), "after": 1, "count": 1}
        assert [each["action"]["to"] for each in traces(at, "trace_filter", asked)] == [to_hex(REVERTER_ADDRESS)]

    def test_a_filter_over_too_many_blocks_is_refused(self, at: RpcTestNode) -> None:
        limited = node(api=ApiSettings(max_trace_filter_range=1))
        limited.grow(3)
        asked = {"fromBlock": "0x0", "toBlock": "latest"}
        assert limited.fails("trace_filter", asked)[0] == -32005
        assert len(traces(limited, "trace_filter", {"fromBlock": "0x2", "toBlock": "0x3"})) == 2

    def test_an_unknown_block_is_null_and_the_genesis_has_no_traces(self, at: RpcTestNode) -> None:
        assert at.call("trace_block", "0x99") is None
        assert at.call("trace_block", "earliest") == []
        assert at.call("trace_replayBlockTransactions", "0x0", ["trace"]) == []


class TestParts:
    def test_a_call_shows_what_it_would_change(self, at: RpcTestNode) -> None:
        call = {"from": to_hex(RICH.address), "to": to_hex(STORER_ADDRESS), "data": to_hex((7).to_bytes(32))}
        answer = at.call("trace_call", call, ["stateDiff", "trace", "vmTrace"], "latest")
        assert isinstance(answer, dict)
        storage = answer["stateDiff"][to_hex(STORER_ADDRESS)]["storage"]
        word = {number: to_hex(number.to_bytes(32)) for number in (0, 7)}
        assert storage == {word[0]: {"*": {"from": word[0], "to": word[7]}}}
        assert [operation["pc"] for operation in answer["vmTrace"]["ops"]] == [0, 2, 3, 5, 6]
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), "0x0", "latest") == word[0]

    def test_later_calls_find_what_earlier_ones_left(self, at: RpcTestNode) -> None:
        call = {"from": to_hex(RICH.address), "to": to_hex(STORER_ADDRESS), "data": to_hex((7).to_bytes(32))}
        first, second = traces(at, "trace_callMany", [[call, ["stateDiff"]], [call, ["stateDiff"]]], "latest")
        assert to_hex(STORER_ADDRESS) in first["stateDiff"]
        assert to_hex(STORER_ADDRESS) not in second["stateDiff"]

    def test_one_transaction_is_replayed_as_in_its_block(self, at: RpcTestNode) -> None:
        types = ["trace", "vmTrace", "stateDiff"]
        whole = traces(at, "trace_replayBlockTransactions", "0x1", types)
        assert [at.call("trace_replayTransaction", each["transactionHash"], types) for each in whole] == whole
        assert at.call("trace_replayTransaction", to_hex(bytes(32)), types) is None


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "params", "message"),
        [
            ("trace_call", [{}, ["bla"]], "Invalid trace type params"),
            ("trace_call", [{}, "trace"], "Invalid trace type params"),
            ("trace_callMany", [[], "latest", 3], "Invalid number of params"),
            ("trace_callMany", [[[{}]], "latest"], "Invalid trace call many params"),
            ("trace_get", ["0x" + "11" * 32], "Invalid number of params"),
            ("trace_get", ["0x" + "11" * 32, [1]], "Invalid trace numbers params"),
            *(
                ("trace_get", ["0x" + "11" * 32, [wrong]], "Invalid trace numbers params")
                for wrong in ("0x1_0", "0x٣", "0x 1", " 1", "0x", "0x0x1", "0x" + "1" * 9)
            ),
            ("trace_get", ["0x1", ["0x0"]], "Invalid transaction hash params"),
            ("trace_rawTransaction", ["0x01", ["trace"]], "Invalid transaction params (missing or incorrect)"),
            ("trace_filter", [{"count": -1}], "Invalid filter params"),
            ("trace_filter", ["0x1"], "Invalid filter params"),
        ],
    )
    def test_wrong_parameters_are_named(self, at: RpcTestNode, method: str, params: list[object], message: str) -> None:
        assert at.fails(method, *params) == (-32602, message)

    def test_a_call_that_cannot_begin_says_why(self, at: RpcTestNode) -> None:
        error = at.error("trace_call", {"value": "0xffffffffffffffffffffffffffff"}, ["trace"])
        assert (error.code, error.message) == (-32603, "Internal error")
        assert "exceeds transaction sender account balance" in str(error.data)

    def test_too_many_calls_are_refused(self, at: RpcTestNode) -> None:
        assert at.fails("trace_callMany", [[{}, ["trace"]]] * 101, "latest")[0] == -32005

    def test_each_of_many_calls_may_take_the_memory_and_logs_of_one(
        self, at: RpcTestNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """py-evm added up those of all calls before, and the native engine did not."""
        for module in ("py_evm_limits", "native_tracing_executor"):
            monkeypatch.setattr(f"lacnode.evm.{module}.MAX_CALL_MEMORY_BYTES", 100_000)

        def logging(size: int) -> list[object]:
            # LOG0 of `size` bytes of new memory.
            return [{"data": f"0x62{size:06x}6000a000"}, ["trace"]]

        found = traces(at, "trace_callMany", [logging(60_000)] * 3, "latest")
        assert ["error" in result["trace"][0] for result in found] == [False] * 3
        assert at.fails("trace_callMany", [logging(60_000), logging(120_000)], "latest") == (-32603, "Timeout expired")
