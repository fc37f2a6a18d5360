"""The head of a peer's chain, as far as its messages tell.

It is an estimate: a peer may send any number. Synchronisation finds out whether it is true.
"""

from lacnode.p2p.wire.eth_messages import Status


class PeerHead:
    """The head of a peer, as its messages claim it: nothing is verified here. `number` is its block number, `hash` its
    block hash (32 bytes), and `total_difficulty` the sum of difficulties up to it. At first they are those of `status`,
    and the number is the difficulty above `genesis_difficulty`, because each block adds 1."""

    def __init__(self, status: Status, genesis_difficulty: int) -> None:
        self.hash = status.best_hash
        self.total_difficulty = status.total_difficulty
        # Each IBFT block has difficulty 1. The number of the head is therefore the difficulty beyond that of the
        # genesis block. A peer may send any number, so it is cut.
        self.number = min(2**63, max(0, status.total_difficulty - genesis_difficulty))
        self._genesis_difficulty = genesis_difficulty

    def record_announcement(self, hash_: bytes, number: int) -> None:
        """Record that the peer has announced the block with this hash (32 bytes). It counts as the peer's head unless a
        higher number is known."""
        self.raise_to(number)
        if number >= self.number:
            self.hash = hash_

    def raise_to(self, number: int) -> None:
        """Record that the peer's chain has at least block `number`. Nothing if a higher one is known."""
        if number > self.number:
            self.number = number
            self.total_difficulty = max(self.total_difficulty, self._genesis_difficulty + number)

    def lower_to(self, number: int) -> None:
        """Lower the recorded number of the head to `number`, and the total difficulty with it, because the peer did not
        keep its claim of a higher one. Nothing if the number is lower already. The hash stays."""
        self.number = min(self.number, number)
        self.total_difficulty = min(self.total_difficulty, self._genesis_difficulty + number)
