"""What we have said in the current round, byte for byte, to be said again to those who may have missed it.

Besu says everything once. Repeating is legal: a receiver that remembers the bytes drops them, and one that does not
finds nothing in them that it would count twice. The rule when to repeat bounds it: to a validator that connects, once a
round to one that speaks of an earlier round, and to all when a long round drags on.
"""

from lacnode.consensus.effects import Send
from lacnode.consensus.messages import Message


class OwnMessages:
    """Our messages in one round to `others`, at most one of each kind."""

    def __init__(self, others: frozenset[bytes]) -> None:
        self._others = others
        self._said: dict[int, bytes] = {}
        self._reminded: set[bytes] = set()

    def say(self, message: Message) -> list[Send]:
        """Send `message` to all others."""
        self._said[message.code] = message.encode()
        return [Send(message.code, self._said[message.code], self._others)] if self._others else []

    def repeat(self) -> list[Send]:
        """Send everything again, to all others."""
        return self._to(self._others) if self._others else []

    def repeat_to(self, address: bytes) -> list[Send]:
        """Send everything again to one validator, unless it is none."""
        return self._to(frozenset({address})) if address in self._others else []

    def remind(self, address: bytes) -> list[Send]:
        """Like `repeat_to`, but once a round."""
        if not self._said or address in self._reminded:
            return []
        self._reminded.add(address)
        return self.repeat_to(address)

    def _to(self, recipients: frozenset[bytes]) -> list[Send]:
        return [Send(code, data, recipients) for code, data in sorted(self._said.items())]
