"""Blocks, transactions, receipts and logs over JSON-RPC: who is asked how, and the shape of the answers."""

from dataclasses import dataclass, replace

import pytest

from lacnode.chain.blockchain import ChainSettings
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.rpc.settings import ApiSettings
from tests.support.rpc_chain import (
    CHAIN_ID,
    LOGGER_ADDRESS,
    LONDON,
    POOR,
    RECIPIENT,
    REVERTER_ADDRESS,
    RICH,
    STORER_ADDRESS,
    VALIDATOR,
    RpcTestNode,
    node,
    signed,
    typed,
)

UNKNOWN = "0x" + "ab" * 32
TOPIC = b"\x11" * 32
INVALID_CODE = -32602

HEADER_MEMBERS = [
    "number", "hash", "mixHash", "parentHash", "nonce", "sha3Uncles", "logsBloom", "transactionsRoot", "stateRoot",
    "receiptsRoot", "miner", "difficulty", "totalDifficulty", "extraData",
]  # fmt: skip
BLOCK_MEMBERS = [*HEADER_MEMBERS, "size", "gasLimit", "gasUsed", "timestamp", "uncles", "transactions"]
RECEIPT_MEMBERS = [
    "blockHash", "blockNumber", "contractAddress", "cumulativeGasUsed", "from", "gasUsed", "effectiveGasPrice", "logs",
    "logsBloom", "status", "to", "transactionHash", "transactionIndex", "type",
]  # fmt: skip


def members(value: object) -> list[str]:
    assert isinstance(value, dict)
    return list(value)


def member(value: object, name: str) -> object:
    assert isinstance(value, dict)
    return value[name]


@dataclass
class Grown:
    """Block 1 holds a transfer, a log, a revert, a failed call and a creation."""

    at: RpcTestNode
    block: Block
    hash: str


@pytest.fixture(scope="module")
def grown() -> Grown:
    at = node(chain=ChainSettings(keep_revert_reasons=True))
    at.send(
        signed(nonce=0, value=5, chain_id=None),
        signed(nonce=1, to=LOGGER_ADDRESS, data=b"\x07".rjust(32, b"\0")),
        signed(nonce=2, to=REVERTER_ADDRESS, data=b"why"),
        signed(nonce=3, to=STORER_ADDRESS, gas=21_100, data=b"\1"),
        signed(nonce=4, to=None, data=bytes.fromhex("600160005260206000f3")),
        typed(nonce=5, access_list=[(LOGGER_ADDRESS, (bytes(32),))]),
        signed(nonce=6, to=LOGGER_ADDRESS, data=b"\x08".rjust(32, b"\0")),
    )
    block = at.grow()
    assert len(block.transactions) == 7
    return Grown(at, block, to_hex(at.chain.head.hash))


class TestBlocks:
    def test_have_their_members_in_order(self, grown: Grown) -> None:
        shown = grown.at.call("eth_getBlockByNumber", "latest", False)
        assert members(shown) == BLOCK_MEMBERS
        assert member(shown, "number") == "0x1"
        assert member(shown, "hash") == grown.hash
        assert member(shown, "miner") == to_hex(VALIDATOR.address)
        assert member(shown, "nonce") == "0x0000000000000000"
        assert member(shown, "mixHash") == "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
        assert member(shown, "totalDifficulty") == "0x2"
        assert member(shown, "size") == hex(len(grown.block.encode()))
        assert member(shown, "extraData") == to_hex(grown.block.header.extra_data)
        assert member(shown, "uncles") == []
        assert member(shown, "transactions") == [to_hex(t.hash) for t in grown.block.transactions]

    def test_under_london_name_the_base_fee_before_the_size(self) -> None:
        at = node(forks=LONDON)
        shown = at.call("eth_getBlockByNumber", "0x0", False)
        assert members(shown) == [*HEADER_MEMBERS, "baseFeePerGas", *BLOCK_MEMBERS[len(HEADER_MEMBERS) :]]

    def test_by_hash_are_the_same(self, grown: Grown) -> None:
        assert grown.at.call("eth_getBlockByHash", grown.hash, True) == grown.at.call(
            "eth_getBlockByNumber", "0x1", True
        )

    @pytest.mark.parametrize("block", ["0x1", "1", 1, "#1", "01", "latest", "LATEST", "pending"])
    def test_are_found_by_every_way_to_say_their_number(self, grown: Grown, block: object) -> None:
        assert member(grown.at.call("eth_getBlockByNumber", block, False), "number") == "0x1"

    def test_earliest_is_the_genesis(self, grown: Grown) -> None:
        assert member(grown.at.call("eth_getBlockByNumber", "Earliest", False), "number") == "0x0"

    @pytest.mark.parametrize("block", ["0x2", "2", "0x7fffffffffffffff"])
    def test_above_the_head_are_null(self, grown: Grown, block: str) -> None:
        assert grown.at.call("eth_getBlockByNumber", block, False) is None
        assert grown.at.call("eth_getBlockTransactionCountByNumber", block) is None
        assert grown.at.call("eth_getUncleCountByBlockNumber", block) is None
        assert grown.at.call("eth_getTransactionByBlockNumberAndIndex", block, "0x0") is None

    @pytest.mark.parametrize(
        "block",
        ["", "0x", "-1", "0x-1", -1, "1_0", " 1", "08", "1.5", True, [], {}, "0x8000000000000000", "newest", UNKNOWN],
    )
    def test_other_words_for_a_number_are_refused(self, grown: Grown, block: object) -> None:
        assert grown.at.fails("eth_getBlockByNumber", block, False)[0] == INVALID_CODE

    @pytest.mark.parametrize("tag", ["finalized", "safe"])
    def test_of_proof_of_stake_are_unknown(self, grown: Grown, tag: str) -> None:
        assert grown.at.fails("eth_getBlockByNumber", tag, False) == (-39001, "Unknown block")
        assert grown.at.fails("eth_getBalance", to_hex(RICH.address), tag) == (-39001, "Unknown block")

    @pytest.mark.parametrize("full", [(), (None,), ("true",), (1,)])
    def test_must_be_asked_for_whole_or_not(self, grown: Grown, full: tuple[object, ...]) -> None:
        assert grown.at.fails("eth_getBlockByNumber", "latest", *full)[0] == INVALID_CODE
        assert grown.at.fails("eth_getBlockByHash", grown.hash, *full)[0] == INVALID_CODE

    def test_of_unknown_hashes_are_null(self, grown: Grown) -> None:
        assert grown.at.call("eth_getBlockByHash", UNKNOWN, False) is None
        assert grown.at.call("eth_getBlockTransactionCountByHash", UNKNOWN) is None
        assert grown.at.call("eth_getTransactionByBlockHashAndIndex", UNKNOWN, 0) is None

    @pytest.mark.parametrize("hash_", ["0x1234", "0x" + "zz" * 32, 7, None])
    def test_a_hash_has_32_bytes(self, grown: Grown, hash_: object) -> None:
        assert grown.at.fails("eth_getBlockByHash", hash_, False)[0] == INVALID_CODE

    def test_are_counted(self, grown: Grown) -> None:
        assert grown.at.call("eth_blockNumber") == "0x1"
        assert grown.at.call("eth_getBlockTransactionCountByNumber", "latest") == "0x7"
        assert grown.at.call("eth_getBlockTransactionCountByHash", grown.hash) == "0x7"
        assert grown.at.call("eth_getUncleCountByBlockHash", grown.hash) == "0x0"
        assert grown.at.call("eth_getUncleByBlockHashAndIndex", grown.hash, "0x0") is None


class TestMinedTransactions:
    def test_of_type_0_before_eip_155_name_no_chain(self, grown: Grown) -> None:
        shown = grown.at.call("eth_getTransactionByHash", to_hex(grown.block.transactions[0].hash))
        assert members(shown) == [
            "blockHash", "blockNumber", "from", "gas", "gasPrice", "hash", "input", "nonce", "to", "transactionIndex",
            "type", "value", "v", "r", "s",
        ]  # fmt: skip
        assert member(shown, "v") in ("0x1b", "0x1c")
        assert member(shown, "from") == to_hex(RICH.address)
        assert member(shown, "value") == "0x5"
        assert member(shown, "input") == "0x"
        assert member(shown, "gasPrice") == "0x0"

    def test_of_type_0_name_it_in_v_too(self, grown: Grown) -> None:
        shown = grown.at.call("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x1")
        assert member(shown, "chainId") == hex(CHAIN_ID)
        assert member(shown, "v") in (hex(2 * CHAIN_ID + 35), hex(2 * CHAIN_ID + 36))

    def test_of_type_1_have_an_access_list_and_a_parity(self, grown: Grown) -> None:
        shown = grown.at.call("eth_getTransactionByBlockHashAndIndex", grown.hash, 5)
        assert members(shown) == [
            "accessList", "blockHash", "blockNumber", "chainId", "from", "gas", "gasPrice", "hash", "input", "nonce",
            "to", "transactionIndex", "type", "value", "yParity", "v", "r", "s",
        ]  # fmt: skip
        assert member(shown, "v") == member(shown, "yParity")
        assert member(shown, "accessList") == [{"address": to_hex(LOGGER_ADDRESS), "storageKeys": [to_hex(bytes(32))]}]

    def test_of_type_2_pay_the_effective_price(self) -> None:
        at = node(forks=LONDON)
        base_fee = at.chain.next_base_fee(0) or 0
        at.send(typed(fees=(3, 2 * base_fee)))
        block = at.grow()
        shown = at.call("eth_getTransactionByHash", to_hex(block.transactions[0].hash))
        assert members(shown)[5:9] == ["gas", "gasPrice", "maxPriorityFeePerGas", "maxFeePerGas"]
        assert member(shown, "gasPrice") == hex((block.header.base_fee or 0) + 3)
        receipt = at.call("eth_getTransactionReceipt", to_hex(block.transactions[0].hash))
        assert member(receipt, "effectiveGasPrice") == member(shown, "gasPrice")
        assert member(receipt, "type") == "0x2"

    def test_that_create_have_no_recipient(self, grown: Grown) -> None:
        shown = grown.at.call("eth_getTransactionByBlockNumberAndIndex", 1, "4")
        assert member(shown, "to") is None

    def test_beyond_the_last_are_null(self, grown: Grown) -> None:
        assert grown.at.call("eth_getTransactionByBlockNumberAndIndex", "latest", "0x7") is None
        assert grown.at.fails("eth_getTransactionByBlockNumberAndIndex", "latest", "-1")[0] == INVALID_CODE
        assert grown.at.call("eth_getTransactionByHash", UNKNOWN) is None


class TestReceipts:
    def receipt(self, grown: Grown, index: int) -> dict[str, object]:
        shown = grown.at.call("eth_getTransactionReceipt", to_hex(grown.block.transactions[index].hash))
        assert isinstance(shown, dict)
        return shown

    def test_have_their_members_in_order(self, grown: Grown) -> None:
        shown = self.receipt(grown, 0)
        assert list(shown) == RECEIPT_MEMBERS
        assert shown["status"] == "0x1"
        assert shown["contractAddress"] is None
        assert shown["gasUsed"] == shown["cumulativeGasUsed"] == hex(21_000)
        assert shown["effectiveGasPrice"] == "0x0"
        assert shown["to"] == to_hex(RECIPIENT)

    def test_count_logs_through_the_block(self, grown: Grown) -> None:
        logs = self.receipt(grown, 6)["logs"]
        assert isinstance(logs, list)
        (entry,) = logs
        assert entry == {
            "address": to_hex(LOGGER_ADDRESS),
            "topics": [to_hex(TOPIC)],
            "data": to_hex(b"\x08".rjust(32, b"\0")),
            "blockNumber": "0x1",
            "transactionHash": to_hex(grown.block.transactions[6].hash),
            "transactionIndex": "0x6",
            "blockHash": grown.hash,
            "logIndex": "0x1",
            "removed": False,
        }
        assert list(entry)[:3] == ["address", "topics", "data"]

    def test_of_reverts_say_why(self, grown: Grown) -> None:
        shown = self.receipt(grown, 2)
        assert list(shown) == [*RECEIPT_MEMBERS[:-1], "revertReason", "type"]
        assert shown["status"] == "0x0"
        assert shown["revertReason"] == to_hex(b"why")

    def test_of_other_failures_do_not(self, grown: Grown) -> None:
        shown = self.receipt(grown, 3)
        assert shown["status"] == "0x0"
        assert "revertReason" not in shown

    def test_of_creations_name_the_contract(self, grown: Grown) -> None:
        shown = self.receipt(grown, 4)
        assert shown["to"] is None
        address = shown["contractAddress"]
        assert grown.at.call("eth_getCode", address, "latest") == to_hex(b"\x01".rjust(32, b"\0"))

    def test_of_failed_creations_do_too(self) -> None:
        at = node()
        at.send(signed(to=None, data=b"\xfe"))
        block = at.grow()
        shown = at.call("eth_getTransactionReceipt", to_hex(block.transactions[0].hash))
        assert member(shown, "status") == "0x0"
        assert member(shown, "contractAddress") is not None

    def test_say_nothing_of_reverts_where_reasons_are_not_kept(self) -> None:
        at = node()
        at.send(signed(to=REVERTER_ADDRESS, data=b"why"))
        block = at.grow()
        assert "revertReason" not in members(at.call("eth_getTransactionReceipt", to_hex(block.transactions[0].hash)))

    def test_before_byzantium_have_a_state_root(self) -> None:
        at = node(forks={})
        at.send(signed(chain_id=None))
        block = at.grow()
        shown = at.call("eth_getTransactionReceipt", to_hex(block.transactions[0].hash))
        assert "status" not in members(shown)
        assert len(str(member(shown, "root"))) == 66

    def test_of_unknown_and_pending_transactions_are_null(self) -> None:
        at = node()
        at.send(signed())
        assert at.call("eth_getTransactionReceipt", UNKNOWN) is None
        assert at.call("eth_getTransactionReceipt", to_hex(signed().hash)) is None

    def test_of_a_block_come_together(self, grown: Grown) -> None:
        together = grown.at.call("eth_getBlockReceipts", grown.hash)
        assert together == [self.receipt(grown, index) for index in range(7)]
        assert grown.at.call("eth_getBlockReceipts", "earliest") == []
        assert grown.at.fails("eth_getBlockReceipts", "0x2") == (-32000, "Block not found")


class TestLogs:
    def logs(self, grown: Grown, **wanted: object) -> list[str]:
        found = grown.at.call("eth_getLogs", {"fromBlock": "earliest", **wanted})
        assert isinstance(found, list)
        return [entry["logIndex"] for entry in found]

    def test_have_their_members_in_order(self, grown: Grown) -> None:
        found = grown.at.call("eth_getLogs", {})
        assert isinstance(found, list)
        assert list(found[0]) == [
            "logIndex", "removed", "blockNumber", "blockHash", "transactionHash", "transactionIndex", "address", "data",
            "topics",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("wanted", "count"),
        [
            ({"address": to_hex(LOGGER_ADDRESS)}, 2),
            ({"address": [to_hex(RECIPIENT), to_hex(LOGGER_ADDRESS)]}, 2),
            ({"address": to_hex(RECIPIENT)}, 0),
            ({"address": []}, 2),
            ({"address": None, "topics": None}, 2),
            ({"topics": []}, 2),
            ({"topics": [None]}, 2),
            ({"topics": [to_hex(TOPIC)]}, 2),
            ({"topics": to_hex(TOPIC)}, 2),
            ({"topics": [[to_hex(TOPIC), UNKNOWN]]}, 2),
            ({"topics": [UNKNOWN]}, 0),
            ({"topics": [to_hex(TOPIC), None]}, 0),
            ({"topics": [None] * 6}, 0),
        ],
    )
    def test_are_found_by_address_and_topics(self, grown: Grown, wanted: dict[str, object], count: int) -> None:
        assert len(self.logs(grown, **wanted)) == count

    def test_of_one_block(self, grown: Grown) -> None:
        assert len(grown.at.call("eth_getLogs", {"blockHash": grown.hash})) == 2  # type: ignore[arg-type]
        assert len(grown.at.call("eth_getLogs", {"blockhash": grown.hash})) == 2  # type: ignore[arg-type]
        assert grown.at.fails("eth_getLogs", {"blockHash": UNKNOWN}) == (-32000, "Block not found")
        assert grown.at.fails("eth_getLogs", {"blockHash": grown.hash, "toBlock": "latest"})[0] == INVALID_CODE

    def test_ranges_that_are_the_wrong_way_round_or_too_high_hold_nothing(self, grown: Grown) -> None:
        assert grown.at.call("eth_getLogs", {"fromBlock": "latest", "toBlock": "earliest"}) == []
        assert grown.at.call("eth_getLogs", {"fromBlock": "0x5", "toBlock": "0x9"}) == []
        assert len(self.logs(grown, toBlock="0x9")) == 2

    def test_answers_are_bounded_in_number_and_time(self, grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.methods.eth_transactions.MAX_LOGS", 1)
        assert grown.at.fails("eth_getLogs", {})[0] == -32005
        monkeypatch.setattr(grown.at, "services", replace(grown.at.services, settings=ApiSettings(call_seconds=-1)))
        assert grown.at.fails("eth_getLogs", {}) == (-32603, "Timeout expired")
        monkeypatch.undo()
        assert len(self.logs(grown)) == 2

    def test_ranges_are_limited(self) -> None:
        at = node(api=ApiSettings(max_logs_range=10))
        assert at.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xa"}) == []
        assert at.fails("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xb"}) == (
            -32005,
            "Requested range exceeds maximum RPC range limit",
        )
        free = node(api=ApiSettings(max_logs_range=0))
        assert free.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xffffffff"}) == []

    @pytest.mark.parametrize(
        "wanted",
        [
            [], "latest", {"fromBlock": "safe"}, {"toBlock": "finalized"}, {"fromBlock": "x"}, {"address": "0xzz"},
            {"address": "0x" + "11" * 21}, {"topics": ["0x11"]}, {"topics": {}}, {"blockHash": "0x1"},
        ],
    )  # fmt: skip
    def test_other_filters_are_refused(self, grown: Grown, wanted: object) -> None:
        assert grown.at.fails("eth_getLogs", wanted)[0] == INVALID_CODE


class TestFees:
    def test_a_free_network_costs_nothing(self) -> None:
        at = node()
        assert at.call("eth_gasPrice") == "0x0"
        assert at.call("eth_maxPriorityFeePerGas") == "0x0"

    def test_the_price_is_the_median_of_the_last_blocks(self) -> None:
        at = node()
        at.send(*(signed(nonce=nonce, price=price) for nonce, price in enumerate([50, 10, 40, 20, 30])))
        at.grow()
        assert at.call("eth_gasPrice") == hex(30), "the head is counted"

    def test_the_price_looks_back_so_many_blocks_and_has_bounds(self) -> None:
        at = node(api=ApiSettings(gas_price_blocks=2, gas_price_max=25))
        at.send(signed(price=50))
        at.grow(2)
        assert at.call("eth_gasPrice") == hex(25)
        at.pool.set_block_min_gas_price(60)
        assert at.call("eth_gasPrice") == hex(60)
        at.pool.set_block_min_gas_price(0)
        at.grow()
        assert at.call("eth_gasPrice") == "0x0"

    def test_the_price_is_not_below_the_next_base_fee(self) -> None:
        at = node(forks=LONDON)
        assert at.call("eth_gasPrice") == hex(at.chain.next_base_fee(0) or 0) != "0x0"
        at.send(signed(price=3 * 10**9))
        at.grow()
        assert at.call("eth_gasPrice") == hex(3 * 10**9)
        dear = node(forks=LONDON, api=ApiSettings(gas_price_max=1))
        assert dear.call("eth_gasPrice") == hex(dear.chain.next_base_fee(0) or 0)

    def test_the_tip_is_the_median_of_those_offered_and_not_below_what_the_pool_wants(self) -> None:
        at = node(forks=LONDON)
        assert at.call("eth_maxPriorityFeePerGas") == "0x0"
        base_fee = at.chain.next_base_fee(0) or 0
        at.send(*(typed(nonce=nonce, fees=(tip, 3 * base_fee)) for nonce, tip in enumerate([7, 1, 5])))
        at.grow()
        assert at.call("eth_maxPriorityFeePerGas") == "0x5"
        at.pool.set_min_priority_fee(9)
        assert at.call("eth_maxPriorityFeePerGas") == "0x9"

    def test_blob_gas_has_its_least_price_from_cancun_on(self) -> None:
        cancun = {**LONDON, "shanghaiTime": 0, "cancunTime": 0}
        assert node(forks=LONDON).call("eth_blobBaseFee") == "0x0"
        assert node(forks=cancun).call("eth_blobBaseFee") == "0x1"
        assert node(forks={**cancun, "zeroBaseFee": True}).call("eth_blobBaseFee") == "0x0"
        at = node(forks=cancun)
        at.grow()
        history = at.call("eth_feeHistory", 2, "latest")
        assert (member(history, "baseFeePerBlobGas"), member(history, "blobGasUsedRatio")) == (
            ["0x0", "0x1", "0x1"],
            [0.0, 0.0],
        )

    def test_what_a_proposer_was_paid(self) -> None:
        at = node(forks=LONDON)
        base_fee = at.chain.next_base_fee(0) or 0
        at.send(typed(fees=(3, 3 * base_fee)), signed(nonce=1, price=3 * base_fee))
        header = at.grow().header
        above = 3 + 3 * base_fee - (header.base_fee or 0)
        shown = at.call("eth_getMinerDataByBlockNumber", "latest")
        assert shown == at.call("eth_getMinerDataByBlockHash", to_hex(at.chain.head.hash))
        assert shown == {
            "netBlockReward": to_hex((above * 21_000).to_bytes(32)),
            "staticBlockReward": to_hex(bytes(32)),
            "transactionFee": to_hex((above * 21_000).to_bytes(32)),
            "uncleInclusionReward": to_hex(bytes(32)),
            "uncleRewards": [],
            "coinbase": to_hex(header.coinbase),
            "extraData": to_hex(header.extra_data),
            "difficulty": to_hex((1).to_bytes(32)),
            "totalDifficulty": to_hex((2).to_bytes(32)),
        }
        assert at.call("eth_getMinerDataByBlockNumber", "0x9") is None
        assert at.call("eth_getMinerDataByBlockHash", UNKNOWN) is None

    def test_history_without_a_base_fee(self, grown: Grown) -> None:
        shown = grown.at.call("eth_feeHistory", "0x5", "latest")
        header = grown.block.header
        assert shown == {
            "oldestBlock": "0x0",
            "baseFeePerGas": ["0x0", "0x0", "0x0"],
            "baseFeePerBlobGas": ["0x0", "0x0", "0x0"],
            "gasUsedRatio": [0.0, header.gas_used / header.gas_limit],
            "blobGasUsedRatio": [0.0, 0.0],
        }
        assert members(shown) == [
            "oldestBlock", "baseFeePerGas", "baseFeePerBlobGas", "gasUsedRatio", "blobGasUsedRatio",
        ]  # fmt: skip

    def test_history_under_london_tells_the_next_base_fee_and_rewards(self) -> None:
        at = node(forks=LONDON)
        base_fee = at.chain.next_base_fee(0) or 0
        at.send(*(typed(nonce=nonce, fees=(tip, 3 * base_fee)) for nonce, tip in enumerate([7, 1, 5])))
        block = at.grow()
        following = at.chain.next_base_fee(0)
        shown = at.call("eth_feeHistory", 2, "latest", [100, 0, 50])
        assert member(shown, "reward") == [["0x0"] * 3, ["0x1", "0x5", "0x7"]]
        assert member(shown, "baseFeePerGas") == [
            hex(at.chain.genesis.header.base_fee or 0),
            hex(block.header.base_fee or 0),
            hex(following or 0),
        ]
        assert member(at.call("eth_feeHistory", 1, "earliest"), "baseFeePerGas") == [
            hex(at.chain.genesis.header.base_fee or 0),
            hex(block.header.base_fee or 0),
        ]

    @pytest.mark.parametrize(
        "params", [(0, "latest"), (1025, "latest"), (1, "0x9"), (1,), (1, "latest", ["a"]), ("x", "latest")]
    )
    def test_history_out_of_range_is_refused(self, grown: Grown, params: tuple[object, ...]) -> None:
        assert grown.at.fails("eth_feeHistory", *params)[0] == INVALID_CODE


class TestPending:
    def test_have_their_members_in_order(self) -> None:
        at = node()
        at.send(typed(access_list=[(LOGGER_ADDRESS, ())]))
        (pooled,) = at.pooled
        shown = at.call("eth_getTransactionByHash", to_hex(pooled.hash))
        assert members(shown) == [
            "blockHash", "blockNumber", "from", "gas", "gasPrice", "hash", "input", "nonce", "to", "transactionIndex",
            "value", "yParity", "v", "r", "s", "accessList", "chainId", "publicKey", "raw", "type",
        ]  # fmt: skip
        assert member(shown, "blockHash") is None
        assert member(shown, "transactionIndex") is None
        assert member(shown, "raw") == to_hex(pooled.raw)
        assert keccak256(bytes.fromhex(str(member(shown, "publicKey"))[2:]))[12:] == RICH.address

    def test_without_a_chain_id_say_null(self) -> None:
        at = node()
        at.send(signed(chain_id=None))
        assert member(at.call("eth_getTransactionByHash", to_hex(at.pooled[0].hash)), "chainId") is None

    def test_of_type_2_show_the_maximum_as_their_price(self) -> None:
        at = node(forks=LONDON)
        at.send(typed(fees=(1, 1000)))
        shown = at.call("eth_getTransactionByHash", to_hex(at.pooled[0].hash))
        assert member(shown, "gasPrice") == member(shown, "maxFeePerGas") == hex(1000)

    def test_count_for_the_next_nonce(self) -> None:
        at = node()
        account = to_hex(RICH.address)
        at.send(signed(nonce=1))
        assert at.call("eth_getTransactionCount", account, "pending") == "0x0"
        at.send(signed(nonce=0))
        assert at.call("eth_getTransactionCount", account, "pending") == "0x2"
        assert at.call("eth_getTransactionCount", account, "latest") == "0x0"
        at.grow()
        assert at.call("eth_getTransactionCount", account, "latest") == "0x2"
        assert at.call("eth_getTransactionCount", account, "pending") == "0x2"
        assert at.call("eth_getTransactionCount", to_hex(POOR.address), "pending") == "0x0"
