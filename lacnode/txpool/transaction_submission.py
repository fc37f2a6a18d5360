"""The one way into the pool: for JSON-RPC, for the markers of private transactions and for gossip.

Each source gives its transactions here, so that all are checked alike, and an observer sees all of them. Must not decide
whether a transaction may enter: `txpool.admission` does.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from lacnode.crypto.secp256k1 import recover_sender
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives.transaction import Transaction
from lacnode.txpool.transaction_pool import TransactionPool


class TransactionSource(Enum):
    """Where a transaction came from. The value is its name in log lines."""

    RPC = "rpc"
    PRIVATE_MARKER = "private-marker"
    GOSSIP = "gossip"

    @property
    def is_local(self) -> bool:
        """Whether a user of this node sent it. True for RPC and private markers. The pool prefers such transactions,
        and other limits apply to them."""
        return self is not TransactionSource.GOSSIP


@dataclass(frozen=True, slots=True)
class SubmittedTransaction:
    """A transaction that was submitted, with its source. `rejection` is the pool's error, None if the pool has taken
    it."""

    transaction: Transaction
    source: TransactionSource
    rejection: TransactionRejectedError | None


Explanation = Callable[[TransactionCall, bytes], Decision]
"""Whether a sender (20-byte address) may send a transaction, and which rule says so."""


class TransactionSubmission:
    """Offers transactions to `pool`, and tells observers of each. Safe to use from several threads.

    `explain` says whether and why a sender is authorised. `now` is the wall clock in Unix seconds.
    """

    def __init__(self, pool: TransactionPool, explain: Explanation, *, now: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._explain = explain
        self._now = now
        self._observers: list[Callable[[SubmittedTransaction], None]] = []

    def on_submitted(self, observer: Callable[[SubmittedTransaction], None]) -> None:
        """Call `observer` after every submission that the pool has accepted or rejected, in the thread that submitted.
        An error of the observer reaches the submitter. Subscribe before the node runs."""
        self._observers.append(observer)

    def submit(self, transaction: Transaction, source: TransactionSource) -> None:
        """Offer `transaction` to the pool and report it to the observers. Raises TransactionRejectedError with Besu's
        reason if it may not enter. It may ask the rules contract, which takes up to seconds. MissingNodeError if the
        database lacks a node of the head's state: the observers are not told then."""
        try:
            self._pool.add(transaction, local=source.is_local, now=self._now())
        except TransactionRejectedError as rejection:
            self._report(SubmittedTransaction(transaction, source, rejection))
            raise
        self._report(SubmittedTransaction(transaction, source, None))

    def submit_gossip(self, transactions: Sequence[Transaction]) -> None:
        """Offer transactions of peers to the pool, one after the other. A rejected one is dropped without an error or
        an answer, as Besu does. The observers are told of every transaction, accepted or rejected. MissingNodeError
        passes through (`submit`), and the rest is not offered."""
        for transaction in transactions:
            try:
                self.submit(transaction, TransactionSource.GOSSIP)
            except TransactionRejectedError:
                continue

    def explain(self, transaction: Transaction, rejection: TransactionRejectedError) -> Decision | None:
        """The permissioning decision behind `rejection`. None if its reason is not TX_SENDER_NOT_AUTHORIZED.

        This asks the rules once more, on the head of now. The decision is a permission if the rules have changed. It
        takes up to seconds: ask only for a rejection that a user reads.
        """
        if rejection.reason is not RejectionReason.TX_SENDER_NOT_AUTHORIZED:
            return None
        return self._explain(transaction, recover_sender(transaction))

    def _report(self, submitted: SubmittedTransaction) -> None:
        for observer in self._observers:
            observer(submitted)
