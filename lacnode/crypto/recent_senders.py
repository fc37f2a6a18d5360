"""Senders of transactions by transaction hash. Each is recovered when it comes, and not again for a block that has it.

The hash covers the signature, so that nothing here goes stale, and several nodes of one process may share it.
"""

import threading

MAX_SENDERS = 32_768
"""Senders that are remembered: about 7 MB."""


class RecentSenders:
    """The senders kept last. Safe from any thread."""

    def __init__(self, max_senders: int = MAX_SENDERS) -> None:
        self._max_senders = max_senders
        self._lock = threading.Lock()
        self._senders: dict[bytes, bytes] = {}

    def get(self, transaction_hash: bytes) -> bytes | None:
        """The sender's 20-byte address, None where it is not remembered."""
        return self._senders.get(transaction_hash)

    def keep(self, transaction_hash: bytes, sender: bytes) -> None:
        """Remember `sender`. The oldest one is forgotten where there are too many."""
        with self._lock:
            self._senders[transaction_hash] = sender
            if len(self._senders) > self._max_senders:
                del self._senders[next(iter(self._senders))]
