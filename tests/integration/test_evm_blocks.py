"""Blocks executed on states: what transactions do, what they may not do, and what Besu's genesis options change."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from lacnode.chainspec.genesis import load_genesis
from lacnode.evm.engine import ExecutionError
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from tests.support.engines import engine
from tests.support.evm_network import (
    COINBASE,
    FRIEND,
    POOR,
    RICH,
    Network,
    deploying,
    hash_of,
    push,
    returned,
    signed,
    statuses,
)

LOCAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "lacnet-local"
REVERT = bytes.fromhex("60ee60005260206000fd")
pytestmark = pytest.mark.usefixtures("each_engine")

INVALID = b"\xfe"
STORE = bytes.fromhex("600160005500")
CONTRACT = b"\xcc" * 20


@pytest.mark.skipif(not LOCAL.exists(), reason="the real chain (shared/data/lacnet-local) is not here")
def test_every_block_of_besus_chain_gives_what_its_header_says() -> None:
    spec = load_genesis(LOCAL / "genesis.json")
    store: dict[bytes, bytes] = {}
    executing = engine(spec, store)
    root, nodes = executing.genesis_state()
    store.update(nodes)
    data, position, counted = (LOCAL / "blocks-0-118.rlp").read_bytes(), 0, 0
    while position < len(data):
        end = position + 1 + data[position] - 0xF7
        end += int.from_bytes(data[position + 1 : end])
        block = Block.decode(data[position:end])
        position = end
        if block.header.number:
            executed = executing.execute(root, block.header, block.transactions, lambda number: None)
            store.update(executed.nodes)
            root = executed.state_root
            assert executed.receipts_root == block.header.receipts_root
            assert executed.transactions_root == block.header.transactions_root
            assert executed.logs_bloom == block.header.logs_bloom
            assert executed.gas_used == block.header.gas_used
            counted += len(block.transactions)
        assert root == block.header.state_root
    assert counted == 12


class TestTransactions:
    def test_move_value_and_gas_price(self) -> None:
        net = Network()
        block = net.execute(signed(RICH, 0, to=FRIEND, value=5, gasPrice=3, gas=21_000))
        assert (block.gas_used, block.gas_used_by, block.senders) == (21_000, (21_000,), (RICH.address,))
        assert (net.state.balance(FRIEND), net.state.balance(COINBASE)) == (5, 63_000)
        assert net.state.balance(RICH.address) == 10**24 - 63_005
        assert net.state.nonce(RICH.address) == 1

    def test_a_sender_that_does_not_exist_may_send_for_free(self) -> None:
        net = Network()
        assert not net.state.exists(POOR.address)
        net.execute(signed(POOR, 0, to=FRIEND), signed(POOR, 1, to=FRIEND))
        assert net.state.nonce(POOR.address) == 2
        assert not net.state.exists(FRIEND), "touched, but empty"
        assert not net.state.exists(COINBASE), "no fee, no account"

    def test_leave_receipts_that_add_up(self) -> None:
        net = Network({CONTRACT: {"code": "0x60ff60aa600080a200"}})
        block = net.execute(signed(RICH, 0, to=FRIEND), signed(RICH, 1, to=CONTRACT))
        first, second = block.receipts
        assert (first.cumulative_gas_used, second.cumulative_gas_used) == (21_000, block.gas_used)
        assert block.gas_used_by == (21_000, block.gas_used - 21_000)
        (log,) = second.logs
        assert (log.address, log.data) == (CONTRACT, b"")
        assert [topic[-1] for topic in log.topics] == [0xAA, 0xFF]
        assert block.logs_bloom == second.logs_bloom != first.logs_bloom

    def test_create_contracts(self) -> None:
        net = Network()
        code = returned(push(7, 1))
        block = net.execute(signed(RICH, 0, data=deploying(code)), signed(RICH, 1, to=FRIEND))
        address = created_contract_address(RICH.address, 0)
        assert block.created == (address, None)
        assert net.state.code(address) == code
        assert net.state.nonce(address) == 1

    def test_that_revert_tell_why_and_keep_the_nonce(self) -> None:
        net = Network({CONTRACT: {"code": REVERT.hex()}})
        block = net.execute(signed(RICH, 0, to=CONTRACT, value=9, gasPrice=1), signed(RICH, 1, to=FRIEND))
        assert statuses(block.receipts) == [0, 1]
        assert block.revert_reasons == (bytes(31) + b"\xee", None)
        assert net.state.balance(CONTRACT) == 0
        assert net.state.nonce(RICH.address) == 2
        assert block.gas_used_by[0] < 22_000

    def test_keep_only_so_many_bytes_of_reasons(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.evm.revert_reasons.MAX_BLOCK_REASON_BYTES", 40)
        net = Network({CONTRACT: {"code": REVERT.hex()}})
        block = net.execute(signed(RICH, 0, to=CONTRACT), signed(RICH, 1, to=CONTRACT))
        assert block.revert_reasons == (bytes(31) + b"\xee", None)

    def test_that_revert_with_much_data_take_little_memory(self) -> None:
        """A block of a network with free gas has five thousand of them."""
        code = push(2**17, 4) + push(0, 1) + b"\xfd"
        net = Network({CONTRACT: {"code": code.hex()}})
        transactions = [signed(RICH, nonce, to=CONTRACT, gas=70_000) for nonce in range(300)]
        tracemalloc.start()
        try:
            block = net.execute(*transactions)
            assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        finally:
            tracemalloc.stop()
        assert statuses(block.receipts) == [0] * 300

    def test_are_executed_in_parts_as_they_are_in_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole, parted = Network({CONTRACT: {"code": REVERT.hex()}}), Network({CONTRACT: {"code": REVERT.hex()}})
        transactions = [signed(RICH, nonce, to=(FRIEND, CONTRACT)[nonce % 2], value=nonce) for nonce in range(5)]
        expected = whole.execute(*transactions)
        monkeypatch.setattr("lacnode.evm.native_block.PART_GAS", 2_000_000)
        assert parted.execute(*transactions) == expected

    def test_that_halt_use_all_their_gas_and_have_no_reason(self) -> None:
        net = Network({CONTRACT: {"code": INVALID.hex()}})
        block = net.execute(signed(RICH, 0, to=CONTRACT, gas=70_000))
        assert (statuses(block.receipts), block.gas_used, block.revert_reasons) == ([0], 70_000, (None,))

    def test_write_storage_and_clear_it(self) -> None:
        net = Network({CONTRACT: {"code": "0x600035600055", "storage": {"0x0": "0x5"}}})
        assert net.state.storage(CONTRACT, 0) == 5
        net.execute(signed(RICH, 0, to=CONTRACT, data=bytes(31) + b"\x09"))
        assert net.state.storage(CONTRACT, 0) == 9
        block = net.execute(signed(RICH, 1, to=CONTRACT, data=bytes(32)))
        assert net.state.storage(CONTRACT, 0) == 0
        consumed = 21_000 + 32 * 4 + 3 * 3 + 5_000
        assert block.gas_used == consumed - consumed // 2, "15,000 would come back, but half is the most"

    def test_destroy_contracts(self) -> None:
        net = Network({CONTRACT: {"code": (push(FRIEND) + b"\xff").hex(), "balance": "8", "storage": {"1": "1"}}})
        net.execute(signed(RICH, 0, to=CONTRACT))
        assert not net.state.exists(CONTRACT)
        assert (net.state.balance(FRIEND), net.state.storage(CONTRACT, 1)) == (8, 0)

    def test_see_the_block_they_are_in(self) -> None:
        see = {"number": 0x43, "timestamp": 0x42, "coinbase": 0x41, "limit": 0x45, "chain": 0x46, "difficulty": 0x44}
        code = b"".join(bytes([instruction]) + push(slot, 1) + b"\x55" for slot, instruction in enumerate(see.values()))
        net = Network({CONTRACT: {"code": code.hex()}}, istanbulBlock=0)
        net.execute(signed(RICH, 0, to=CONTRACT))
        seen = [net.state.storage(CONTRACT, slot) for slot in range(len(see))]
        assert seen == [1, 1, int.from_bytes(COINBASE), 100_000_000, 7, 1]

    def test_see_the_chains_own_hashes_of_the_last_256_blocks(self) -> None:
        code = b"".join(
            push(number, 2) + b"\x40" + push(number, 2) + b"\x55" for number in (0, 43, 44, 298, 299, 300, 301)
        )
        net = Network({CONTRACT: {"code": code.hex()}})
        block = net.open(number=300)
        block.add(signed(RICH, 0, to=CONTRACT), RICH.address)
        executed = block.close()
        net.store.update(executed.nodes)
        state = net.engine.accounts(executed.state_root)
        for number in (44, 298, 299):
            assert state.storage(CONTRACT, number) == int.from_bytes(hash_of(number))
        for number in (0, 43, 300, 301):
            assert state.storage(CONTRACT, number) == 0


class TestRejections:
    @pytest.mark.parametrize(
        ("sender", "fields", "reason"),
        [
            (RICH, {"nonce": 1}, "NONCE_TOO_HIGH"),
            (POOR, {"value": 1}, "UPFRONT_COST_EXCEEDS_BALANCE"),
            (POOR, {"gasPrice": 1}, "UPFRONT_COST_EXCEEDS_BALANCE"),
            (RICH, {"gas": 20_999}, "INTRINSIC_GAS_EXCEEDS_GAS_LIMIT"),
            (RICH, {"gas": 100_000_001}, "EXCEEDS_BLOCK_GAS_LIMIT"),
            (RICH, {"chainId": 8}, "WRONG_CHAIN_ID"),
            (RICH, {"maxFeePerGas": 1, "maxPriorityFeePerGas": 0}, "INVALID_TRANSACTION_FORMAT"),
        ],
    )
    def test_refuse_a_block_and_leave_an_open_one_as_it_was(
        self, sender: Any, fields: dict[str, Any], reason: str
    ) -> None:
        net = Network()
        bad = signed(sender, **{"nonce": 0, "to": FRIEND, **fields})
        with pytest.raises(ExecutionError, match=rf"transaction 0 \(0x{bad.hash.hex()}\): {reason}"):
            net.execute(bad)
        good = signed(RICH, 0, to=FRIEND, value=1)
        block = net.open()
        with pytest.raises(TransactionRejectedError) as rejected:
            block.add(bad, sender.address)
        assert rejected.value.reason.name == reason
        block.add(good, RICH.address)
        assert block.close().state_root == net.execute(good).state_root

    def test_a_contract_sends_nothing(self) -> None:
        net = Network({POOR.address: {"code": "0x00"}})
        with pytest.raises(ExecutionError, match="TX_SENDER_NOT_AUTHORIZED"):
            net.execute(signed(POOR, 0, to=FRIEND))

    def test_a_block_holds_no_more_gas_than_its_limit(self) -> None:
        net = Network()
        block = net.open()
        block.add(signed(RICH, 0, to=FRIEND, gas=100_000_000), RICH.address)
        assert block.gas_left == 100_000_000 - 21_000
        with pytest.raises(TransactionRejectedError, match="99979000 left"):
            block.add(signed(RICH, 1, to=FRIEND, gas=99_979_001), RICH.address)
        block.add(signed(RICH, 1, to=FRIEND, gas=99_979_000), RICH.address)

    def test_a_missing_node_fails_the_block_and_leaves_no_trace(self) -> None:
        net = Network({CONTRACT: {"code": STORE.hex(), "storage": {"0": "5"}}})
        state, code = net.store.copy(), keccak256(STORE)
        del net.store[code]
        block = net.open()
        with pytest.raises(KeyError, match=code.hex()):
            block.add(signed(RICH, 0, to=CONTRACT), RICH.address)
        net.store.update(state)
        block.add(signed(RICH, 0, to=FRIEND), RICH.address)
        assert block.close().gas_used == 21_000


class TestEmptyBlocks:
    def test_change_nothing(self) -> None:
        net = Network()
        before = net.header.state_root
        block = net.execute()
        assert (block.state_root, block.nodes, block.gas_used) == (before, {}, 0)
        assert block.receipts_root == block.transactions_root == EMPTY_TRIE_ROOT

    def test_pay_the_reward(self) -> None:
        beneficiary = b"\xbe" * 20
        net = Network(ibft={"blockreward": "5"})
        net.execute()
        assert net.state.balance(COINBASE) == 5
        net = Network(ibft={"blockreward": "5", "miningbeneficiary": "0x" + beneficiary.hex()})
        net.execute(signed(RICH, 0, to=FRIEND, gasPrice=2))
        assert net.state.balance(beneficiary) == 42_005
        assert not net.state.exists(COINBASE)

    def test_follow_transitions(self) -> None:
        steps = {"ibft2": [{"block": 2, "blockreward": "7"}]}
        net = Network(berlinBlock=0, transitions=steps)
        net.execute()
        assert net.state.balance(COINBASE) == 0
        net.execute()
        assert net.state.balance(COINBASE) == 7


class TestGenesisOptions:
    def deployed(self, size: int, **config: Any) -> bool:
        net = Network(**config)
        init = push(size, 4) + bytes.fromhex("6000f3")
        block = net.execute(signed(RICH, 0, data=init, gas=90_000_000))
        assert (block.receipts[0].status == 1) == (
            len(net.state.code(created_contract_address(RICH.address, 0))) == size
        )
        if block.receipts[0].status == 0:
            assert block.gas_used == 90_000_000
        return block.receipts[0].status == 1

    def test_code_is_limited_as_on_mainnet_unless_the_genesis_says_otherwise(self) -> None:
        assert self.deployed(24_576)
        assert not self.deployed(24_577)
        assert self.deployed(200_000, berlinBlock=0, contractSizeLimit=8_000_000)
        assert not self.deployed(201, berlinBlock=0, contractSizeLimit=200)
        assert self.deployed(200, berlinBlock=0, contractSizeLimit=200)

    def test_code_does_not_begin_with_ef_from_london_whatever_the_limit(self) -> None:
        init = bytes.fromhex("60ef60005360016000f3")
        for fork, status in (("berlinBlock", 1), ("londonBlock", 0)):
            config: dict[str, Any] = {fork: 0, "contractSizeLimit": 100, "zeroBaseFee": True}
            net = Network(**config)
            assert statuses(net.execute(signed(RICH, 0, data=init), base_fee=None if status else 0).receipts) == [
                status
            ]

    @pytest.mark.parametrize("limit", [1024, 5, 3000])
    def test_the_stack_has_the_size_that_the_genesis_says(self, limit: int) -> None:
        fits, overflows = push(1, 1) * limit, push(1, 1) + b"\x80" * limit
        accounts = {CONTRACT: {"code": fits.hex()}, FRIEND: {"code": overflows.hex()}}
        net = Network(accounts, berlinBlock=0, evmStackSize=limit)
        assert statuses(net.execute(signed(RICH, 0, to=CONTRACT), signed(RICH, 1, to=FRIEND)).receipts) == [1, 0]

    def test_london_burns_the_base_fee_and_pays_the_tip(self) -> None:
        net = Network(londonBlock=0)
        net.execute(signed(RICH, 0, to=FRIEND, maxFeePerGas=9, maxPriorityFeePerGas=3, gas=21_000), base_fee=7)
        assert net.state.balance(COINBASE) == 21_000 * 2
        assert net.state.balance(RICH.address) == 10**24 - 21_000 * 9
        with pytest.raises(ExecutionError, match="GAS_PRICE_BELOW_CURRENT_BASE_FEE"):
            net.execute(signed(RICH, 1, to=FRIEND, gasPrice=6), base_fee=7)

    def test_free_gas_works_under_london_with_zero_base_fee(self) -> None:
        net = Network(londonBlock=0, zeroBaseFee=True)
        free = {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
        block = net.execute(signed(POOR, 0, to=FRIEND, **free), signed(POOR, 1, to=FRIEND), base_fee=0)
        assert statuses(block.receipts) == [1, 1]

    def test_before_byzantium_receipts_carry_the_state_between_transactions(self) -> None:
        net = Network(homesteadBlock=0)
        first, second = signed(RICH, 0, to=FRIEND, value=1), signed(RICH, 1, to=FRIEND, value=1)
        alone = net.open()
        alone.add(first, RICH.address)
        between = alone.close().state_root
        block = net.execute(first, second)
        assert [receipt.state_root for receipt in block.receipts] == [between, block.state_root]
        assert statuses(block.receipts) == [None, None]
        assert net.state.exists(COINBASE), "before EIP-161 even nothing makes an account"

    def test_a_creation_fails_where_a_genesis_put_storage(self) -> None:
        """As Besu 25.5 (EIP-7610); Besu 24.1 emptied the storage."""
        address = created_contract_address(RICH.address, 0)
        net = Network({address: {"balance": "1", "storage": {"0": "5", "1": "6"}}})
        block = net.execute(signed(RICH, 0, data=bytes.fromhex("6000546002556007600155")))
        assert statuses(block.receipts) == [0]
        assert block.gas_used == 1_000_000, "a creation that cannot begin takes all gas"
        assert [net.state.storage(address, slot) for slot in (0, 1, 2)] == [5, 6, 0]
        assert (net.state.balance(address), net.state.nonce(address)) == (1, 0)

    @pytest.mark.parametrize(
        "config", [{"londonBlock": 0, "shanghaiTime": 0}, {"londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0}]
    )
    def test_init_code_is_paid_for_once_from_shanghai(self, config: dict[str, Any]) -> None:
        net = Network(**config, zeroBaseFee=True)
        block = net.execute(signed(RICH, 0, data=b"\0" * 64), base_fee=0)
        assert block.gas_used == 53_000 + 64 * 4 + 2 * 2
