"""Whether a transaction may enter the pool, in Besu's order: the first failure is what its sender is told.

The reference is the table of `MainnetTransactionValidator` and `TransactionPool`; the numbers in the comments are its
rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import SignatureError, sender_of
from lacnode.evm.engine import StateView
from lacnode.evm.rejection import RejectionReason, TransactionRejected
from lacnode.evm.validation import check_chain_id, check_sender, check_transaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import FEE_MARKET, Transaction
from lacnode.txpool.settings import PoolSettings

MIN_LONDON_PRICE = 7
"""Wei: below it a base fee cannot fall, so nothing cheaper is ever included."""


@dataclass(frozen=True, slots=True)
class HeadState:
    """The head and its accounts."""

    header: BlockHeader
    accounts: StateView


AccountPermission = Callable[[Transaction, bytes], str | None]
"""Why the sender may not send this transaction, None if it may: the seam where permissioning plugs in."""


def allow_everybody(transaction: Transaction, sender: bytes) -> str | None:
    """No permissioning."""
    return None


class Admission:
    """The pool's door."""

    def __init__(
        self,
        spec: ChainSpec,
        settings: PoolSettings,
        head: Callable[[], HeadState],
        permission: AccountPermission = allow_everybody,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._head = head
        self._permission = permission

    def check(self, transaction: Transaction, *, local: bool) -> bytes:
        """The sender of `transaction`, if it may enter; TransactionRejected otherwise."""
        self._check_price(transaction, local)
        check_chain_id(transaction, self._spec)
        try:
            sender = sender_of(transaction)
        except SignatureError as error:
            raise TransactionRejected(RejectionReason.INVALID_SIGNATURE, str(error)) from None
        head = self._head()
        fork = self._spec.forks.fork_at(head.header.number + 1, head.header.timestamp)
        check_transaction(transaction, self._spec, fork)
        self._check_against_head(transaction, sender, local, head)
        return sender

    def has_priority(self, sender: bytes | None, local: bool) -> bool:
        """Local transactions go first, unless switched off, and so do chosen senders."""
        return (local and self._settings.local_priority) or sender in self._settings.priority_senders

    def _check_price(self, transaction: Transaction, local: bool) -> None:
        price = transaction.max_gas_price
        if local and 0 < self._settings.fee_cap < price:  # 3
            raise TransactionRejected(
                RejectionReason.TX_FEECAP_EXCEEDED, f"price {price} wei is above the cap {self._settings.fee_cap}"
            )
        header = self._head().header
        if self.has_priority(None, local):  # 4a
            floor = 0 if header.base_fee is None or self._spec.zero_base_fee else MIN_LONDON_PRICE
        else:  # 4b
            floor = self._settings.min_gas_price
        if price < floor:
            raise TransactionRejected(RejectionReason.GAS_PRICE_TOO_LOW, f"price {price} wei is below {floor}")

    def _check_against_head(self, transaction: Transaction, sender: bytes, local: bool, head: HeadState) -> None:
        strict = self._settings.strict_replay_protection and self.has_priority(sender, local)
        if strict and transaction.chain_id is None:  # 14
            raise TransactionRejected(RejectionReason.REPLAY_PROTECTED_SIGNATURE_REQUIRED, "it names no chain id")
        if transaction.gas_limit > head.header.gas_limit:  # 15
            raise TransactionRejected(
                RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,
                f"gas limit {transaction.gas_limit} is above the block's {head.header.gas_limit}",
            )
        if transaction.type == FEE_MARKET and head.header.base_fee is None:  # 16
            raise TransactionRejected(RejectionReason.INVALID_TRANSACTION_FORMAT, "type 2 without a base fee")
        refusal = self._permission(transaction, sender)  # 18
        if refusal is not None:
            raise TransactionRejected(RejectionReason.TX_SENDER_NOT_AUTHORIZED, refusal)
        check_sender(  # 19 to 21
            transaction,
            nonce=head.accounts.nonce(sender),
            balance=head.accounts.balance(sender),
            has_code=bool(head.accounts.code(sender)),
            future_nonce_allowed=True,
        )
