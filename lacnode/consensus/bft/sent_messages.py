"""The messages that this validator has sent in the current round, byte for byte, to send them again.

Besu sends each message once. Sending again is legal: a receiver that remembers the bytes drops them, and another receiver
counts each author once. Three rules bound it. Messages are sent again to a validator that connects, once a round to a
validator that sends a message of an earlier round, and to all validators after each part of a long round.
"""

from lacnode.consensus.bft.effects import SendMessage
from lacnode.consensus.bft.messages import Message
from lacnode.consensus.bft.protocol import MessageCodec


class SentMessages:
    """Our messages in one round to the validators `others` (20-byte addresses), at most one of each kind.

    `codec` is that of the protocol of this height.
    """

    def __init__(self, codec: MessageCodec, others: frozenset[bytes]) -> None:
        self._codec = codec
        self._others = others
        self._sent: dict[int, bytes] = {}
        self._resent_to: set[bytes] = set()

    def send(self, message: Message) -> list[SendMessage]:
        """Remember `message` and return the effect that sends it to all others. Empty if there are no others."""
        code = self._codec.code(message.kind)
        # One message of each code is enough: a correct validator signs at most one of each code in a round.
        self._sent[code] = self._codec.encode_message(message)
        # The bytes are stored, not the message: the same bytes can be dropped by their hash.
        return [SendMessage(code, self._sent[code], self._others)] if self._others else []

    def resend(self) -> list[SendMessage]:
        """Return the effects that send all messages of this round to all others again."""
        return self._to(self._others) if self._others else []

    def resend_to(self, address: bytes) -> list[SendMessage]:
        """Return the effects that send all messages of this round to `address` (20 bytes) again. Empty if `address` is
        none of `others`, or if nothing was sent.
        """
        return self._to(frozenset({address})) if address in self._others else []

    def resend_once_to(self, address: bytes) -> list[SendMessage]:
        """Return the effects that send all messages of this round to `address` (20 bytes) again, at most once a round.
        Empty the second time, if `address` is none of `others`, or if nothing was sent.
        """
        # Each old message of a lagging validator would be answered by up to four messages, one with a whole block.
        if not self._sent or address in self._resent_to:
            return []
        self._resent_to.add(address)
        return self.resend_to(address)

    def _to(self, recipients: frozenset[bytes]) -> list[SendMessage]:
        # In the order of the codes, the proposal comes first. The receiver can then check the votes at once.
        return [SendMessage(code, data, recipients) for code, data in sorted(self._sent.items())]
