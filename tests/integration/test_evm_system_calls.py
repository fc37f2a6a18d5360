"""What blocks do by themselves from Prague on, and blob prices: as IBFT 2.0 networks of Besu 25.5.0 have them."""

from dataclasses import replace
from typing import Any

import pytest
from eth.vm.forks.prague.constants import HISTORY_STORAGE_CONTRACT_CODE

from lacnode.crypto.secp256k1 import sign
from lacnode.evm.engine import ExecutionError, SystemCallError
from lacnode.evm.py_evm_system_calls import SYSTEM_ADDRESS
from lacnode.evm.system_contracts import HISTORY_STORAGE_ADDRESS
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import BLOB, Transaction, encode_signed_transaction
from tests.support.evm_network import CHAIN_ID, RICH, Network, push, returned, signed

pytestmark = pytest.mark.usefixtures("each_engine")

WITHDRAWALS, CONSOLIDATIONS, DEPOSITS = b"\x70" * 20, b"\x72" * 20, b"\x61" * 20
CANCUN: dict[str, Any] = {"londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0, "zeroBaseFee": True}
PRAGUE: dict[str, Any] = {
    **CANCUN,
    "pragueTime": 0,
    "withdrawalRequestContractAddress": WITHDRAWALS.hex(),
    "consolidationRequestContractAddress": CONSOLIDATIONS.hex(),
    "depositContractAddress": DEPOSITS.hex(),
}


def unless_system(code: bytes, system_code: bytes) -> bytes:
    """Code that runs `system_code` when the system calls it, otherwise `code`."""
    check = b"\x33" + push(SYSTEM_ADDRESS) + b"\x14" + push(26 + len(code), 1) + b"\x57"
    return check + code + b"\x5b" + system_code


def store(slot: int, value: bytes) -> bytes:
    return value + push(slot, 1) + b"\x55"


COPIES = unless_system(store(0, push(7, 1)) + b"\x00", store(1, push(0, 1) + b"\x54") + store(2, b"\x32") + b"\x00")
"""A transaction stores 7 in slot 0. The system copies slot 0 to slot 1, and stores ORIGIN in slot 2."""


def prague(**accounts: dict[str, Any]) -> Network:
    copies = {"code": COPIES.hex()}
    named = {bytes.fromhex(address): account for address, account in accounts.items()}
    return Network({WITHDRAWALS: copies, CONSOLIDATIONS: copies, **named}, **PRAGUE)


class TestParentHash:
    def network(self, code: bytes, config: dict[str, Any]) -> Network:
        copies = {"code": COPIES.hex()}
        return Network(
            {HISTORY_STORAGE_ADDRESS: {"code": code.hex()}, WITHDRAWALS: copies, CONSOLIDATIONS: copies}, **config
        )

    def test_is_stored_even_by_an_empty_block(self) -> None:
        net = self.network(HISTORY_STORAGE_CONTRACT_CODE, PRAGUE)
        net.execute(base_fee=0, parent_hash=b"\xaa" * 32)
        assert net.state.storage(HISTORY_STORAGE_ADDRESS, 0) == int.from_bytes(b"\xaa" * 32)
        net.execute(base_fee=0, parent_hash=b"\xbb" * 32)
        assert net.state.storage(HISTORY_STORAGE_ADDRESS, 1) == int.from_bytes(b"\xbb" * 32)

    def test_can_be_read_by_the_blocks_own_transactions(self) -> None:
        net = self.network(
            unless_system(store(1, push(0, 1) + b"\x54") + b"\x00", store(0, b"\x5f\x35") + b"\x00"), PRAGUE
        )
        net.execute(signed(RICH, 0, to=HISTORY_STORAGE_ADDRESS), base_fee=0, parent_hash=b"\xaa" * 32)
        assert net.state.storage(HISTORY_STORAGE_ADDRESS, 1) == int.from_bytes(b"\xaa" * 32)

    def test_is_not_stored_before_prague(self) -> None:
        net = self.network(HISTORY_STORAGE_CONTRACT_CODE, CANCUN)
        root = net.header.state_root
        net.execute(base_fee=0, parent_hash=b"\xaa" * 32)
        assert net.header.state_root == root

    def test_storing_it_warms_nothing_for_the_first_transaction(self) -> None:
        reads = unless_system(push(0, 1) + b"\x54\x00", push(0, 1) + b"\x54\x00")
        used = [
            self.network(reads, config).execute(signed(RICH, 0, to=HISTORY_STORAGE_ADDRESS), base_fee=0).gas_used
            for config in (CANCUN, PRAGUE)
        ]
        assert used[0] == used[1] > 21_000 + 2_100

    def test_what_is_transient_in_the_call_is_gone_in_the_first_transaction(self) -> None:
        code = unless_system(store(1, b"\x5f\x5c" + push(1, 1) + b"\x01") + b"\x00", push(7, 1) + b"\x5f\x5d\x00")
        net = self.network(code, PRAGUE)
        net.execute(signed(RICH, 0, to=HISTORY_STORAGE_ADDRESS), base_fee=0)
        assert net.state.storage(HISTORY_STORAGE_ADDRESS, 1) == 1

    def test_a_network_may_lack_the_contract(self) -> None:
        net = prague()
        net.execute(base_fee=0, parent_hash=b"\xaa" * 32)
        assert not net.state.exists(HISTORY_STORAGE_ADDRESS)


class TestRequests:
    def test_are_asked_for_after_all_transactions(self) -> None:
        net = prague()
        net.execute(signed(RICH, 0, to=WITHDRAWALS), signed(RICH, 1, to=CONSOLIDATIONS), base_fee=0)
        for contract in (WITHDRAWALS, CONSOLIDATIONS):
            assert net.state.storage(contract, 1) == 7
            assert net.state.storage(contract, 2) == int.from_bytes(SYSTEM_ADDRESS)

    def test_cost_the_block_nothing_and_leave_no_trace_of_the_system(self) -> None:
        net = prague(**{WITHDRAWALS.hex(): {"code": (b"\x5f\x5f\xa0" + store(0, b"\x5a") + b"\x00").hex()}})
        block = net.execute(base_fee=0)
        assert (block.gas_used, block.receipts, block.logs_bloom) == (0, (), bytes(256))
        assert not net.state.exists(SYSTEM_ADDRESS)

    @pytest.mark.parametrize("missing", [WITHDRAWALS, CONSOLIDATIONS])
    def test_no_block_can_be_made_without_their_contracts(self, missing: bytes) -> None:
        net = prague(**{missing.hex(): {"balance": "1"}})
        with pytest.raises(SystemCallError, match=f"0x{missing.hex()}, which Prague needs, has no code"):
            net.execute(base_fee=0)

    def test_no_block_can_be_made_when_a_call_fails(self) -> None:
        net = prague(**{CONSOLIDATIONS.hex(): {"code": "fe"}})
        with pytest.raises(SystemCallError, match=f"the system call to 0x{CONSOLIDATIONS.hex()} failed"):
            net.execute(base_fee=0)

    def test_a_call_has_thirty_million_gas(self) -> None:
        code = store(0, b"\x5a") + b"\x00"
        net = prague(**{WITHDRAWALS.hex(): {"code": code.hex()}})
        net.execute(base_fee=0, gas_limit=5_000_000)
        assert net.state.storage(WITHDRAWALS, 0) == 30_000_000 - 2

    def test_are_not_asked_for_before_prague(self) -> None:
        config = {key: value for key, value in PRAGUE.items() if key != "pragueTime"}
        net = Network({WITHDRAWALS: {"code": COPIES.hex()}}, **config)
        net.execute(base_fee=0)
        assert net.state.storage(WITHDRAWALS, 2) == 0


class TestBlobPrice:
    BLOB_BASE_FEE = returned(b"\x4a")
    CONTRACT = b"\xc0" * 20
    HASH = b"\x01" + b"\xbb" * 31

    @pytest.mark.parametrize(("zero_base_fee", "price"), [(True, 0), (False, 1)])
    def test_is_the_fee_markets(self, zero_base_fee: bool, price: int) -> None:
        net = Network({self.CONTRACT: {"code": self.BLOB_BASE_FEE.hex()}}, **{**CANCUN, "zeroBaseFee": zero_base_fee})
        net.header = replace(net.header, number=1)
        answer = net.call(to=self.CONTRACT)
        assert answer.success
        assert int.from_bytes(answer.output) == price

    @pytest.mark.parametrize(("zero_base_fee", "paid"), [(True, 0), (False, 131_072)])
    def test_is_what_a_blob_transaction_burns(self, zero_base_fee: bool, paid: int) -> None:
        first_hash = push(0, 1) + b"\x49"
        config = {**CANCUN, "zeroBaseFee": zero_base_fee}
        net = Network({self.CONTRACT: {"code": (store(0, first_hash) + b"\x00").hex()}}, **config)
        before = net.state.balance(RICH.address)
        block = net.execute(self.blob_transaction(max_fee_per_blob_gas=1), base_fee=0)
        assert [receipt.status for receipt in block.receipts] == [1]
        assert net.state.storage(self.CONTRACT, 0) == int.from_bytes(self.HASH)
        assert before - net.state.balance(RICH.address) == paid

    def test_must_be_offered(self) -> None:
        net = Network(**{**CANCUN, "zeroBaseFee": False})
        with pytest.raises(ExecutionError, match="BLOB_GAS_PRICE_BELOW_CURRENT_BLOB_BASE_FEE"):
            net.execute(self.blob_transaction(max_fee_per_blob_gas=0), base_fee=0)

    def blob_transaction(self, max_fee_per_blob_gas: int) -> Transaction:
        fees, gas = [b"", b""], rlp.encode_scalar(100_000)
        fee = rlp.encode_scalar(max_fee_per_blob_gas)
        payload: list[rlp.RlpValue] = [
            rlp.encode_scalar(CHAIN_ID),
            b"",
            *fees,
            gas,
            self.CONTRACT,
            b"",
            b"",
            [],
            fee,
            [self.HASH],
        ]
        signature = sign(keccak256(bytes([BLOB]) + rlp.encode(payload)), RICH.private_key)
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
        return Transaction.decode(encode_signed_transaction(BLOB, payload, signature[64], r, s))
