"""The rules for a transaction that wants to enter the pool, in Besu's order. The sender is told the first failure.

The reference is the order of `MainnetTransactionValidator` and `TransactionPool` in Besu. The numbers in the comments are
the positions in that order.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import SignatureError, recover_sender
from lacnode.evm.engine import StateView
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.private_markers import is_goquorum_private
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.transaction_validation import check_chain_id, check_sender, check_transaction
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.permissioning.contract_reader import ContractUnreadableError
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import BLOB, FEE_MARKET, Transaction
from lacnode.txpool.pool_settings import PoolSettings

MIN_LONDON_GAS_PRICE_WEI = 7
"""A base fee cannot fall below this price, unless it is 0 or fixed. A cheaper transaction is then never included."""


@dataclass(frozen=True, slots=True)
class HeadState:
    """The head of the chain at one moment, and the accounts in the state after it."""

    header: BlockHeader
    accounts: StateView


@dataclass(frozen=True, slots=True)
class AdmittedTransaction:
    """The result of the checks: the sender (20 bytes) of a transaction, whether it goes before others (`priority`), and
    the head at the time of the check. It is not in the pool yet."""

    sender: bytes
    priority: bool
    head: HeadState


class TransactionAdmission:
    """Checks transactions before they enter the pool. Safe to use from several threads. `head` returns the current head
    with its accounts. `permissions` are the account rules."""

    def __init__(
        self,
        spec: ChainSpec,
        settings: PoolSettings,
        head: Callable[[], HeadState],
        permissions: AccountPermissions = ALLOW_ALL_ACCOUNTS,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._head = head
        self._permissions = permissions

    def check(self, transaction: Transaction, *, local: bool) -> AdmittedTransaction:
        """Check `transaction` against everything but the other transactions of the pool. `local` says that a user of
        this node sent it.

        Not checked here are whether the pool has the transaction, and whether its nonce is too far ahead. The check may
        ask the rules contract, which takes up to seconds. Raises TransactionRejectedError with Besu's reason if the
        transaction may not enter.
        """
        # Before everything else: the cost of every other check grows with the length.
        self._check_length(transaction)
        head = self._head()
        self._check_quorum_rules(transaction, head.header.number + 1)
        priority = self._has_priority(transaction, local)
        self._check_price(transaction, head.header, local=local, priority=priority)
        check_chain_id(transaction, self._spec)  # 5
        sender = _sender(transaction)  # 6
        fork = self._spec.forks.fork_at(head.header.number, head.header.timestamp)
        check_transaction(transaction, self._spec, fork)  # 8 to 13
        _check_has_no_blobs(transaction)
        self._check_against_head(transaction, sender, head, priority=priority)
        return AdmittedTransaction(sender, priority, head)

    def _check_length(self, transaction: Transaction) -> None:
        # The text names both numbers, because the sender can shorten the transaction.
        length, most = len(transaction.raw), self._settings.max_transaction_bytes
        if length > most:
            raise TransactionRejectedError(
                RejectionReason.TX_TOO_LARGE, f"it has {length} bytes, this node takes {most}"
            )

    def _check_quorum_rules(self, transaction: Transaction, height: int) -> None:
        rules = self._spec.goquorum
        if rules is None:
            return
        length, most = len(transaction.raw), rules.max_transaction_bytes_at(height)
        if length > most:
            raise TransactionRejectedError(
                RejectionReason.TX_TOO_LARGE, f"it has {length} bytes, txnSizeLimit of the genesis is {most}"
            )
        if is_goquorum_private(transaction, self._spec):
            # Its v is that of chain 1, too. That error alone would not say what to do.
            raise TransactionRejectedError(
                RejectionReason.WRONG_CHAIN_ID,
                f"v {transaction.v} marks a private transaction of GoQuorum. This node takes none",
            )
        # GoQuorum's nodes refuse the whole block of such a transaction.
        if transaction.max_gas_price and not rules.may_have_gas_price_at(height):
            raise TransactionRejectedError(
                RejectionReason.TX_FEECAP_EXCEEDED,
                f"price {transaction.max_gas_price} wei, but the genesis allows 0 only (enableGasPriceBlock)",
            )

    def _has_priority(self, transaction: Transaction, local: bool) -> bool:
        # A sender that the operator has chosen has priority, too.
        """Whether the transaction goes before others: it is local, unless that is switched off, or its sender is chosen."""
        if local and self._settings.local_priority:
            return True
        chosen = self._settings.priority_senders
        # Recovering the sender costs time, so it happens only if senders are chosen.
        return bool(chosen) and _sender(transaction) in chosen

    def _check_price(self, transaction: Transaction, header: BlockHeader, *, local: bool, priority: bool) -> None:
        price = transaction.max_gas_price
        # The cap protects users from a typing error. It does not hold for transactions of peers.
        if local and 0 < self._settings.fee_cap < price:  # 3
            raise TransactionRejectedError(
                RejectionReason.TX_FEECAP_EXCEEDED, f"price {price} wei is above the cap {self._settings.fee_cap}"
            )
        if priority:  # 4a
            constant, first = self._spec.constant_base_fee, self._spec.genesis.base_fee
            free = header.base_fee is None or (first if constant is None else constant) == 0
            floor = 0 if free else MIN_LONDON_GAS_PRICE_WEI
        else:  # 4b
            floor = self._settings.min_gas_price
        if price < floor:
            raise TransactionRejectedError(RejectionReason.GAS_PRICE_TOO_LOW, f"price {price} wei is below {floor}")

    def _check_against_head(self, transaction: Transaction, sender: bytes, head: HeadState, *, priority: bool) -> None:
        if priority and self._settings.strict_replay_protection and transaction.chain_id is None:  # 14
            raise TransactionRejectedError(RejectionReason.REPLAY_PROTECTED_SIGNATURE_REQUIRED, "it names no chain id")
        if transaction.gas_limit > head.header.gas_limit:  # 15
            raise TransactionRejectedError(
                RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,
                f"gas limit {transaction.gas_limit} is above the block's {head.header.gas_limit}",
            )
        if transaction.type == FEE_MARKET and head.header.base_fee is None:  # 16
            raise TransactionRejectedError(RejectionReason.INVALID_TRANSACTION_FORMAT, "type 2 without a base fee")
        # After the cheap rules: this may call a contract.
        self._check_permission(transaction, sender, head.header)  # 18
        try:
            nonce, balance = head.accounts.nonce(sender), head.accounts.balance(sender)
            has_code = bool(head.accounts.code(sender))
        except MissingNodeError as missing:  # 22
            raise TransactionRejectedError(
                RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE, f"the sender's account cannot be read: {missing}"
            ) from None
        check_sender(
            transaction, nonce=nonce, balance=balance, has_code=has_code, future_nonce_allowed=True
        )  # 19 to 21

    def _check_permission(self, transaction: Transaction, sender: bytes, header: BlockHeader) -> None:
        try:
            decision = self._permissions.may_enter_pool(transaction, sender, header)
        except ContractUnreadableError as unreadable:
            # Besu's reason names a synchronisation. The text adds the real cause.
            raise TransactionRejectedError(
                RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE, f"the account contract {unreadable}"
            ) from None
        if not decision.allowed:
            raise TransactionRejectedError(RejectionReason.TX_SENDER_NOT_AUTHORIZED, str(decision), decision.to_json())


def _check_has_no_blobs(transaction: Transaction) -> None:
    """Raises TransactionRejectedError for a blob transaction: this node does not store or relay blobs.

    A block with blob transactions is executed all the same.
    """
    if transaction.type == BLOB:
        raise TransactionRejectedError(RejectionReason.INVALID_BLOBS, "this node takes no blobs")


def _sender(transaction: Transaction) -> bytes:
    try:
        return recover_sender(transaction)
    except SignatureError as error:
        raise TransactionRejectedError(RejectionReason.INVALID_SIGNATURE, str(error)) from None
