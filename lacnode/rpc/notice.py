"""What one client is told of one event: the event as JSON, once, and the client's subscriptions that want it.

A client may have hundreds of subscriptions to the same event. Their messages differ in the subscription's number alone, and
are written when they are sent: what waits for a slow client is one JSON text, shared with all other clients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from lacnode.rpc.privacy_parameters import in_base64

MESSAGE_BYTES = 110
"""Bytes of a message besides the result, about."""


class Listener(Protocol):
    """A connection. On the event loop."""

    def notify(self, notice: "Notice") -> None:
        """Have the messages of `notice` sent, without waiting; a client that does not read is cut off instead."""

    def cut(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Notice:
    """`numbers` are the subscriptions of `listener` that want `result`, a JSON text. `group` is set for private logs."""

    listener: Listener
    numbers: tuple[int, ...]
    result: bytes
    group: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """What the messages take together, about."""
        return len(self.numbers) * (MESSAGE_BYTES + len(self.result))

    def messages(self) -> Iterator[bytes]:
        """The message of each subscription."""
        name, members = b"eth_subscription", b""
        if self.group is not None:
            name = b"priv_subscription"
            members = b',"privacyGroupId":"%b"' % in_base64(self.group).encode("ascii")
        head = b'{"jsonrpc":"2.0","method":"%b","params":{"subscription":"0x' % name
        tail = b'"%b,"result":%b}}' % (members, self.result)
        for number in self.numbers:
            yield b"%b%x%b" % (head, number, tail)

    def deliver(self) -> None:
        """Hand it to the connection."""
        self.listener.notify(self)
