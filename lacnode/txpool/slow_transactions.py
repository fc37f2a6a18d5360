"""Transactions whose execution took too long for a block, and their senders: after how many tries one is dropped, and how
long it is refused.

The pool drops such a transaction. Other pools and its sender still have it. Without this memory it would come back and cost
the next block as much. This class has no lock of its own.
"""

from collections import OrderedDict
from typing import TypeVar

V = TypeVar("V")

MAX_REMEMBERED_HASHES = 4096
MAX_REMEMBERED_SENDERS = 1024
"""Beyond these numbers, the entry that was recorded longest ago is removed."""

REFUSED_SECONDS = 600
"""How long a dropped transaction is refused."""

SENDER_LAST_SECONDS = 60
"""How long the transactions of its sender are offered after all others."""


MAX_TRIES = 5
"""Interruptions of a transaction before it is dropped, even if a busy machine was the cause."""


class SlowTransactions:
    """The memory of slow transactions. Times are in Unix seconds. It has no lock. It remembers at most
    `MAX_REMEMBERED_HASHES` transactions and `MAX_REMEMBERED_SENDERS` senders, and forgets the oldest first."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[bytes, float] = OrderedDict()
        self._tries: OrderedDict[bytes, int] = OrderedDict()
        self._senders: OrderedDict[bytes, float] = OrderedDict()

    def record_interruption(self, hash_: bytes, sender: bytes, now: float) -> int:
        """Record an interruption at `now` (Unix seconds) of the transaction with this hash (32 bytes) of `sender` (20-byte
        address). Return the number of its interruptions, this one included.

        `is_sender_slow` is then True for `SENDER_LAST_SECONDS`. The transaction is not refused by this.
        """
        _remember(self._senders, sender, now + SENDER_LAST_SECONDS, MAX_REMEMBERED_SENDERS)
        tries = self._tries.get(hash_, 0) + 1
        _remember(self._tries, hash_, tries, MAX_REMEMBERED_HASHES)
        return tries

    def record_drop(self, hash_: bytes, now: float) -> None:
        """Record that the pool dropped the transaction with this hash (32 bytes) at `now` (Unix seconds), because its
        execution took too much. It is refused for `REFUSED_SECONDS`."""
        # It is refused from now on, so its count is no longer needed.
        self._tries.pop(hash_, None)
        _remember(self._hashes, hash_, now + REFUSED_SECONDS, MAX_REMEMBERED_HASHES)

    def refused_seconds(self, hash_: bytes, now: float) -> float:
        """The seconds for which the transaction with this hash (32 bytes) is refused from `now` (Unix seconds) on.
        0 if it is not refused."""
        # Never longer than the whole time: the clock may have been set back.
        return min(max(0.0, self._hashes.get(hash_, now) - now), REFUSED_SECONDS)

    def is_sender_slow(self, sender: bytes, now: float) -> bool:
        """Whether a block builder gets the transactions of `sender` (20-byte address) after all others at `now` (Unix
        seconds): one of them was interrupted in the last `SENDER_LAST_SECONDS`. False for an unknown sender."""
        until = self._senders.get(sender)
        return until is not None and now < until


def _remember(memory: OrderedDict[bytes, V], key: bytes, value: V, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
