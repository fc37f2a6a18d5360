"""The messages of others in the current round, for a validator that connects.

Not all validators are connected to each other. A message that was relayed while a link was cut does not come again: its
author does not see the cut, and relays drop the copies that it sends later. So the validator at the healed link sends
what it received, once in each part of a round: a link that flaps must cost little. Must not store bytes. They are encoded
again from the messages that count.
"""

from collections.abc import Iterable

from lacnode.consensus.bft.effects import SendMessage
from lacnode.consensus.bft.messages import Commit, Message, Prepare, Proposal, RoundChange, has_block
from lacnode.consensus.bft.protocol import MessageCodec
from lacnode.consensus.bft.round import Round

MAX_BYTES_OF_OTHERS = 8 * 2**20
"""Bytes of the messages of others for one validator that connects. No more can wait to be relayed to it. The message that
reaches the bound is still sent."""


class MessagesOfOthers:
    """The messages of others in `round_`, kept to be sent to a validator that connects. `codec` is that of the protocol
    of this height."""

    def __init__(self, codec: MessageCodec, round_: Round) -> None:
        self._codec = codec
        self._round = round_
        self._proposal: Proposal | None = None
        self._sent_to: set[bytes] = set()

    def keep_proposal_for_sending(self, proposal: Proposal) -> None:
        """Keep `proposal`, the accepted one of the round, for `send_to`, which sends it to validators that connect. One
        of this node may be given too: `send_to` leaves it out."""
        self._proposal = proposal

    def allow_sending_again(self) -> None:
        """Forget to which validators the messages were sent. From now on `send_to` sends them once more to each
        validator that connects. A validator that stays connected gets none of them again. Call it after each part of a
        long round (`RoundTimers.next_part_timer`). No message is forgotten, and none is sent here."""
        self._sent_to.clear()

    def send_to(self, address: bytes, own_address: bytes, round_changes: Iterable[RoundChange]) -> list[SendMessage]:
        """Return the effects that send the messages of others to the validator at `address`, without those of that
        validator and without those of this node, which is at `own_address` (20-byte addresses). `round_changes` are
        those of the highest round of each author.

        Empty if `send_to` was called for this validator in this part of the round, or if there is no such message. The
        message that reaches `MAX_BYTES_OF_OTHERS` is the last one.
        """
        if address in self._sent_to:
            return []
        self._sent_to.add(address)
        # The proposal comes first. The receiver can then check the votes at once.
        received: list[Message] = [] if self._proposal is None else [self._proposal]
        received += map(Prepare, self._round.prepares.values())
        received += map(Commit, self._round.commits.values())
        # Round changes with a block come last: a few of them may reach the bound.
        received += sorted(round_changes, key=has_block)
        effects: list[SendMessage] = []
        left_bytes = MAX_BYTES_OF_OTHERS
        for message in received:
            if message.signed.author not in (address, own_address) and left_bytes > 0:
                effects.append(self._send(message, address))
                left_bytes -= len(effects[-1].data)
        return effects

    def _send(self, message: Message, address: bytes) -> SendMessage:
        data = self._codec.encode_message(message)
        return SendMessage(self._codec.code(message.kind), data, frozenset({address}), is_relayed=True)
