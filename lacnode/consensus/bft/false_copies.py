"""Copies of messages with a false part, which a peer can make of one message without end.

The author of a message signs neither the block beside the payload nor what justifies it. In QBFT it signs the
block of a proposal. Must not compare the parts: `unsigned_content` and the rules of messages do.
"""

from collections import Counter

from lacnode.consensus.bft.effects import BlamePeer, Effect, WriteLogLine
from lacnode.consensus.bft.events import MessageReceived
from lacnode.consensus.bft.messages import MessageEnvelope
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.unsigned_content import FalseCopyError

MAX_FALSE_COPIES = 3
"""Messages of one other author with a false or malformed part that one peer may deliver at one height. After that, proposals
and round changes of that author that it relays are dropped before they are decoded: it could make any number of copies of
one. What it relays of other authors is read: Besu relays before it checks, so the author may have made the false part."""


class FalseCopies:
    """Counts the false copies that each peer has delivered of each author at one height. Peers and authors are validators of
    the height, so the memory is bounded. Addresses have 20 bytes."""

    def __init__(self) -> None:
        self._of_peers: Counter[tuple[bytes, bytes]] = Counter()

    def clear(self) -> None:
        """Set all counts to 0, because a new height begins."""
        self._of_peers.clear()

    def count_false_copy(self, sender: bytes, author: bytes) -> None:
        """Count a message of `author` with a false or malformed part that `sender` delivered. Each pair of a sender and
        an author has a count of its own. Nothing is counted if `sender` is the author. Both are 20-byte addresses.
        """
        self._of_peers[sender, author] += author != sender

    def must_drop_copy(self, sender: bytes, envelope: MessageEnvelope, author: bytes) -> bool:
        """Return True if a message must be dropped: it is a proposal or a round change of `author` that another validator,
        `sender`, relays, and `sender` has delivered `MAX_FALSE_COPIES` false messages of this author at this height
        before. Both are 20-byte addresses. False for prepares and commits.
        """
        # All of a prepare or a commit is signed. So the votes that the peer relays count on.
        has_unsigned_parts = envelope.kind in (MessageKind.PROPOSAL, MessageKind.ROUND_CHANGE)
        return has_unsigned_parts and author != sender and self._of_peers[sender, author] >= MAX_FALSE_COPIES


def effects_of_false_copy(event: MessageReceived, author: bytes, mismatch: FalseCopyError) -> list[Effect]:
    """Return the effects of a message that does not have the block that its author signed for: a log line, and blame if
    the author itself delivered the message. Another peer that delivered it is not blamed: Besu relays before it
    compares. The author may still deliver the true one.

    The message is not relayed: validators that got it from this node would take this node for the forger. `author` has
    20 bytes.
    """
    text = f"a false block of 0x{author.hex()} came from 0x{event.sender.hex()}: {mismatch}"
    effects: list[Effect] = [WriteLogLine("false-block", text, event.sender)]
    if author == event.sender:
        # Only the author is to blame. A relaying Besu validator does not compare the block with the signed digest.
        effects.append(BlamePeer(event.sender, f"a message that it signed has a false block: {mismatch}"))
    return effects
