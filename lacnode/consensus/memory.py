"""Bounded memories: what was heard and sent already, and what is for a height that has not begun.

Every bound is Besu's default, and every bound drops something: the text says what.
"""

from collections import OrderedDict
from dataclasses import dataclass

from lacnode.consensus.events import MessageReceived
from lacnode.primitives.keccak import keccak256


@dataclass(frozen=True, slots=True)
class Limits:
    """Genesis keys `gossipedhistorylimit`, `duplicatemessagelimit`, `futuremessageslimit`,
    `futuremessagesmaxdistance`: numbers of messages, and of heights."""

    gossiped_history: int = 1000
    duplicate_messages: int = 100
    future_messages: int = 1000
    future_distance: int = 10


class SeenMessages:
    """Remembers the last `limit` messages by hash; the oldest is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._hashes: OrderedDict[bytes, None] = OrderedDict()

    def add(self, data: bytes) -> bool:
        """Remember a message; False if it was remembered already."""
        hash_ = keccak256(data)
        if hash_ in self._hashes:
            return False
        self._hashes[hash_] = None
        if len(self._hashes) > self._limit:
            self._hashes.popitem(last=False)
        return True


class FutureMessages:
    """Messages for heights to come (Besu's `FutureMessageBuffer`).

    When there are too many, the highest height goes whole; if only one height is left, its oldest message goes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_height: dict[int, list[MessageReceived]] = {}

    def add(self, height: int, current: int, message: MessageReceived) -> None:
        """Keep `message` for `height` if that is near enough to the `current` one."""
        if self._limits.future_messages <= 0 or not current < height <= current + self._limits.future_distance:
            return
        self._by_height.setdefault(height, []).append(message)
        if sum(map(len, self._by_height.values())) > self._limits.future_messages:
            highest = max(self._by_height)
            if len(self._by_height) > 1:
                del self._by_height[highest]
            else:
                self._by_height[highest].pop(0)

    def take(self, height: int) -> list[MessageReceived]:
        """The messages for `height`, in the order they came; those for lower heights are forgotten."""
        messages = self._by_height.pop(height, [])
        self._by_height = {later: kept for later, kept in self._by_height.items() if later > height}
        return messages
