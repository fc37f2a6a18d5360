"""What decides over a transaction before it is executed, and the base fee of the next block."""

from dataclasses import replace
from typing import Any

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec, with_base_fee_if_fixed
from lacnode.evm.base_fee import blob_base_fee, next_base_fee
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.transaction_validation import check_base_fee, check_sender, check_transaction, floor_gas, intrinsic_gas
from lacnode.primitives.transaction import ACCESS_LIST, BLOB, FEE_MARKET, LEGACY, SET_CODE, Authorization, Transaction

KEY = bytes(32)
AUTHORIZATION = Authorization(chain_id=7, address=bytes(20), nonce=0, y_parity=0, r=1, s=1)


def spec(**config: Any) -> ChainSpec:
    return parse_genesis({"config": {"chainId": 7, "ibft2": {}, **config}, "difficulty": "0x1", "gasLimit": "0x1"})


def transaction(**fields: Any) -> Transaction:
    """An unsigned transfer; these rules do not look at signatures."""
    plain = Transaction(
        type=LEGACY,
        chain_id=7,
        nonce=0,
        gas_price=0,
        max_priority_fee_per_gas=None,
        max_fee_per_gas=None,
        gas_limit=21_000,
        to=bytes(20),
        value=0,
        data=b"",
        access_list=(),
        max_fee_per_blob_gas=None,
        blob_versioned_hashes=(),
        authorizations=(),
        v=0,
        r=0,
        s=0,
        raw=b"",
        hash=bytes(32),
    )
    return replace(plain, **fields)


FEES = {"gas_price": None, "max_fee_per_gas": 5, "max_priority_fee_per_gas": 1, "type": FEE_MARKET}


class TestIntrinsicGas:
    @pytest.mark.parametrize(
        ("fork", "transfer", "creation"),
        [
            (Fork.FRONTIER, 21_140, 21_140),
            (Fork.HOMESTEAD, 21_140, 53_140),
            (Fork.PETERSBURG, 21_140, 53_140),
            (Fork.ISTANBUL, 21_036, 53_036),
            (Fork.BERLIN, 21_036, 53_036),
            (Fork.SHANGHAI, 21_036, 53_038),
        ],
    )
    def test_of_data_with_one_zero_and_two_other_bytes(self, fork: Fork, transfer: int, creation: int) -> None:
        assert intrinsic_gas(b"\0\1\2", False, fork) == transfer
        assert intrinsic_gas(b"\0\1\2", True, fork) == creation

    def test_of_access_lists_and_authorizations(self) -> None:
        access = ((bytes(20), (bytes(32), KEY)), (bytes(20), ()))
        assert intrinsic_gas(b"", False, Fork.BERLIN, access) == 21_000 + 2 * 2_400 + 2 * 1_900
        assert intrinsic_gas(b"", False, Fork.PRAGUE, (), 2) == 71_000

    def test_init_code_is_paid_by_the_word_begun(self) -> None:
        sizes = (0, 1, 32, 33)
        gas = [intrinsic_gas(b"\1" * size, True, Fork.SHANGHAI) - 53_000 - 16 * size for size in sizes]
        assert gas == [0, 2, 2, 4]

    def test_data_has_a_floor_from_prague(self) -> None:
        assert floor_gas(b"\0\1", Fork.CANCUN) == 0
        assert floor_gas(b"\0\1", Fork.PRAGUE) == 21_000 + 10 * (1 + 4)


class TestTransactionRules:
    def reason(self, fork: Fork, **fields: Any) -> str | None:
        try:
            check_transaction(transaction(**fields), spec(), fork)
        except TransactionRejectedError as rejected:
            return rejected.reason.name
        return None

    def test_a_plain_transfer_is_fine_in_every_fork(self) -> None:
        assert [self.reason(fork) for fork in Fork] == [None] * len(Fork)
        assert self.reason(Fork.BERLIN, chain_id=None) is None, "from before EIP-155"

    @pytest.mark.parametrize(
        ("type_", "first"),
        [(ACCESS_LIST, Fork.BERLIN), (FEE_MARKET, Fork.LONDON), (SET_CODE, Fork.PRAGUE)],
    )
    def test_types_begin_with_their_fork(self, type_: int, first: Fork) -> None:
        fields = {"type": type_, "gas_limit": 100_000, "authorizations": (AUTHORIZATION,) if type_ == SET_CODE else ()}
        assert self.reason(Fork(first - 1), **fields) == "INVALID_TRANSACTION_FORMAT"
        assert self.reason(first, **fields) is None

    def test_a_set_code_transaction_without_authorizations_sets_none(self) -> None:
        assert self.reason(Fork.PRAGUE, type=SET_CODE) == "EMPTY_CODE_DELEGATION"

    @pytest.mark.parametrize(
        ("fork", "blobs", "expected"),
        [
            (Fork.SHANGHAI, 1, "INVALID_TRANSACTION_FORMAT"),
            (Fork.CANCUN, 0, "INVALID_BLOBS"),
            (Fork.CANCUN, 6, None),
            (Fork.CANCUN, 7, "TOTAL_BLOB_GAS_TOO_HIGH"),
            (Fork.PRAGUE, 9, None),
            (Fork.PRAGUE, 10, "TOTAL_BLOB_GAS_TOO_HIGH"),
        ],
    )
    def test_blobs_in_a_transaction(self, fork: Fork, blobs: int, expected: str | None) -> None:
        hashes = (b"\1" + bytes(31),) * blobs
        assert self.reason(fork, type=BLOB, blob_versioned_hashes=hashes) == expected

    def test_a_blobs_hash_has_version_1(self) -> None:
        assert self.reason(Fork.CANCUN, type=BLOB, blob_versioned_hashes=(b"\2" + bytes(31),)) == "INVALID_BLOBS"

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"chain_id": 8}, "WRONG_CHAIN_ID"),
            ({"nonce": 2**64 - 1}, "NONCE_OVERFLOW"),
            ({"nonce": 2**64 - 2}, None),
            ({"gas_limit": 20_999}, "INTRINSIC_GAS_EXCEEDS_GAS_LIMIT"),
            ({"to": None, "data": bytes(49_152), "gas_limit": 10**6}, None),
            ({"to": None, "data": bytes(49_153), "gas_limit": 10**6}, "INITCODE_TOO_LARGE"),
            ({"data": bytes(49_153), "gas_limit": 10**6}, None),
            ({"gas_price": 2**256 // 21_000 + 1}, "UPFRONT_COST_EXCEEDS_UINT256"),
            ({**FEES}, None),
            ({**FEES, "max_priority_fee_per_gas": 6}, "MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS"),
        ],
    )
    def test_each_rule(self, fields: dict[str, Any], expected: str | None) -> None:
        assert self.reason(Fork.SHANGHAI, **fields) == expected

    def test_before_shanghai_init_code_may_have_any_size(self) -> None:
        assert self.reason(Fork.LONDON, to=None, data=bytes(500_000), gas_limit=10**7) is None

    def test_the_first_rule_broken_is_the_one_told(self) -> None:
        both = {"nonce": 2**64 - 1, "gas_limit": 5}
        assert self.reason(Fork.BERLIN, **both) == "NONCE_OVERFLOW"
        assert self.reason(Fork.BERLIN, **both, chain_id=8) == "WRONG_CHAIN_ID"


class TestSenderRules:
    def reason(self, given: Transaction, **account: Any) -> str | None:
        try:
            check_sender(given, **{"nonce": 5, "balance": 0, "has_code": False, **account})
        except TransactionRejectedError as rejected:
            return rejected.reason.name
        return None

    def test_who_has_nothing_may_send_what_costs_nothing(self) -> None:
        assert self.reason(transaction(nonce=5)) is None

    def test_the_most_it_may_cost_must_be_there(self) -> None:
        given = transaction(nonce=5, gas_price=2, value=1)
        assert self.reason(given, balance=42_001) is None
        assert self.reason(given, balance=42_000) == "UPFRONT_COST_EXCEEDS_BALANCE"

    def test_blob_gas_costs_too(self) -> None:
        given = transaction(nonce=5, type=BLOB, blob_versioned_hashes=(bytes(32),), max_fee_per_blob_gas=3)
        assert self.reason(given, balance=3 * 131_072) is None
        assert self.reason(given, balance=3 * 131_072 - 1) == "UPFRONT_COST_EXCEEDS_BALANCE"

    def test_nonces(self) -> None:
        assert self.reason(transaction(nonce=4)) == "NONCE_TOO_LOW"
        assert self.reason(transaction(nonce=6)) == "NONCE_TOO_HIGH"
        assert self.reason(transaction(nonce=6), future_nonce_allowed=True) is None

    def test_contracts_send_nothing(self) -> None:
        assert self.reason(transaction(nonce=5), has_code=True) == "TX_SENDER_NOT_AUTHORIZED"

    def test_the_base_fee_must_be_paid_where_there_is_one(self) -> None:
        check_base_fee(transaction(), None)
        check_base_fee(transaction(gas_price=7), 7)
        with pytest.raises(TransactionRejectedError) as rejected:
            check_base_fee(transaction(**FEES), 6)
        assert rejected.value.reason is RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE


class TestNextBaseFee:
    def fee(self, parent_fee: int | None, used: int, limit: int = 30_000_000, **config: Any) -> int | None:
        chain = spec(**(config or {"londonBlock": 0}))
        parent = replace(chain.genesis.header(bytes(32)), number=4, gas_limit=limit, gas_used=used, base_fee=parent_fee)
        return next_base_fee(chain, parent, 5)

    @pytest.mark.parametrize(
        ("parent", "used", "expected"),
        [
            (1_000_000_000, 15_000_000, 1_000_000_000),
            (1_000_000_000, 30_000_000, 1_125_000_000),
            (1_000_000_000, 0, 875_000_000),
            (7, 15_000_001, 8),
            (7, 0, 7),
            (0, 0, 0),
        ],
    )
    def test_follows_how_full_the_parent_was(self, parent: int, used: int, expected: int) -> None:
        assert self.fee(parent, used) == expected

    def test_begins_with_london(self) -> None:
        assert self.fee(None, 0, berlinBlock=0) is None
        assert self.fee(None, 0, berlinBlock=0, londonBlock=6) is None
        assert self.fee(None, 0, berlinBlock=0, londonBlock=5) == 1_000_000_000

    def test_is_zero_where_the_genesis_says_so(self) -> None:
        assert self.fee(0, 30_000_000, londonBlock=0, zeroBaseFee=True) == 0
        assert self.fee(None, 0, londonBlock=5, zeroBaseFee=True) == 0

    def test_is_the_nodes_own_where_the_genesis_fixes_it(self) -> None:
        """`fixedBaseFee`: Besu takes `--min-gas-price`. `zeroBaseFee` counts before it."""
        parent = replace(spec(londonBlock=0).genesis.header(bytes(32)), gas_used=30_000_000, base_fee=5)
        fixed = with_base_fee_if_fixed(spec(londonBlock=0, fixedBaseFee=True), 1_000)
        assert next_base_fee(fixed, parent, 5) == 1_000
        both = with_base_fee_if_fixed(spec(londonBlock=0, fixedBaseFee=True, zeroBaseFee=True), 1_000)
        assert next_base_fee(both, parent, 5) == 0
        assert next_base_fee(with_base_fee_if_fixed(spec(berlinBlock=0, fixedBaseFee=True), 1_000), parent, 5) is None
        assert blob_base_fee(replace(fixed, forks=spec(londonBlock=0, cancunTime=0).forks), parent) == 0

    def test_without_a_block_for_london_it_begins_at_zero(self) -> None:
        assert self.fee(None, 0, berlinBlock=0, shanghaiTime=0) == 0
        assert self.fee(None, 30_000_000, berlinBlock=0, shanghaiTime=0) == 1

    def test_has_256_bits(self) -> None:
        """A chain may have a block with any base fee. Besu multiplies in 256 bits, and all must agree on the next one."""
        assert self.fee(2**252, 16, limit=32) == 2**252
        assert self.fee(2**252, 17, limit=32) == 2**252 + 2**252 // 16 // 8
        assert self.fee(2**252, 32, limit=32) == 2**252 + 1, "2^252 times 16 is 0"
