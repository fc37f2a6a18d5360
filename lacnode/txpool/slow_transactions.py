"""Transactions whose execution took longer than a block has time for, and their senders.

The pool drops such a transaction. It is in other nodes' pools, and its sender has it: without memory it would come back
and cost the next block as much. Holds no lock of its own.
"""

from collections import OrderedDict
from typing import TypeVar

V = TypeVar("V")

MAX_REMEMBERED_HASHES = 4096
MAX_REMEMBERED_SENDERS = 1024
"""Beyond these, what was remembered first is forgotten first."""

REFUSED_SECONDS = 600
"""How long a dropped transaction is refused."""

SENDER_LAST_SECONDS = 60
"""How long the transactions of its sender are offered after all others."""


MAX_TRIES = 5
"""Times that a transaction may be interrupted before it is dropped though a busy machine held it up."""


class SlowTransactions:
    """What took too long. Times are in seconds of any one clock."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[bytes, float] = OrderedDict()
        self._tries: OrderedDict[bytes, int] = OrderedDict()
        self._senders: OrderedDict[bytes, float] = OrderedDict()

    def interrupted(self, hash_: bytes, sender: bytes, now: float) -> int:
        """A transaction of `sender` was interrupted; how often it has been by now."""
        _remember(self._senders, sender, now + SENDER_LAST_SECONDS, MAX_REMEMBERED_SENDERS)
        tries = self._tries.get(hash_, 0) + 1
        _remember(self._tries, hash_, tries, MAX_REMEMBERED_HASHES)
        return tries

    def dropped(self, hash_: bytes, now: float) -> None:
        """The transaction with this hash was dropped for it."""
        self._tries.pop(hash_, None)
        _remember(self._hashes, hash_, now + REFUSED_SECONDS, MAX_REMEMBERED_HASHES)

    def refused_seconds(self, hash_: bytes, now: float) -> float:
        """For how long the transaction with this hash is refused from `now` on; 0 if it is not."""
        # Not longer than from the start: the clock may have been set back.
        return min(max(0.0, self._hashes.get(hash_, now) - now), REFUSED_SECONDS)

    def is_sender_slow(self, sender: bytes, now: float) -> bool:
        """Whether transactions of `sender` are offered after all others."""
        until = self._senders.get(sender)
        return until is not None and now < until


def _remember(memory: OrderedDict[bytes, V], key: bytes, value: V, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
