"""Who may enter the pool: every row of Besu's table, in its order, on the state of a real chain."""

from dataclasses import replace

import pytest

from lacnode.crypto.secp256k1 import sign
from lacnode.evm.rejection import RejectionReason as Reason
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.permissioning.decision import Decision
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import BLOB, Transaction, encode_signed_transaction
from lacnode.txpool.pool_settings import MAX_TRANSACTION_BYTES, PoolSettings
from tests.support.rpc_chain import (
    CHAIN_ID,
    CONTRACT_OWNER,
    ETHER,
    FREE,
    GAS_LIMIT,
    LONDON,
    POOR,
    RICH,
    high_s,
    node,
    signed,
    typed,
)

OTHER_CHAIN = 1
PAID = PoolSettings(sender_share=1.0)

LONG = replace(signed(chain_id=OTHER_CHAIN), raw=bytes(MAX_TRANSACTION_BYTES + 1))

ROWS = [
    pytest.param(FREE, LONG, Reason.TX_TOO_LARGE, id="longer than this node takes"),
    pytest.param(FREE, replace(LONG, raw=LONG.raw[1:]), Reason.WRONG_CHAIN_ID, id="as long as this node takes"),
    pytest.param(
        replace(FREE, max_transaction_bytes=len(LONG.raw)),
        LONG,
        Reason.WRONG_CHAIN_ID,
        id="this node takes longer ones",
    ),
    pytest.param(FREE, signed(price=2 * ETHER), Reason.TX_FEECAP_EXCEEDED, id="3 fee cap"),
    pytest.param(FREE, signed(chain_id=OTHER_CHAIN), Reason.WRONG_CHAIN_ID, id="5 chain id"),
    pytest.param(FREE, high_s(signed()), Reason.INVALID_SIGNATURE, id="6 high s"),
    pytest.param(FREE, typed(fees=(0, 0)), Reason.INVALID_TRANSACTION_FORMAT, id="8 type 2 before London"),
    pytest.param(FREE, signed(nonce=2**64 - 1), Reason.NONCE_OVERFLOW, id="9 nonce overflow"),
    pytest.param(FREE, signed(gas=20_999), Reason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT, id="12 intrinsic gas"),
    pytest.param(FREE, signed(gas=52_999, to=None), Reason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT, id="12 creation"),
    pytest.param(
        replace(FREE, fee_cap=0), signed(price=2**255), Reason.UPFRONT_COST_EXCEEDS_UINT256, id="13 cost overflow"
    ),
    pytest.param(
        replace(FREE, strict_replay_protection=True),
        signed(chain_id=None),
        Reason.REPLAY_PROTECTED_SIGNATURE_REQUIRED,
        id="14 no chain id",
    ),
    pytest.param(FREE, signed(gas=GAS_LIMIT + 1), Reason.EXCEEDS_BLOCK_GAS_LIMIT, id="15 block gas limit"),
    pytest.param(FREE, signed(POOR, value=1), Reason.UPFRONT_COST_EXCEEDS_BALANCE, id="19 balance"),
    pytest.param(FREE, signed(CONTRACT_OWNER), Reason.TX_SENDER_NOT_AUTHORIZED, id="21 sender with code"),
]


@pytest.mark.parametrize(("settings", "transaction", "reason"), ROWS)
def test_refuses(settings: PoolSettings, transaction: Transaction, reason: Reason) -> None:
    at = node(settings)
    assert at.refusal(transaction) == reason
    assert at.pooled == []
    assert at.added == []


ORDER = [
    pytest.param(FREE, signed(price=2 * ETHER, chain_id=OTHER_CHAIN), Reason.TX_FEECAP_EXCEEDED, id="3 before 5"),
    pytest.param(FREE, high_s(signed(chain_id=OTHER_CHAIN)), Reason.WRONG_CHAIN_ID, id="5 before 6"),
    pytest.param(FREE, high_s(signed(gas=1)), Reason.INVALID_SIGNATURE, id="6 before 12"),
    pytest.param(FREE, signed(nonce=2**64 - 1, gas=1), Reason.NONCE_OVERFLOW, id="9 before 12"),
    pytest.param(FREE, signed(POOR, value=1, gas=1), Reason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT, id="12 before 19"),
    pytest.param(
        replace(FREE, strict_replay_protection=True),
        signed(chain_id=None, gas=GAS_LIMIT + 1),
        Reason.REPLAY_PROTECTED_SIGNATURE_REQUIRED,
        id="14 before 15",
    ),
    pytest.param(FREE, signed(POOR, value=1, gas=GAS_LIMIT + 1), Reason.EXCEEDS_BLOCK_GAS_LIMIT, id="15 before 19"),
    pytest.param(FREE, signed(CONTRACT_OWNER, value=2 * ETHER), Reason.UPFRONT_COST_EXCEEDS_BALANCE, id="19 before 21"),
]


@pytest.mark.parametrize(("settings", "transaction", "reason"), ORDER)
def test_tells_the_first_of_two_reasons(settings: PoolSettings, transaction: Transaction, reason: Reason) -> None:
    assert node(settings).refusal(transaction) == reason


def test_a_pooled_transaction_is_known_whatever_else_is_wrong() -> None:
    at = node()
    transaction = signed(nonce=0)
    at.send(transaction)
    assert at.refusal(transaction) == Reason.TRANSACTION_ALREADY_KNOWN


def test_a_used_nonce_is_too_low_and_comes_after_the_balance() -> None:
    at = node()
    at.send(signed())
    at.grow()
    assert at.refusal(signed(data=b"other")) == Reason.NONCE_TOO_LOW
    assert at.refusal(signed(value=10**25)) == Reason.UPFRONT_COST_EXCEEDS_BALANCE


class TestPrice:
    def test_remote_transactions_pay_the_pools_floor_and_local_ones_need_not(self) -> None:
        at = node(PAID)
        assert at.refusal(signed(price=999), local=False) == Reason.GAS_PRICE_TOO_LOW
        assert at.refusal(signed(price=1000), local=False) is None
        assert at.refusal(signed(nonce=1, price=0), local=True) is None

    def test_local_ones_do_where_they_have_no_priority(self) -> None:
        at = node(replace(PAID, local_priority=False))
        assert at.refusal(signed(price=999), local=True) == Reason.GAS_PRICE_TOO_LOW

    def test_chosen_senders_need_not(self) -> None:
        at = node(replace(PAID, priority_senders=frozenset({RICH.address})))
        assert at.refusal(signed(price=0), local=False) is None
        assert at.refusal(signed(POOR, price=0), local=False) == Reason.GAS_PRICE_TOO_LOW

    def test_the_floor_is_told_before_the_chain_id(self) -> None:
        assert node(PAID).refusal(signed(chain_id=OTHER_CHAIN), local=False) == Reason.GAS_PRICE_TOO_LOW

    def test_the_cap_is_for_rpc_alone_and_zero_is_none(self) -> None:
        dear = signed(price=2 * ETHER, gas=21_000)
        assert node().refusal(dear, local=False) == Reason.UPFRONT_COST_EXCEEDS_BALANCE
        assert node(replace(FREE, fee_cap=0)).refusal(dear) == Reason.UPFRONT_COST_EXCEEDS_BALANCE

    @pytest.mark.parametrize(
        ("forks", "reason"),
        [(LONDON, Reason.GAS_PRICE_TOO_LOW), ({**LONDON, "zeroBaseFee": True}, None)],
        ids=["London", "zeroBaseFee"],
    )
    def test_under_london_even_local_ones_pay_seven_wei(self, forks: dict[str, object], reason: Reason | None) -> None:
        assert node(forks=forks).refusal(signed(price=6)) == reason
        assert node(forks=forks).refusal(signed(price=7)) is None


class TestTypes:
    def test_a_berlin_network_takes_types_0_and_1(self) -> None:
        at = node()
        at.send(signed(chain_id=None), typed(nonce=1, access_list=[(b"\x05" * 20, (bytes(32),))]))
        assert len(at.pooled) == 2

    def test_a_london_network_takes_type_2_below_its_base_fee(self) -> None:
        at = node(forks=LONDON)
        assert at.refusal(typed(fees=(1, 7))) is None
        assert at.refusal(typed(nonce=1, fees=(8, 7))) == Reason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS

    def test_a_new_type_waits_until_the_head_has_its_rules(self) -> None:
        at = node(forks={"istanbulBlock": 0, "berlinBlock": 1})
        assert at.refusal(typed()) == Reason.INVALID_TRANSACTION_FORMAT
        at.grow()
        assert at.refusal(typed()) is None


class _Everybody:
    """A list with everybody on it but some, that notes whom it was asked about."""

    def __init__(self, *without: bytes) -> None:
        self.asked: list[bytes | None] = []
        self._without = without

    def decide(self, sender: bytes | None) -> Decision:
        self.asked.append(sender)
        return Decision(sender not in self._without, "local-accounts", "list.toml", None, "the list decides")


class TestPermission:
    def test_a_refused_sender_is_told_before_its_balance(self) -> None:
        at = node(permissions=AccountPermissions(_Everybody(POOR.address)))
        assert at.refusal(signed(POOR, value=1)) == Reason.TX_SENDER_NOT_AUTHORIZED
        assert at.refusal(signed(RICH)) is None

    def test_is_not_asked_about_what_is_invalid_anyway(self) -> None:
        accounts = _Everybody()
        at = node(permissions=AccountPermissions(accounts))
        assert at.refusal(signed(gas=1)) == Reason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT
        assert accounts.asked == []


class TestNonceDistance:
    @pytest.mark.parametrize(("size", "allowed"), [(4096, 5), (1024, 2)])
    def test_follows_the_pools_size(self, size: int, allowed: int) -> None:
        at = node(replace(FREE, sender_share=0.001, max_size=size))
        assert at.refusal(signed(nonce=allowed - 1)) is None
        assert at.refusal(signed(nonce=allowed)) == Reason.NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER

    def test_counts_from_the_account_not_from_the_pool(self) -> None:
        at = node(replace(FREE, sender_share=0.001, max_size=1024))
        at.send(signed(nonce=0), signed(nonce=1))
        assert at.refusal(signed(nonce=2)) == Reason.NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER
        at.grow()
        assert at.refusal(signed(nonce=3)) is None

    def test_a_layered_pool_looks_200_ahead(self) -> None:
        at = node(replace(FREE, layered=True))
        assert at.refusal(signed(nonce=199)) is None
        assert at.refusal(signed(nonce=200)) == Reason.NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER
        assert at.pool.statistics.max_size == -1


def test_takes_no_blobs_though_blocks_may_have_them() -> None:
    fees, to = [b"", b""], [RICH.address, b"", b""]
    hashes = [b"\1" + bytes(31)]
    payload: list[RlpValue] = [
        rlp.encode_scalar(CHAIN_ID),
        b"",
        *fees,
        rlp.encode_scalar(100_000),
        *to,
        [],
        b"\1",
        hashes,
    ]
    signature = sign(keccak256(bytes([BLOB]) + rlp.encode(payload)), RICH.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    blob = Transaction.decode(encode_signed_transaction(BLOB, payload, signature[64], r, s))
    at = node(forks={**LONDON, "zeroBaseFee": True, "shanghaiTime": 0, "cancunTime": 0})
    assert at.refusal(blob) == Reason.INVALID_BLOBS
    assert at.pooled == []
