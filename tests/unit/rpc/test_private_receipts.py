"""Private receipts, states and logs, as a member and a stranger get them by RPC."""

from typing import Any

import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.state.private_transaction import private_contract_address
from tests.support.private_calls import GROUP, KEEPER_ADDRESS, UNKNOWN, b64, deploy, only, receipt, send, store
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    READER,
    REVERTER,
    TOPIC,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import signed


@pytest.fixture
def stage() -> PrivateTestNetwork:
    return PrivateTestNetwork()


class TestReceipts:
    def test_of_a_creation(self, stage: PrivateTestNetwork) -> None:
        marker = deploy(stage)
        found = receipt(stage.a, marker)
        assert receipt(stage.b, marker, "a second parameter, as web3-eea sends") == found
        head = stage.a.node.chain.head
        assert list(found) == [
            "contractAddress", "from", "output", "commitmentHash", "privateFrom", "privateFor", "privacyGroupId", "status",
            "logs", "logsBloom", "blockHash", "blockNumber", "transactionIndex",
        ]  # fmt: skip
        assert found["contractAddress"] == to_hex(KEEPER_ADDRESS)
        assert (found["from"], found["commitmentHash"]) == (to_hex(ALICE.address), marker)
        assert (found["privateFrom"], found["privateFor"]) == (b64(KEY_A), [b64(KEY_B)])
        assert (found["privacyGroupId"], found["status"]) == (b64(GROUP), "0x1")
        assert (found["output"], found["logs"], int(found["logsBloom"], 16)) == (to_hex(KEEPER), [], 0)
        assert (found["blockHash"], found["blockNumber"]) == (to_hex(head.hash), "0x1")
        assert found["transactionIndex"] == "0x0"

    def test_on_blocks_of_qbft(self) -> None:
        stage = PrivateTestNetwork(qbft=True)
        created, stored = deploy(stage), store(stage, 1, 42)
        for marker in (created, stored):
            found = receipt(stage.a, marker)
            assert (found["status"], found) == ("0x1", receipt(stage.b, marker))
            assert stage.c.node.call("priv_getTransactionReceipt", marker) is None
        # The hash of a QBFT block is computed in another way than that of an IBFT 2.0 block. The log names it, too.
        (entry,) = found["logs"]
        assert entry["blockHash"] == found["blockHash"] == to_hex(stage.a.node.chain.head.hash)
        assert stage.a.root(GROUP) == stage.b.root(GROUP) != EMPTY_TRIE_ROOT

    def test_of_a_call(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        marker = store(stage, 1, 42)
        found = receipt(stage.b, marker)
        assert "contractAddress" not in found
        assert found["to"] == to_hex(KEEPER_ADDRESS)
        (entry,) = found["logs"]
        assert list(entry) == [
            "address", "topics", "data", "blockNumber", "transactionHash", "transactionIndex", "blockHash", "logIndex",
            "removed",
        ]  # fmt: skip
        assert (entry["data"], entry["topics"]) == (to_hex(word(42)), [to_hex(TOPIC)])
        assert entry["transactionHash"] == marker
        assert int(found["logsBloom"], 16)

    def test_of_a_group_names_no_recipients(self, stage: PrivateTestNetwork) -> None:
        group = stage.a.manager.create_group([KEY_A, KEY_B], KEY_A)
        marker = send(stage.a, private(ALICE, 0, data=deploying(KEEPER), group=group.id))
        stage.mine()
        found = receipt(stage.b, marker)
        assert "privateFor" not in found
        assert found["privacyGroupId"] == b64(group.id)
        assert found["contractAddress"] == to_hex(private_contract_address(ALICE.address, 0, group.id))

    def test_of_a_failure(self, stage: PrivateTestNetwork) -> None:
        send(stage.a, private(ALICE, 0, data=deploying(REVERTER)))
        stage.mine()
        marker = send(stage.a, private(ALICE, 1, to=KEEPER_ADDRESS))
        stage.mine()
        found = receipt(stage.a, marker)
        assert (found["status"], found["output"], found["revertReason"]) == ("0x0", "0x", "0x08c379a0")

    def test_of_code_that_halts(self, stage: PrivateTestNetwork) -> None:
        marker = send(stage.a, private(ALICE, 0, data=b"\xfe"))
        stage.mine()
        for member in (stage.a, stage.b):
            found = receipt(member, marker)
            assert (found["status"], found["output"], found["logs"]) == ("0x0", "0x", [])
            assert "revertReason" not in found
            assert member.node.call("eth_getTransactionReceipt", marker)["status"] == "0x1"  # type: ignore[index]

    def test_of_a_private_call_of_what_only_reads(self, stage: PrivateTestNetwork) -> None:
        """A public contract that writes, called at first hand: it fails without output or logs, the marker does not."""
        writes = signed(BOB, 0, to=None, data=deploying(KEEPER), gas=1_000_000)
        stage.mine(writes)
        public = stage.a.node.call("eth_getTransactionReceipt", to_hex(writes.hash))["contractAddress"]  # type: ignore[index]
        marker = send(stage.a, private(ALICE, 0, to=bytes.fromhex(public[2:]), data=word(5)))
        stage.mine()
        found = receipt(stage.b, marker)
        assert (found["status"], found["output"], found["logs"]) == ("0x0", "0x", [])
        assert stage.a.node.call("eth_call", {"to": public}, "latest") == to_hex(word(0))

    def test_of_the_same_twice(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        markers = [send(stage.a, private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1))) for _ in range(2)]
        stage.mine()
        assert sorted(receipt(stage.a, marker)["status"] for marker in markers) == ["0x1", "0x2"]
        for marker in markers:
            assert stage.a.node.call("eth_getTransactionReceipt", marker)["status"] == "0x1"  # type: ignore[index]

    def test_nothing_for_strangers(self, stage: PrivateTestNetwork) -> None:
        marker = deploy(stage)
        assert receipt(stage.c, marker) is None
        assert stage.c.node.call("priv_getPrivateTransaction", marker) is None
        assert stage.a.node.call("priv_getPrivateTransaction", "0x" + "12" * 32) is None

    def test_nothing_before_its_turn(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.state.private_states.PROCESSOR_WAIT_SECONDS", 0.0)
        marker = send(stage.a, private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine(work=False)
        assert receipt(stage.a, marker) is None
        stage.a.work()
        assert receipt(stage.a, marker)["status"] == "0x1"

    def test_a_manager_that_is_off(self, stage: PrivateTestNetwork) -> None:
        marker = deploy(stage)
        stage.a.manager.is_off = True
        assert stage.a.node.fails("priv_getTransactionReceipt", marker) == (-32603, "Internal error")

    def test_the_transaction_itself(self, stage: PrivateTestNetwork) -> None:
        marker = deploy(stage)
        sent = private(ALICE, 0, data=deploying(KEEPER))
        found: Any = stage.b.node.call("priv_getPrivateTransaction", marker)
        assert list(found) == [
            "from", "gas", "gasPrice", "input", "nonce", "to", "value", "v", "r", "s", "privateFrom", "privateFor",
            "restriction",
        ]  # fmt: skip
        assert (found["from"], found["input"], found["to"]) == (to_hex(ALICE.address), to_hex(sent.data), None)
        assert (found["v"], found["r"], found["s"]) == (hex(sent.v), hex(sent.r), hex(sent.s))
        assert found["restriction"] == "restricted"


class TestState:
    def call(
        self, stage: PrivateTestNetwork, *, group: bytes = GROUP, block: object = "latest", **call: object
    ) -> object:
        document = {"to": to_hex(KEEPER_ADDRESS), **call}
        return stage.b.node.call("priv_call", b64(group), document, block)

    def test_calls(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        assert self.call(stage) == to_hex(word(0))
        store(stage, 1, 17)
        assert self.call(stage) == to_hex(word(17))
        assert self.call(stage, block="0x1") == to_hex(word(0))
        assert self.call(stage, block="0x99") is None

    def test_calls_from_public_contracts_find_nothing(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        store(stage, 1, 17)
        reads = signed(BOB, 0, to=None, data=deploying(READER), gas=1_000_000)
        stage.mine(reads)
        reader = stage.a.node.call("eth_getTransactionReceipt", to_hex(reads.hash))["contractAddress"]  # type: ignore[index]
        stage.mine(signed(BOB, 1, to=bytes.fromhex(reader[2:]), data=word(KEEPER_ADDRESS)))
        slot = stage.a.node.call("eth_getStorageAt", reader, "0x0", "latest")
        assert slot == to_hex(word(0)), "the private contract is an account without code to a public transaction"

    def test_calls_of_nobody(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        assert self.call(stage, group=UNKNOWN) == "0x"
        assert self.call(stage, to="0x" + "45" * 20) == "0x"

    def test_calls_that_fail(self, stage: PrivateTestNetwork) -> None:
        send(stage.a, private(ALICE, 0, data=deploying(REVERTER)))
        stage.mine()
        error = stage.b.node.error("priv_call", b64(GROUP), {"to": to_hex(KEEPER_ADDRESS)}, "latest")
        assert (error.code, error.message, error.data) == (-32000, "Execution reverted", "0x08c379a0")
        send(stage.a, private(ALICE, 1, data=deploying(b"\xfe")))
        stage.mine()
        halting = to_hex(private_contract_address(ALICE.address, 1, GROUP))
        assert stage.b.node.fails("priv_call", b64(GROUP), {"to": halting}, "latest") == (
            -50100,
            "Private transaction failed",
        )

    @pytest.mark.parametrize(
        "params", [("x", {"to": "0x01"}, "latest"), (b64(GROUP), {}, "latest"), (b64(GROUP), {"to": "0x01"})]
    )
    def test_calls_without_sense(self, stage: PrivateTestNetwork, params: tuple[object, ...]) -> None:
        assert stage.b.node.fails("priv_call", *params)[0] == -32602

    def test_calls_may_give_their_data_twice(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        twice = {"to": to_hex(KEEPER_ADDRESS), "data": "0x", "input": "0x"}
        assert stage.b.node.call("priv_call", b64(GROUP), twice, "latest") == to_hex(word(0))
        error = stage.b.node.error("priv_call", b64(GROUP), {**twice, "input": "0x01"}, "latest")
        assert (error.code, error.data) == (-32602, "call: data and input differ")

    def test_calls_move_no_value(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        call = {"to": to_hex(KEEPER_ADDRESS), "value": "0x1"}
        assert stage.b.node.fails("priv_call", b64(GROUP), call, "latest") == (-32603, "Internal error")

    def test_calls_leave_nothing(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        before = stage.b.root(GROUP)
        self.call(stage, data=to_hex(word(5)))
        assert (stage.b.root(GROUP), self.call(stage)) == (before, to_hex(word(0)))

    def test_code(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        code = stage.b.node.call("priv_getCode", b64(GROUP), to_hex(KEEPER_ADDRESS), "latest")
        assert code == to_hex(KEEPER)
        assert stage.b.node.call("priv_getCode", b64(GROUP), to_hex(KEEPER_ADDRESS), "0x0") is None
        assert stage.c.node.call("priv_getCode", b64(GROUP), to_hex(KEEPER_ADDRESS), "latest") is None

    def test_nonces(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        alice = to_hex(ALICE.address)
        assert stage.a.node.call("priv_getTransactionCount", alice, b64(GROUP)) == "0x1"
        assert stage.a.node.call("priv_getTransactionCount", alice, b64(UNKNOWN)) == "0x0"
        assert stage.a.node.call("priv_getEeaTransactionCount", alice, b64(KEY_A), [b64(KEY_B)]) == "0x1"
        assert stage.a.node.fails("priv_getEeaTransactionCount", alice, b64(KEY_B), [b64(KEY_A)]) == (
            -50100,
            "Private from does not match enclave public key",
        )
        assert stage.a.node.fails("priv_getTransactionCount", alice, "no group") == (
            -50100,
            "Unable to determine nonce for account in group.",
        )

    def test_roots(self, stage: PrivateTestNetwork) -> None:
        group = stage.a.manager.create_group([KEY_A, KEY_B], KEY_A).id
        send(stage.a, private(ALICE, 0, data=deploying(KEEPER), group=group))
        stage.mine()
        for member in (stage.a, stage.b):
            assert member.node.call("priv_debugGetStateRoot", b64(group), "latest") == to_hex(stage.a.root(group))
        assert stage.a.node.call("priv_debugGetStateRoot", b64(group), "0x0") == to_hex(EMPTY_TRIE_ROOT)
        for member, other in ((stage.c, group), (stage.a, UNKNOWN)):
            assert member.node.fails("priv_debugGetStateRoot", b64(other), "latest") == (
                -50100,
                "Error finding privacy group",
            )

    def test_nothing_of_it_is_public(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        for name in ("eth_getCode", "eth_getBalance"):
            assert stage.a.node.call(name, to_hex(KEEPER_ADDRESS), "latest") in ("0x", "0x0")
        assert stage.a.node.call("eth_call", {"to": to_hex(KEEPER_ADDRESS)}, "latest") == "0x"
        assert stage.a.node.call("eth_getLogs", {"fromBlock": "earliest"}) == []


class TestLogs:
    def test_of_a_range_and_of_a_block(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        first, second = store(stage, 1, 5), store(stage, 2, 6)
        every: Any = stage.b.node.call("priv_getLogs", b64(GROUP), {"fromBlock": "earliest", "toBlock": "latest"})
        assert [(entry["transactionHash"], entry["data"]) for entry in every] == [
            (first, to_hex(word(5))),
            (second, to_hex(word(6))),
        ]
        for start in ({}, {"fromBlock": "latest"}, {"fromBlock": "0x0", "toBlock": "0x3"}):
            assert stage.b.node.call("priv_getLogs", b64(GROUP), start) == every
        assert stage.b.node.call("priv_getLogs", b64(GROUP), {"fromBlock": "0x3"}) == every[1:]
        head = stage.b.node.chain.head
        last = only(stage.b.node.call("priv_getLogs", b64(GROUP), {"blockHash": to_hex(head.hash)}))
        assert (last["transactionHash"], last["logIndex"], last["blockNumber"]) == (second, "0x0", "0x3")
        assert stage.c.node.call("priv_getLogs", b64(GROUP), {"fromBlock": "earliest"}) == []

    def test_only_the_wanted(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        store(stage, 1, 5)
        everything = {"fromBlock": "earliest", "toBlock": "latest"}
        for wish, count in (
            ({"topics": [to_hex(TOPIC)]}, 1),
            ({"topics": [to_hex(bytes(32))]}, 0),
            ({"address": "0x01"}, 0),
        ):
            found = stage.b.node.call("priv_getLogs", b64(GROUP), {**everything, **wish})
            assert isinstance(found, list)
            assert len(found) == count

    def test_gathered_by_a_filter(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        call = stage.b.node.call
        id_ = call("priv_newFilter", b64(GROUP), {"fromBlock": "earliest", "toBlock": "latest"})
        store(stage, 1, 5)
        store(stage, 2, 6)
        assert len(call("priv_getFilterChanges", b64(GROUP), id_)) == 2  # type: ignore[arg-type]
        store(stage, 3, 7)
        change = only(call("priv_getFilterChanges", b64(GROUP), id_))
        assert change["data"] == to_hex(word(7))
        assert len(call("priv_getFilterLogs", b64(GROUP), id_)) == 3  # type: ignore[arg-type]
        assert call("priv_uninstallFilter", b64(GROUP), id_) is True
        assert stage.b.node.fails("priv_getFilterChanges", b64(GROUP), id_) == (-32000, "Filter not found")
        assert stage.b.node.fails("priv_getFilterLogs", b64(GROUP), id_) == (-32000, "Logs filter not found")

    def test_of_another_groups_filter_are_not_given(self, stage: PrivateTestNetwork) -> None:
        id_ = stage.b.node.call("priv_newFilter", b64(GROUP), {})
        assert stage.b.node.fails("priv_getFilterChanges", b64(UNKNOWN), id_) == (-32000, "Filter not found")
        assert stage.b.node.call("priv_uninstallFilter", b64(UNKNOWN), id_) is False
