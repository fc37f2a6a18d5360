"""The signed payloads that were read at one height, and who delivered them, so that the right validator pays for each copy.

A correct validator relays what others sign, each payload once. If it had to pay for that, a faulty validator could use up
the time of all others by messages of its own. So the author pays for the first copy that each peer delivers. A peer pays
for every further copy, because it can make any number of them by changing the unsigned part. It is not enough that the
author pays for the first copy of all: it can sign a payload any number of times, and give each relay other bytes. Must not
decide which messages are relayed.
"""

from collections import OrderedDict

from lacnode.consensus.bft.effects import ChargeTimeToAuthor, Effect

MAX_FIRST_COPIES = 256
"""Payloads that are remembered for each author. With one more, the oldest one of the author is forgotten."""


class FirstCopies:
    """The last `MAX_FIRST_COPIES` payloads of each author, with the peers that delivered them. Authors and peers are
    validators, so their number is bounded. Addresses have 20 bytes, and hashes 32."""

    def __init__(self) -> None:
        # Each author has a history of its own. With a common one, a validator could push out the payloads of another
        # one, deliver them again, and make it pay again.
        self._of_authors: dict[bytes, OrderedDict[bytes, set[bytes]]] = {}
        self._altered: dict[bytes, OrderedDict[bytes, None]] = {}

    def clear(self) -> None:
        """Forget all copies, because a new height begins."""
        self._of_authors.clear()
        self._altered.clear()

    def was_read(self, author: bytes, payload_hash: bytes, may_be_altered: bool) -> bool:
        """Return True if a message with this payload was read before and has passed its check, so that nothing is to be
        learnt from the present copy. Any peer may have delivered that message. `author` has 20 bytes, and `payload_hash`
        is what the author signed (32 bytes).

        `may_be_altered`: a peer may have changed the unsigned part of the present copy. Then a message that was noted
        by `record_altered` counts, too."""
        is_known = payload_hash in self._of_authors.get(author, ())
        return is_known or (may_be_altered and payload_hash in self._altered.get(author, ()))

    def record_altered(self, author: bytes, payload_hash: bytes) -> list[Effect]:
        """Record that a copy of the payload of `author` (20 bytes) with this signed hash (32 bytes) has passed its
        check, although a peer may have altered its unsigned part. Return an empty list, in the place of the effects of
        `charge`: the copy is not relayed, and no time is charged to its author. A later copy that was not altered still
        counts as the first one."""
        payloads = self._altered.setdefault(author, OrderedDict())
        payloads[payload_hash] = None
        if len(payloads) > MAX_FIRST_COPIES:
            payloads.popitem(last=False)
        return []

    def charge(self, author: bytes, payload_hash: bytes, sender: bytes) -> list[Effect]:
        """Record that `sender` delivered a copy of the payload of `author` with this signed hash (32 bytes). The copy
        has passed its check. Return the effect that charges the processor time of the copy to `author`. Empty if `sender`
        delivered a copy of this payload before, or if `sender` is the author. Addresses have 20 bytes."""
        payloads = self._of_authors.setdefault(author, OrderedDict())
        senders = payloads.setdefault(payload_hash, set())
        if sender in senders:
            return []
        senders.add(sender)
        if len(payloads) > MAX_FIRST_COPIES:
            payloads.popitem(last=False)
        return [ChargeTimeToAuthor(author)] if author != sender else []
