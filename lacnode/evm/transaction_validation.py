"""Whether a transaction may be executed: first by the transaction alone, then by its sender's account.

The order is that of Besu's `MainnetTransactionValidator`: the first failure is the one the sender sees. The pool and
the block executor call the same functions.
"""

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.transaction import ACCESS_LIST, BLOB, FEE_MARKET, LEGACY, SET_CODE, Transaction

MAX_CODE_BYTES, MAX_INITCODE_BYTES = 24_576, 49_152
"""The longest code of a contract where the genesis sets no limit (EIP-170), and of init code (EIP-3860)."""

MAX_NONCE = 2**64 - 1
GAS_PER_BLOB = 131_072
BLOB_HASH_VERSION = b"\1"

DELEGATION_PREFIX = b"\xef\x01\x00"
"""The bytes before the address in the code of an account that delegates (EIP-7702)."""

_DELEGATION_BYTES = len(DELEGATION_PREFIX) + 20

_FIRST_FORK = {
    LEGACY: Fork.FRONTIER,
    ACCESS_LIST: Fork.BERLIN,
    FEE_MARKET: Fork.LONDON,
    BLOB: Fork.CANCUN,
    SET_CODE: Fork.PRAGUE,
}


def is_delegation(code: bytes) -> bool:
    """Return whether an account with `code` delegates from Prague on (EIP-7702). The form alone decides, as in Besu
    25.5.0: a contract that was created before London counts too."""
    return len(code) == _DELEGATION_BYTES and code.startswith(DELEGATION_PREFIX)


def intrinsic_gas(
    data: bytes,
    is_creation: bool,
    fork: Fork,
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (),
    authorizations: int = 0,
) -> int:
    """Return the gas (gas units) that a transaction costs before its first instruction (yellow paper, section 6.2, and
    EIP-2028, 2930, 3860, 7702). `authorizations` is the number of EIP-7702 authorisations."""
    zeros = data.count(0)
    gas = 21_000 + 4 * zeros + (16 if fork >= Fork.ISTANBUL else 68) * (len(data) - zeros)
    if is_creation and fork >= Fork.HOMESTEAD:
        gas += 32_000
    if is_creation:
        gas += initcode_gas(data, fork)
    if fork >= Fork.BERLIN:
        gas += sum(2_400 + 1_900 * len(keys) for _, keys in access_list)
    return gas + 25_000 * authorizations


def initcode_gas(data: bytes, fork: Fork) -> int:
    """Return the part of a creation's intrinsic gas that is for the length of its init code `data` (EIP-3860). 0 before
    Shanghai."""
    return 2 * ((len(data) + 31) // 32) if fork >= Fork.SHANGHAI else 0


def floor_gas(data: bytes, fork: Fork) -> int:
    """Return the least gas that a transaction with `data` is charged from Prague on (EIP-7623). 0 before Prague."""
    if fork < Fork.PRAGUE:
        return 0
    return 21_000 + 10 * (4 * len(data) - 3 * data.count(0))


def blob_gas(transaction: Transaction) -> int:
    """Return the blob gas of a transaction (EIP-4844). 0 without blobs."""
    return len(transaction.blob_versioned_hashes) * GAS_PER_BLOB


def check_chain_id(transaction: Transaction, spec: ChainSpec) -> None:
    """Return if `transaction` names no chain or this one. Raise TransactionRejectedError if it was signed for another
    network."""
    if transaction.chain_id is not None and transaction.chain_id != spec.chain_id:
        raise _rejected(RejectionReason.WRONG_CHAIN_ID, f"chain id {transaction.chain_id} instead of {spec.chain_id}")


def check_transaction(transaction: Transaction, spec: ChainSpec, fork: Fork) -> None:
    """Return if `transaction` may be valid for some sender. Raise TransactionRejectedError if it is invalid on this
    network for every sender: chain id, type, blobs, nonce, init code, authorisations, fees, intrinsic gas. The
    signature and the base fee are not looked at."""
    check_chain_id(transaction, spec)
    if transaction.type == BLOB:
        _check_hashes(transaction)
    # Blobs are checked before the type: Besu finds a transaction without blobs malformed before it looks at the
    # fork.
    if fork < _FIRST_FORK[transaction.type]:
        raise _rejected(
            RejectionReason.INVALID_TRANSACTION_FORMAT,
            f"type {transaction.type} before {_FIRST_FORK[transaction.type].name}",
        )
    if transaction.nonce == MAX_NONCE:
        raise _rejected(RejectionReason.NONCE_OVERFLOW, "the nonce is 2^64-1")
    if transaction.is_creation and fork >= Fork.SHANGHAI and len(transaction.data) > MAX_INITCODE_BYTES:
        raise _rejected(RejectionReason.INITCODE_TOO_LARGE, f"init code of {len(transaction.data)} bytes")
    if transaction.type == SET_CODE and not transaction.authorizations:
        raise _rejected(
            RejectionReason.EMPTY_CODE_DELEGATION, "a set-code transaction without authorisations (EIP-7702)"
        )
    if (transaction.max_priority_fee_per_gas or 0) > transaction.max_gas_price:
        raise _rejected(
            RejectionReason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS, "the tip is above the maximum fee"
        )
    if blob_gas(transaction) > spec.blob_schedule_of(fork).max * GAS_PER_BLOB:
        raise _rejected(
            RejectionReason.TOTAL_BLOB_GAS_TOO_HIGH,
            f"{len(transaction.blob_versioned_hashes)} blobs in one transaction",
        )
    needed = max(
        intrinsic_gas(
            transaction.data, transaction.is_creation, fork, transaction.access_list, len(transaction.authorizations)
        ),
        floor_gas(transaction.data, fork),
    )
    if needed > transaction.gas_limit:
        raise _rejected(
            RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT,
            f"intrinsic gas {needed} is above the gas limit {transaction.gas_limit}",
        )
    if transaction.gas_limit * transaction.max_gas_price >= 2**256:
        raise _rejected(RejectionReason.UPFRONT_COST_EXCEEDS_UINT256, "gas limit times price overflows 256 bits")


def _check_hashes(transaction: Transaction) -> None:
    hashes = transaction.blob_versioned_hashes
    if not hashes or any(hash_[:1] != BLOB_HASH_VERSION for hash_ in hashes):
        raise _rejected(RejectionReason.INVALID_BLOBS, "a blob transaction names blobs by hashes of version 1")


def check_sender(
    transaction: Transaction, *, nonce: int, balance: int, has_code: bool, future_nonce_allowed: bool = False
) -> None:
    """Return if the sender's account, with these values, can send `transaction`. `nonce` is that of its next
    transaction, and `balance` is in wei. `has_code` is False for an account that delegates (EIP-7702). Raise
    TransactionRejectedError if the balance is below the highest cost, if the nonce of `transaction` is used or leaves a
    gap (unless `future_nonce_allowed`), or if the sender is a contract."""
    cost = transaction.gas_limit * transaction.max_gas_price + transaction.value
    # The most that the sender may have to pay. A lower price at execution must not decide about validity.
    cost += blob_gas(transaction) * (transaction.max_fee_per_blob_gas or 0)
    if cost > balance:
        raise _rejected(
            RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE, f"it may cost {cost} wei, the sender has {balance}"
        )
    if transaction.nonce < nonce:
        raise _rejected(RejectionReason.NONCE_TOO_LOW, f"nonce {transaction.nonce} was used, the next is {nonce}")
    if transaction.nonce > nonce and not future_nonce_allowed:
        raise _rejected(RejectionReason.NONCE_TOO_HIGH, f"nonce {transaction.nonce}, the next is {nonce}")
    # The caller has left out accounts that delegate (EIP-7702): they are not contracts.
    if has_code:
        raise _rejected(RejectionReason.TX_SENDER_NOT_AUTHORIZED, "the sender is a contract (EIP-3607)")


def check_base_fee(transaction: Transaction, base_fee: int | None) -> None:
    """Return if the highest price of `transaction` is at least `base_fee`, the base fee of the block in wei per gas.
    TransactionRejectedError if the price is lower. None stands for a block before London: every price is enough."""
    if base_fee is not None and transaction.max_gas_price < base_fee:
        raise _rejected(
            RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,
            f"it pays at most {transaction.max_gas_price} wei, the base fee is {base_fee}",
        )


def check_blob_fee(transaction: Transaction, blob_base_fee: int) -> None:
    """Return if `transaction` has no blobs or pays `blob_base_fee` (wei per unit of blob gas). Raise
    TransactionRejectedError otherwise."""
    if transaction.type == BLOB and (transaction.max_fee_per_blob_gas or 0) < blob_base_fee:
        raise _rejected(
            RejectionReason.BLOB_GAS_PRICE_BELOW_CURRENT_BLOB_BASE_FEE,
            f"it pays at most {transaction.max_fee_per_blob_gas} wei for blob gas, the fee is {blob_base_fee}",
        )


def _rejected(reason: RejectionReason, text: str) -> TransactionRejectedError:
    return TransactionRejectedError(reason, text)
