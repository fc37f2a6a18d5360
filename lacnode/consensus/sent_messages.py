"""What we have said in the current round, byte for byte, to be said again to those who may have missed it.

Besu says everything once. Repeating is legal: a receiver that remembers the bytes drops them, and one that does not
finds nothing in them that it would count twice. The rule when to repeat bounds it: to a validator that connects, once a
round to one that speaks of an earlier round, and to all when a long round drags on.
"""

from lacnode.consensus.effects import SendMessage
from lacnode.consensus.ibft_messages import Message


class SentMessages:
    """Our messages in one round to `others`, at most one of each kind."""

    def __init__(self, others: frozenset[bytes]) -> None:
        self._others = others
        self._sent: dict[int, bytes] = {}
        self._resent_to: set[bytes] = set()

    def send(self, message: Message) -> list[SendMessage]:
        """Send `message` to all others."""
        self._sent[message.code] = message.encode()
        return [SendMessage(message.code, self._sent[message.code], self._others)] if self._others else []

    def resend(self) -> list[SendMessage]:
        """Send everything again, to all others."""
        return self._to(self._others) if self._others else []

    def resend_to(self, address: bytes) -> list[SendMessage]:
        """Send everything again to one validator, unless it is none."""
        return self._to(frozenset({address})) if address in self._others else []

    def resend_once_to(self, address: bytes) -> list[SendMessage]:
        """Like `resend_to`, but once a round."""
        if not self._sent or address in self._resent_to:
            return []
        self._resent_to.add(address)
        return self.resend_to(address)

    def _to(self, recipients: frozenset[bytes]) -> list[SendMessage]:
        return [SendMessage(code, data, recipients) for code, data in sorted(self._sent.items())]
