"""The size of an answer, counted while the answer is made. An answer that is too large is refused before it takes memory.

The largest answers are the receipts and the transactions of a full block. Besu has no such bound.
"""

from lacnode.chain.receipt_record import ReceiptRecord
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import range_too_large

MAX_ANSWER_BYTES = 24 * 2**20
"""Bytes of the JSON text of one answer."""

TRANSACTION_BYTES, ENTRY_BYTES, KEY_BYTES = 900, 90, 70
"""Estimated bytes of JSON text for a transaction, for an entry of its access list and for a storage key. Data comes on
top."""

RECEIPT_BYTES, LOG_BYTES = 1_300, 600
"""Estimated bytes of JSON text for a receipt and for a log. Data comes on top."""


class AnswerSize:
    """Counts the estimated bytes of the JSON text of one answer. `max_bytes` is the bound: None for `MAX_ANSWER_BYTES`,
    `math.inf` for no bound."""

    def __init__(self, max_bytes: float | None = None) -> None:
        self._bytes = 0
        self._max_bytes = MAX_ANSWER_BYTES if max_bytes is None else max_bytes

    @property
    def bytes_left(self) -> int:
        """The bytes that may still be added: from 0 to `MAX_ANSWER_BYTES`."""
        return max(0, min(int(min(self._max_bytes, MAX_ANSWER_BYTES)) - self._bytes, MAX_ANSWER_BYTES))

    def add(self, size_bytes: int) -> None:
        """Add `size_bytes` to the count. RpcError (`range_too_large`) if the answer becomes larger than `max_bytes`."""
        self._bytes += size_bytes
        if self._bytes > self._max_bytes:
            raise range_too_large(f"the answer is larger than {self._max_bytes} bytes")

    def add_transaction(self, transaction: Transaction, *, with_raw: bool = False) -> None:
        """Add the estimated bytes of a transaction in JSON to the count. `with_raw` adds its encoding, which the pool's
        methods show. RpcError (`range_too_large`) if the answer becomes larger than `max_bytes`."""
        access_list = sum(ENTRY_BYTES + KEY_BYTES * len(keys) for _, keys in transaction.access_list)
        # Each byte of data becomes two hexadecimal digits. This holds for the sizes below too.
        raw = 2 * len(transaction.raw) if with_raw else 0
        self.add(TRANSACTION_BYTES + 2 * len(transaction.data) + access_list + raw)

    def add_receipt(self, outcome: ReceiptRecord) -> None:
        """Add the estimated bytes of the receipt of `outcome`, with its logs and its reason of a revert, in JSON to the
        count. RpcError (`range_too_large`) if the answer becomes larger than `max_bytes`."""
        logs = sum(LOG_BYTES + 2 * len(log.data) for log in outcome.receipt.logs)
        self.add(RECEIPT_BYTES + 2 * len(outcome.revert_reason or b"") + logs)
