"""How large an answer becomes, counted while it is made: what is too large is refused before it takes the memory.

The largest answers are the receipts and the transactions of a full block. Besu has no such bound.
"""

from lacnode.chain.receipt_record import ReceiptRecord
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import range_too_large

MAX_ANSWER_BYTES = 24 * 2**20
"""JSON text of one answer."""

TRANSACTION_BYTES, ENTRY_BYTES, KEY_BYTES = 900, 90, 70
"""About what a transaction, an entry of its access list and a storage key take, besides the data."""

RECEIPT_BYTES, LOG_BYTES = 1_300, 600
"""About what a receipt and a log take, besides the data."""


class AnswerSize:
    """The bytes of one answer, at most `max_bytes`."""

    def __init__(self, max_bytes: float | None = None) -> None:
        self._bytes = 0
        self._max_bytes = MAX_ANSWER_BYTES if max_bytes is None else max_bytes

    def add(self, size_bytes: int) -> None:
        """So many bytes more; RpcError if these are too many."""
        self._bytes += size_bytes
        if self._bytes > self._max_bytes:
            raise range_too_large(f"the answer is larger than {self._max_bytes} bytes")

    def add_transaction(self, transaction: Transaction, *, with_raw: bool = False) -> None:
        """A transaction, with its encoding where the pool shows it."""
        access_list = sum(ENTRY_BYTES + KEY_BYTES * len(keys) for _, keys in transaction.access_list)
        raw = 2 * len(transaction.raw) if with_raw else 0
        self.add(TRANSACTION_BYTES + 2 * len(transaction.data) + access_list + raw)

    def add_receipt(self, outcome: ReceiptRecord) -> None:
        """A receipt with its logs."""
        logs = sum(LOG_BYTES + 2 * len(log.data) for log in outcome.receipt.logs)
        self.add(RECEIPT_BYTES + 2 * len(outcome.revert_reason or b"") + logs)
