"""The memory of the replies of unfinished batches, counted over all connections of a node.

A batch waits for its turns while others run. It keeps its replies until the last one is made. Safe to use from several
threads.
"""

import threading

UNFINISHED_BYTES = 24 * 2**20
"""Bytes that the replies of all unfinished batches may take. If they take more, the remaining calls are refused."""


class ReplyMemory:
    """Counts the bytes of the replies in unfinished batches of all connections. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept_bytes = 0

    def add(self, size: int) -> None:
        """Add `size` bytes to the count. `size` is negative for bytes that are no longer kept."""
        with self._lock:
            self._kept_bytes += size

    @property
    def is_full(self) -> bool:
        """True if the replies in unfinished batches take more than `UNFINISHED_BYTES`. The caller then refuses the
        remaining calls of its batch. Nothing is refused here."""
        return self._kept_bytes > UNFINISHED_BYTES
