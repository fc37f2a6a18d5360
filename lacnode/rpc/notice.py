"""A notice: the JSON text of one event, and the subscriptions of one client that want it.

A client may have hundreds of subscriptions to the same event. Their messages differ in the subscription's number alone. They
are written when they are sent, so that only one JSON text waits for a slow client. All clients share this text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from lacnode.rpc.privacy_parameters import in_base64

MESSAGE_BYTES = 110
"""Estimated bytes of a message besides the result."""


class Listener(Protocol):
    """A connection that gets notices. Hashable by identity. Its methods must be called on the event loop."""

    def notify(self, notice: "Notice") -> None:
        """Queue the messages of `notice` without waiting. The connection ends if too many bytes wait for its client.
        Nothing if it has ended."""

    def cut(self) -> None:
        """End the connection of the client at once, without sending what waits. Return before it has ended."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An event for one client. `subscription_numbers` are the numbers of the client's subscriptions that get `result`,
    a JSON text. `listener` is the client's connection. `group` is the privacy group (32 bytes) of a private log, or
    None."""

    listener: Listener
    subscription_numbers: tuple[int, ...]
    result: bytes
    group: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """Estimated bytes of the JSON text of all messages together."""
        return len(self.subscription_numbers) * (MESSAGE_BYTES + len(self.result))

    def messages(self) -> Iterator[bytes]:
        """Yield the JSON text of the message for each subscription, in the order of `subscription_numbers`."""
        # The JSON is put together from bytes: `result` is encoded already, and encoding it for each subscription
        # would take most of the time.
        name, members = b"eth_subscription", b""
        if self.group is not None:
            name = b"priv_subscription"
            members = b',"privacyGroupId":"%b"' % in_base64(self.group).encode("ascii")
        head = b'{"jsonrpc":"2.0","method":"%b","params":{"subscription":"0x' % name
        tail = b'"%b,"result":%b}}' % (members, self.result)
        for number in self.subscription_numbers:
            yield b"%b%x%b" % (head, number, tail)

    def deliver(self) -> None:
        """Give the notice to its connection, which queues it. Must be called on the event loop."""
        self.listener.notify(self)
