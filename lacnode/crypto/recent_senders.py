"""Senders of transactions by transaction hash. A sender is recovered when its transaction arrives, and not again when a
block contains the transaction.

The hash covers the signature. An entry therefore never becomes wrong, and several nodes of one process may share it.
"""

import threading
from collections.abc import Iterable

MAX_SENDERS = 32_768
"""Senders that are remembered. They take about 7 MB."""


class RecentSenders:
    """The senders (20-byte addresses) of the `max_senders` transactions that were added last, by transaction hash. They
    are in memory only. Safe to use from any thread."""

    def __init__(self, max_senders: int = MAX_SENDERS) -> None:
        self._max_senders = max_senders
        self._lock = threading.Lock()
        self._senders: dict[bytes, bytes] = {}

    def get(self, transaction_hash: bytes) -> bytes | None:
        """Return the sender's 20-byte address for a 32-byte transaction hash, None if it is not remembered."""
        # Without the lock: one reading of a dictionary is atomic, and this is on the path of every transaction.
        return self._senders.get(transaction_hash)

    def get_all(self, transaction_hashes: Iterable[bytes]) -> list[bytes | None]:
        """Return what `get` returns for each of `transaction_hashes` (32 bytes each), in their order."""
        return list(map(self._senders.get, transaction_hashes))

    def add(self, transaction_hash: bytes, sender: bytes) -> None:
        """Remember `sender` (20 bytes) for `transaction_hash` (32 bytes). Above the limit, the entry that was added
        first is forgotten."""
        with self._lock:
            self._senders[transaction_hash] = sender
            # Under the lock: two threads could otherwise delete the same oldest entry, and the second would fail.
            if len(self._senders) > self._max_senders:
                del self._senders[next(iter(self._senders))]
