"""Bounded memories of messages: those received and sent, and those for a height or a round that has not started.

Bounds in numbers of messages are Besu's defaults. Bounds in bytes are ours. Beyond a bound something is dropped, and each
class says what.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from lacnode.consensus.bft.events import MessageReceived
from lacnode.consensus.bft.messages import Commit, Prepare, round_id_of

MAX_FUTURE_BYTES = 32 * 1024 * 1024
"""Bytes of all messages for later heights together. Their authors are not known to be validators."""

MAX_EARLY_ROUNDS = 8
"""Later rounds of the current height of which a prepare and a commit are kept, for each author."""


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """How many relayed payloads are remembered (`gossiped_history`), how many received messages are remembered
    (`duplicate_messages`), how many messages for later heights are kept (`future_messages`), and for how many heights above
    the current one (`future_distance`). The genesis has the keys `gossipedhistorylimit`, `duplicatemessagelimit`,
    `futuremessageslimit` and `futuremessagesmaxdistance`."""

    gossiped_history: int = 1000
    duplicate_messages: int = 100
    future_messages: int = 1000
    future_distance: int = 10


class MessageTracker:
    """Remembers the last `limit` messages by the Keccak-256 hash of their bytes. The oldest is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._hashes: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, hash_: bytes) -> bool:
        return hash_ in self._hashes

    def add(self, hash_: bytes) -> bool:
        """Remember a message by its hash (32 bytes). Return True if it is new, False if it is remembered already."""
        if hash_ in self._hashes:
            return False
        self._hashes[hash_] = None
        # The order is that of arrival, not of use: a message that is sent again and again is forgotten like the others.
        if len(self._hashes) > self._limit:
            self._hashes.popitem(last=False)
        return True


class FutureMessageBuffer:
    """Messages for later heights (Besu's `FutureMessageBuffer`), each once from each peer that delivered it.

    The validators of a later height are not known yet, so the bounds are shared between the delivering peers. Beyond a
    bound, the peer with the most messages or bytes loses its newest message for its highest height. Besu drops all
    messages of the highest height, so one peer can empty Besu's buffer.
    """

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._kept: dict[tuple[bytes, bytes], tuple[int, MessageReceived]] = {}
        """The height and the message, by the peer and the hash of the message, in the order of arrival."""
        self._counts: Counter[bytes] = Counter()
        self._bytes: Counter[bytes] = Counter()

    @property
    def size(self) -> int:
        """The number of messages of all peers."""
        return len(self._kept)

    def add(self, height: int, current: int, hash_: bytes, message: MessageReceived) -> None:
        """Keep `message`, whose bytes have the hash `hash_` (32 bytes), if `height` is above the `current` height by at most
        `MessageLimits.future_distance`. Otherwise `message` is dropped without an error. A further copy from the same peer
        is dropped, too. Beyond a bound on all messages, `message` or another one is dropped (see the class).
        """
        # The distance bounds what a peer can claim: a message for a height far away would wait for days.
        if self._limits.future_messages <= 0 or not current < height <= current + self._limits.future_distance:
            return
        # The sender is a part of the key. A forged copy that one peer delivers must not keep out the copy of another.
        key = message.sender, hash_
        if key in self._kept:
            return
        self._kept[key] = height, message
        self._counts[message.sender] += 1
        self._bytes[message.sender] += len(message.data)
        # Two bounds, because many small messages cost entries and few large ones cost bytes.
        while self.size > self._limits.future_messages:
            self._drop_newest_of(max(self._counts, key=self._counts.__getitem__))
        while self._bytes.total() > MAX_FUTURE_BYTES:
            self._drop_newest_of(max(self._bytes, key=self._bytes.__getitem__))

    def pop_for_height(self, height: int) -> list[MessageReceived]:
        """Remove and return the messages for `height`, which starts, in the order of arrival. Those for lower heights
        are deleted and not returned."""
        # Lower heights are passed by synchronisation. Their messages would stay in the buffer forever.
        messages = [message for kept, message in self._kept.values() if kept == height]
        for key in [key for key, (kept, _) in self._kept.items() if kept <= height]:
            self._drop(key)
        return messages

    def drop_messages_of(self, sender: bytes) -> None:
        """Drop the messages that the peer at this address (20 bytes) delivered. Their authors do not matter."""
        for key in [key for key in self._kept if key[0] == sender]:
            self._drop(key)

    def _drop_newest_of(self, sender: bytes) -> None:
        # The newest message for the highest height is the least useful one: its height is the last to come.
        keys = [key for key in reversed(self._kept) if key[0] == sender]
        self._drop(max(keys, key=lambda key: self._kept[key][0]))

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        _, message = self._kept.pop(key)
        sender = message.sender
        self._counts[sender] -= 1
        self._bytes[sender] -= len(message.data)
        # A peer without messages must leave the counters. They would grow with each peer that ever connected.
        if not self._counts[sender]:
            del self._counts[sender], self._bytes[sender]


class LaterRoundVotes:
    """Prepares and commits for later rounds of the current height, without a check.

    The first of each kind is kept for each author and round. An author with too many rounds loses its lowest round,
    because a round that the others have passed is the least likely to come.
    """

    def __init__(self) -> None:
        self._by_author: dict[bytes, dict[int, dict[int, Prepare | Commit]]] = {}

    def add(self, vote: Prepare | Commit) -> None:
        """Keep `vote` until its round starts. A second one of the same kind, author and round is ignored. Beyond
        `MAX_EARLY_ROUNDS` rounds of the author, the lowest one is dropped, also if it is that of `vote`.
        """
        rounds = self._by_author.setdefault(vote.signed.author, {})
        # The author is known to be a validator, so the number of authors is bounded by the validators.
        rounds.setdefault(round_id_of(vote).round, {}).setdefault(vote.kind, vote)
        # The rounds of one author count together: an absurd round number takes the place of one of its own votes only.
        if len(rounds) > MAX_EARLY_ROUNDS:
            del rounds[min(rounds)]

    def pop_for_round(self, number: int) -> list[Prepare | Commit]:
        """Remove and return the votes for round `number`, which starts. Votes for earlier rounds are deleted and not
        returned. Empty if there is none for this round."""
        votes = [vote for rounds in self._by_author.values() for vote in rounds.get(number, {}).values()]
        for author, rounds in self._by_author.items():
            self._by_author[author] = {later: kept for later, kept in rounds.items() if later > number}
        return votes
