"""The transactions that wait in spite of a block on demand. Must not make empty blocks without an end for them."""


class LeftOutTransactions:
    """Remembers the transactions (by hash) that waited before the last block on demand and after it.

    The next validator may have what the last one had not received yet. So each validator may try once to fill a block
    with them.
    """

    def __init__(self) -> None:
        self._hashes: frozenset[bytes] = frozenset()
        self._turns_left = 0

    def record(self, hashes: frozenset[bytes], turns: int) -> None:
        """Record that a block left out the transactions with these hashes (32 bytes). `turns` is the number of nodes
        that may be validators. Once `turns` blocks in a row have left out the same transactions, no other block is made
        for them."""
        self._turns_left = self._turns_left - 1 if hashes == self._hashes else turns - 1
        self._hashes = hashes

    def may_be_in_another_block(self, waiting: frozenset[bytes]) -> bool:
        """Return whether one of the transactions that wait (hashes of 32 bytes) may be in the next block. False if none
        waits, or if exactly these were left out by as many blocks as `record` allows."""
        # Every validator left all of them out. Until the pool changes, another block would be empty too.
        return bool(waiting) and (waiting != self._hashes or self._turns_left > 0)
