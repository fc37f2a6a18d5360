"""The outputs of REVERT of one block's transactions.

They are in no header and no receipt of Ethereum: a node may leave some out. The receipts that RPC shows may have them.
"""

MAX_BLOCK_REASON_BYTES = 4 * 2**20
"""Bytes of all of them in one block. Gas bounds them at several hundred megabytes for LACChain's blocks: ten thousand
transactions of 64 KiB each."""


class RevertReasons:
    """The outputs of a block's transactions, in order. One that does not fit within `MAX_BLOCK_REASON_BYTES` is left out."""

    def __init__(self) -> None:
        self._reasons: list[bytes | None] = []
        self._bytes_left = MAX_BLOCK_REASON_BYTES

    def add(self, reason: bytes | None) -> None:
        """Add the output of the next transaction, which may be empty. None if it did not revert. An output that does
        not fit becomes None."""
        length = len(reason or b"")
        fits = length <= self._bytes_left
        self._bytes_left -= length if fits else 0
        self._reasons.append(reason if fits else None)

    def add_all(self, reasons: list[bytes | None]) -> None:
        """Add the outputs of the next transactions, in the order of the list, each as `add` does."""
        # Most transactions do not revert.
        if reasons.count(None) == len(reasons):
            self._reasons += reasons
            return
        for reason in reasons:
            self.add(reason)

    def as_tuple(self) -> tuple[bytes | None, ...]:
        """Return an entry for each added transaction, in order. None for one that did not revert, or whose output was
        left out."""
        return tuple(self._reasons)
