"""Bounded memories: what was heard and sent already, and what is for a height that has not begun.

Bounds in numbers of messages are Besu's defaults, those in bytes are ours. Every bound drops something: the text says
what.
"""

from collections import OrderedDict
from dataclasses import dataclass

from lacnode.consensus.events import MessageReceived
from lacnode.consensus.messages import Commit, Prepare, round_id_of
from lacnode.primitives.keccak import keccak256

MAX_FUTURE_BYTES = 64 * 1024 * 1024
"""Bytes of all messages for later heights together: their authors are not known to be validators."""

MAX_EARLY_ROUNDS = 8
"""Later rounds of the current height, per author, of which a prepare and a commit are kept."""


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

    @property
    def size(self) -> int:
        """Messages kept."""
        return sum(map(len, self._by_height.values()))

    def add(self, height: int, current: int, message: MessageReceived) -> None:
        """Keep `message` for `height` if that is near enough to the `current` one."""
        if self._limits.future_messages <= 0 or not current < height <= current + self._limits.future_distance:
            return
        self._by_height.setdefault(height, []).append(message)
        while self.size > self._limits.future_messages or self._bytes() > MAX_FUTURE_BYTES:
            self._drop()

    def take(self, height: int) -> list[MessageReceived]:
        """The messages for `height`, in the order they came; those for lower heights are forgotten."""
        messages = self._by_height.pop(height, [])
        self._by_height = {later: kept for later, kept in self._by_height.items() if later > height}
        return messages

    def _drop(self) -> None:
        highest = max(self._by_height)
        if len(self._by_height) > 1 or len(self._by_height[highest]) == 1:
            del self._by_height[highest]
        else:
            self._by_height[highest].pop(0)

    def _bytes(self) -> int:
        return sum(len(message.data) for messages in self._by_height.values() for message in messages)


class EarlyVotes:
    """Prepares and commits for later rounds of the current height, unjudged: the first of each kind per author and
    round. An author with too many rounds loses its lowest, which is the one least likely to come."""

    def __init__(self) -> None:
        self._by_author: dict[bytes, dict[int, dict[int, Prepare | Commit]]] = {}

    def keep(self, vote: Prepare | Commit) -> None:
        """Keep `vote` until its round begins."""
        rounds = self._by_author.setdefault(vote.signed.author, {})
        rounds.setdefault(round_id_of(vote).round, {}).setdefault(vote.code, vote)
        if len(rounds) > MAX_EARLY_ROUNDS:
            del rounds[min(rounds)]

    def take(self, number: int) -> list[Prepare | Commit]:
        """The votes for round `number`, which begins; those for rounds before it are forgotten."""
        votes = [vote for rounds in self._by_author.values() for vote in rounds.get(number, {}).values()]
        for author, rounds in self._by_author.items():
            self._by_author[author] = {later: kept for later, kept in rounds.items() if later > number}
        return votes
