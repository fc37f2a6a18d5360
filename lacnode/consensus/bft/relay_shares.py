"""How much is relayed of each author at one height, so that one validator cannot use the bandwidth of all others.

Each pair of an author and the validator that delivers its messages has a share of its own. A peer that changes the
unsigned part of a message uses up its own share, not the share of the author. The messages of one author also have a
bound for each round of this node, from all peers together. Must not decide which messages are worth relaying.
"""

from collections import Counter
from dataclasses import dataclass, field

MAX_RELAYED_MESSAGES, MAX_RELAYED_INDIRECT_MESSAGES = 256, 64
"""Messages of one author that are relayed: those that the author sent itself at one height, and those that one other
validator relayed for one round. All peers that are not validators count as one. A correct validator sends four messages a
round, and rounds double in length."""

MAX_RELAYED_MESSAGES_IN_ONE_ROUND = 128
"""Messages of one author that are relayed while this node is in one round, from all validators together. It is also
what a relay may deliver of an author that has used up its share. The receiver drops it, which takes 0.1 ms for each."""

MAX_RELAYED_BYTES = 64 * 1024 * 1024
"""Bytes of the messages that the author sent itself, at one height. The message that reaches the bound is still relayed.
The largest ones have 16 MiB."""

MAX_RELAYED_INDIRECT_BYTES = 16 * 1024 * 1024
"""Bytes of the messages of one author that one other validator relayed, for one round. A failed round with a prepared block
costs the bytes of that block twice, in a round change and in a proposal. With one bound for all rounds of a height, a few
failed rounds would end the relaying, and validators without a direct connection would not agree again."""

MAX_RELAYED_ROUNDS = 10
"""Rounds with a bound of their own, from the current one on. All other rounds share one bound."""

_OTHER_ROUNDS = -1


@dataclass(slots=True)
class _Share:
    """What one validator delivered of one author: messages and bytes at this height, and both by round."""

    messages: int = 0
    bytes: int = 0
    messages_of_round: Counter[int] = field(default_factory=Counter)
    bytes_of_round: Counter[int] = field(default_factory=Counter)


class RelayShares:
    """Counts the messages and bytes of each author that were relayed at one height, by the peer that delivered them, and
    says whether a further message may be relayed."""

    def __init__(self) -> None:
        self._shares: dict[tuple[bytes | None, bytes], _Share] = {}
        self._round = 0
        self._relayed_in_round: Counter[bytes] = Counter()
        """The messages of each author that were relayed since this node entered round `_round`."""

    def clear(self) -> None:
        """Set all counts to 0, because a new height begins."""
        self._shares.clear()
        self._relayed_in_round.clear()

    def may_relay(self, sender: bytes | None, author: bytes, round_: int, current_round: int) -> bool:
        """Whether another message of `author` for `round_` may be relayed that `sender` delivered, by what was counted
        before.

        Addresses have 20 bytes. `sender` is None for a peer that is not a validator. `current_round` is the round of
        this node. Nothing is counted here: `count_relayed` does that.
        """
        if self._count_in_round(current_round)[author] >= MAX_RELAYED_MESSAGES_IN_ONE_ROUND:
            return False
        share = self._shares.get((sender, author), _Share())
        if sender == author:
            return share.messages < MAX_RELAYED_MESSAGES and share.bytes < MAX_RELAYED_BYTES
        counted = _counted_round(round_, current_round)
        has_messages_left = share.messages_of_round[counted] < MAX_RELAYED_INDIRECT_MESSAGES
        return has_messages_left and share.bytes_of_round[counted] < MAX_RELAYED_INDIRECT_BYTES

    def count_relayed(
        self, sender: bytes | None, author: bytes, round_: int, current_round: int, length_bytes: int
    ) -> None:
        """Count a message that is relayed. The arguments are those of `may_relay`. `length_bytes` is the length of the
        message.
        """
        share = self._shares.setdefault((sender, author), _Share())
        share.messages += 1
        share.bytes += length_bytes
        # Rounds that were left share the bound of all other rounds from now on. So the number of counters is bounded.
        for left in [number for number in share.bytes_of_round if _OTHER_ROUNDS < number < current_round]:
            del share.bytes_of_round[left], share.messages_of_round[left]
        counted = _counted_round(round_, current_round)
        share.messages_of_round[counted] += 1
        share.bytes_of_round[counted] += length_bytes
        self._count_in_round(current_round)[author] += 1

    def _count_in_round(self, current_round: int) -> Counter[bytes]:
        if current_round != self._round:
            self._round = current_round
            self._relayed_in_round.clear()
        return self._relayed_in_round


def _counted_round(round_: int, current_round: int) -> int:
    return round_ if current_round <= round_ < current_round + MAX_RELAYED_ROUNDS else _OTHER_ROUNDS
