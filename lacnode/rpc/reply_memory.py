"""How much memory the replies of unfinished batches take, over all connections of a node.

A batch waits for its turns while others run, and keeps the replies that it has until the last one. Safe to use from several
threads.
"""

import threading

UNFINISHED_BYTES = 24 * 2**20
"""What the replies of all unfinished batches may take. Beyond that, the calls that are left in them are refused."""


class ReplyMemory:
    """The bytes of replies that are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept_bytes = 0

    def keep(self, size: int) -> None:
        """So many more bytes are kept; or fewer, if `size` is negative."""
        with self._lock:
            self._kept_bytes += size

    @property
    def is_full(self) -> bool:
        """Whether no more should be kept."""
        return self._kept_bytes > UNFINISHED_BYTES
