"""GoQuorum's private transactions, as a node sees them that is no party to them.

A transaction with v 37 or 38 has the hash of an encrypted payload as its data. Only the parties have the payload and execute
it, in a state of their own. Everywhere else the transaction uses up the sender's nonce and nothing more: no gas, no log, and
a receipt of success. This file must not decide which transactions may enter the pool: none of these may.
"""

from collections.abc import Sequence
from dataclasses import replace

from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import recover_sender
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.transaction import LEGACY, Transaction

PRIVATE_V = (37, 38)


def is_goquorum_private(transaction: Transaction, spec: ChainSpec) -> bool:
    """Whether `transaction` is a private one of GoQuorum on this chain. Always False on another chain."""
    rules = spec.goquorum
    return (
        rules is not None
        and rules.has_private_transactions
        and transaction.type == LEGACY
        and transaction.v in PRIVATE_V
    )


def sender_of(transaction: Transaction, spec: ChainSpec) -> bytes:
    """The sender (20 bytes) of any transaction of this chain, a private one of GoQuorum too. Raises SignatureError if
    there is none."""
    if is_goquorum_private(transaction, spec):
        # The v is not that of chain 1 (EIP-155): the signature covers no chain id.
        transaction = replace(transaction, chain_id=None)
    return recover_sender(transaction)


def check_goquorum_private(transaction: Transaction, *, nonce: int, gas_left: int) -> None:
    """Return if a private transaction of a sender, whose next nonce is `nonce`, can be in a block with `gas_left`.
    Raises TransactionRejectedError for another nonce, a gas limit above `gas_left`, or a gas price above 0."""
    if transaction.nonce != nonce:
        reason = RejectionReason.NONCE_TOO_LOW if transaction.nonce < nonce else RejectionReason.NONCE_TOO_HIGH
        raise TransactionRejectedError(reason, f"nonce {transaction.nonce}, the next is {nonce}")
    if transaction.gas_limit > gas_left:
        raise TransactionRejectedError(
            RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT, f"gas limit {transaction.gas_limit}, the block has {gas_left} left"
        )
    if transaction.max_gas_price:
        # GoQuorum takes the whole price from a sender there, and its parties do not agree with the other nodes.
        raise TransactionRejectedError(
            RejectionReason.TX_FEECAP_EXCEEDED, "a private transaction with a gas price above 0"
        )


def has_goquorum_private(transactions: Sequence[Transaction], spec: ChainSpec) -> bool:
    """Whether one of `transactions` is a private one of GoQuorum on this chain."""
    return spec.goquorum is not None and any(is_goquorum_private(transaction, spec) for transaction in transactions)
