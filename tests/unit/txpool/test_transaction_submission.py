"""All sources submit to the pool the same way, and observers see each submission."""

from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.permissioning.decision import Decision
from lacnode.txpool.transaction_submission import SubmittedTransaction, TransactionSource, TransactionSubmission
from tests.support.evm_network import signed

KEY = NodeKey.from_private_key((1).to_bytes(32))
NOW = 1_700_000_000.0
REFUSED = Decision(False, "account-contract", "0xabcd", 7, "the account may not send")


class Pool:
    """Takes what it is given, unless it has a reason not to."""

    def __init__(self, refuses: RejectionReason | None = None) -> None:
        self.taken: list[tuple[bytes, bool, float]] = []
        self.refuses = refuses

    def add(self, transaction: Any, *, local: bool, now: float) -> None:
        if self.refuses is not None:
            raise TransactionRejectedError(self.refuses, "no")
        self.taken.append((transaction.hash, local, now))


def submission_to(pool: Any) -> TransactionSubmission:
    return TransactionSubmission(pool, lambda call, sender: REFUSED, now=lambda: NOW)


@pytest.mark.parametrize(
    ("source", "is_local"),
    [(TransactionSource.RPC, True), (TransactionSource.PRIVATE_MARKER, True), (TransactionSource.GOSSIP, False)],
)
def test_only_gossip_is_remote(source: TransactionSource, is_local: bool) -> None:
    pool, transaction = Pool(), signed(KEY, 0)
    submission_to(pool).submit(transaction, source)
    assert pool.taken == [(transaction.hash, is_local, NOW)]


def test_an_observer_sees_what_was_taken_and_what_was_not() -> None:
    pool, seen = Pool(), list[SubmittedTransaction]()
    submission, transaction = submission_to(pool), signed(KEY, 0)
    submission.on_submitted(seen.append)
    submission.submit(transaction, TransactionSource.RPC)
    pool.refuses = RejectionReason.NONCE_TOO_LOW
    with pytest.raises(TransactionRejectedError):
        submission.submit(transaction, TransactionSource.PRIVATE_MARKER)
    submission.submit_gossip([transaction])
    assert [one.source for one in seen] == list(TransactionSource)
    assert [None if one.rejection is None else one.rejection.reason for one in seen] == [
        None,
        RejectionReason.NONCE_TOO_LOW,
        RejectionReason.NONCE_TOO_LOW,
    ]


def test_gossip_goes_on_after_a_rejection() -> None:
    pool = Pool(RejectionReason.NONCE_TOO_LOW)
    submission = submission_to(pool)
    submission.on_submitted(lambda submitted: setattr(pool, "refuses", None))
    first, second = signed(KEY, 0), signed(KEY, 1)
    submission.submit_gossip([first, second])
    assert [hash_ for hash_, _, _ in pool.taken] == [second.hash]


def test_only_a_permission_is_explained() -> None:
    submission, transaction = submission_to(Pool()), signed(KEY, 0)
    not_permitted = TransactionRejectedError(RejectionReason.TX_SENDER_NOT_AUTHORIZED, "no")
    assert submission.explain(transaction, not_permitted) == REFUSED
    too_low = TransactionRejectedError(RejectionReason.NONCE_TOO_LOW, "no")
    assert submission.explain(transaction, too_low) is None
