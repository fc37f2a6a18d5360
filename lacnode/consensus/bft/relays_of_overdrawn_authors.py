"""What other validators relay of an author that has used up its share of the processor. Most of it is dropped.

What such an author sends itself waits in its own queue. What others relay of it is in their queues and cannot wait there:
their own votes come after it. So several faulty authors could use up one more share through each relay. Read is only the
first valid message of each kind for a round: a correct author without a direct connection signs no more. Must not measure
time.
"""

from collections import Counter

from lacnode.consensus.bft.effects import Effect, RelayIsFree, WriteLogLine
from lacnode.consensus.bft.messages import Message, MessageEnvelope, round_id_of
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.relay_shares import MAX_RELAYED_MESSAGES_IN_ONE_ROUND

NEAR_ROUNDS = 4
"""Rounds of which a message of each kind is read, from the current one on. All later rounds share one message of each kind.
A correct author may be some rounds ahead of this node, and asks for one round after the other."""

_FAR_ROUNDS = -1


class RelaysOfOverdrawnAuthors:
    """Counts what each peer relays of authors that have used up their share of processor time, and says which of it is
    read. The counts are for one round of this node. The shares themselves are in `validator.event_queue`. Addresses
    have 20 bytes.

    Peers and authors are validators of the height, so the memory is bounded.
    """

    def __init__(self) -> None:
        self._round = 0
        self._relayed: set[tuple[bytes, MessageKind, int]] = set()
        self._dropped: Counter[tuple[bytes, bytes]] = Counter()

    def start_round(self, number: int) -> None:
        """Set the round in which this node is. If it is another one than before, forget which messages were relayed and
        dropped."""
        if number != self._round:
            self.start_height()
            self._round = number

    def start_height(self) -> None:
        """Begin a new height: forget which messages were relayed and dropped. The shares of processor time stay as they
        are."""
        self._relayed.clear()
        self._dropped.clear()

    def is_needed(self, sender: bytes, envelope: MessageEnvelope, author: bytes) -> bool:
        """Whether a message that `sender` delivers is read although `author` has used up its share (20-byte addresses).
        True if the author delivers the message itself, and as long as no peer has relayed a valid message of the same
        author, kind and round. Rounds from `NEAR_ROUNDS` ahead on count as one. False for a relayed message of an earlier
        round. Raises RlpError if the message has no round.
        """
        round_ = envelope.round_id.round
        is_first = round_ >= self._round and (author, envelope.kind, self._counted(round_)) not in self._relayed
        return sender == author or is_first

    def record_valid(self, sender: bytes, message: Message) -> None:
        """Record that `sender` (20-byte address) delivered a valid message: further ones of its kind by its author for
        this round are not needed. Nothing if the author is the sender, or if the message is of an earlier round.
        """
        author, round_ = message.signed.author, round_id_of(message).round
        # An old message does not count. A faulty validator could deliver it again to keep out the new one.
        if sender != author and round_ >= self._round:
            self._relayed.add((author, message.kind, self._counted(round_)))

    def count_dropped(self, sender: bytes, author: bytes) -> list[Effect]:
        """Count a message of `author` that `sender` delivered and that is not read. Return the effects: a log line, and
        `RelayIsFree` unless this sender delivered too many in this round. Both are 20-byte addresses.
        """
        text = f"0x{author.hex()} has used up its share of the time for messages. What others relay of it is dropped"
        dropped: list[Effect] = [WriteLogLine("share-used-up", text, author)]
        self._dropped[sender, author] += 1
        # A correct validator relays no more. One that delivers more pays: its messages wait.
        if self._dropped[sender, author] <= MAX_RELAYED_MESSAGES_IN_ONE_ROUND:
            dropped.append(RelayIsFree())
        return dropped

    def _counted(self, round_: int) -> int:
        return round_ if round_ < self._round + NEAR_ROUNDS else _FAR_ROUNDS
