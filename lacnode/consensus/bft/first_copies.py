"""The signed payloads that were read at one height, so that the author pays for the first copy of each.

A correct validator relays what others sign. If it had to pay for that, a faulty validator could use up the time of all
others by messages of its own. A peer pays for every further copy, because it can make any number of them by changing the
unsigned part. Must not decide which messages are read.
"""

from lacnode.consensus.bft.message_buffers import MessageTracker

MAX_FIRST_COPIES = 256
"""Payloads that are remembered for each author. With one more, the oldest one of the author is forgotten."""


class FirstCopies:
    """The payloads of each author. Authors are validators, so their number is bounded."""

    def __init__(self) -> None:
        # Each author has a history of its own. With a common one, a validator could push out the payloads of another
        # one, deliver them again, and make it pay again.
        self._of_authors: dict[bytes, MessageTracker] = {}

    def clear(self) -> None:
        """Forget all copies, because a new height begins."""
        self._of_authors.clear()

    def add(self, author: bytes, payload_hash: bytes) -> bool:
        """Note that a payload with this signed hash (32 bytes) was read. Return whether it is the first copy."""
        return self._of_authors.setdefault(author, MessageTracker(MAX_FIRST_COPIES)).add(payload_hash)
