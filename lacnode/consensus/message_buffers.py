"""Bounded memories: what was heard and sent already, and what is for a height that has not begun.

Bounds in numbers of messages are Besu's defaults, those in bytes are ours. Every bound drops something: the text says
what.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from lacnode.consensus.events import MessageReceived
from lacnode.consensus.ibft_messages import Commit, Prepare, round_id_of

MAX_FUTURE_BYTES = 32 * 1024 * 1024
"""Bytes of all messages for later heights together: their authors are not known to be validators."""

MAX_EARLY_ROUNDS = 8
"""Later rounds of the current height, per author, of which a prepare and a commit are kept."""


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Genesis keys `gossipedhistorylimit`, `duplicatemessagelimit`, `futuremessageslimit`,
    `futuremessagesmaxdistance`: numbers of messages, and of heights."""

    gossiped_history: int = 1000
    duplicate_messages: int = 100
    future_messages: int = 1000
    future_distance: int = 10


class MessageTracker:
    """Remembers the last `limit` messages by the Keccak-256 hash of their bytes; the oldest is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._hashes: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, hash_: bytes) -> bool:
        return hash_ in self._hashes

    def add(self, hash_: bytes) -> bool:
        """Remember a message; False if it was remembered already."""
        if hash_ in self._hashes:
            return False
        self._hashes[hash_] = None
        if len(self._hashes) > self._limit:
            self._hashes.popitem(last=False)
        return True


class FutureMessageBuffer:
    """Messages for heights to come (Besu's `FutureMessageBuffer`), each once from each peer that brought it.

    Who signed them is not known yet, so the bounds are shared out by the peers that brought them: when there are too
    many messages or bytes, the peer that brought the most loses its newest message for its highest height. Besu drops
    the whole highest height, so that one peer can empty the buffer.
    """

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._kept: dict[tuple[bytes, bytes], tuple[int, MessageReceived]] = {}
        """By the peer and the hash of the message, in the order of arrival: the height and the message."""
        self._counts: Counter[bytes] = Counter()
        self._bytes: Counter[bytes] = Counter()

    @property
    def size(self) -> int:
        """Messages kept."""
        return len(self._kept)

    def add(self, height: int, current: int, hash_: bytes, message: MessageReceived) -> None:
        """Keep `message`, whose bytes have that hash, for `height` if that is near enough to the `current` one."""
        if self._limits.future_messages <= 0 or not current < height <= current + self._limits.future_distance:
            return
        key = message.sender, hash_
        if key in self._kept:
            return
        self._kept[key] = height, message
        self._counts[message.sender] += 1
        self._bytes[message.sender] += len(message.data)
        while self.size > self._limits.future_messages:
            self._drop_newest_of(max(self._counts, key=self._counts.__getitem__))
        while self._bytes.total() > MAX_FUTURE_BYTES:
            self._drop_newest_of(max(self._bytes, key=self._bytes.__getitem__))

    def pop_up_to(self, height: int) -> list[MessageReceived]:
        """The messages for `height`, in the order they came; those for lower heights are forgotten."""
        messages = [message for kept, message in self._kept.values() if kept == height]
        for key in [key for key, (kept, _) in self._kept.items() if kept <= height]:
            self._drop(key)
        return messages

    def _drop_newest_of(self, sender: bytes) -> None:
        keys = [key for key in reversed(self._kept) if key[0] == sender]
        self._drop(max(keys, key=lambda key: self._kept[key][0]))

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        _, message = self._kept.pop(key)
        sender = message.sender
        self._counts[sender] -= 1
        self._bytes[sender] -= len(message.data)
        if not self._counts[sender]:
            del self._counts[sender], self._bytes[sender]


class LaterRoundVotes:
    """Prepares and commits for later rounds of the current height, unjudged: the first of each kind per author and
    round. An author with too many rounds loses its lowest, which is the one least likely to come."""

    def __init__(self) -> None:
        self._by_author: dict[bytes, dict[int, dict[int, Prepare | Commit]]] = {}

    def add(self, vote: Prepare | Commit) -> None:
        """Keep `vote` until its round begins."""
        rounds = self._by_author.setdefault(vote.signed.author, {})
        rounds.setdefault(round_id_of(vote).round, {}).setdefault(vote.code, vote)
        if len(rounds) > MAX_EARLY_ROUNDS:
            del rounds[min(rounds)]

    def pop_up_to(self, number: int) -> list[Prepare | Commit]:
        """The votes for round `number`, which begins; those for rounds before it are forgotten."""
        votes = [vote for rounds in self._by_author.values() for vote in rounds.get(number, {}).values()]
        for author, rounds in self._by_author.items():
            self._by_author[author] = {later: kept for later, kept in rounds.items() if later > number}
        return votes
