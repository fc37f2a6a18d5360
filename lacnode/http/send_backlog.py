"""The bytes that wait for all clients of a port, bounded together. Use them on the event loop."""

from typing import Protocol

import trio

COMPRESSIONS_AT_ONCE = 2
"""Responses of a port that are compressed at the same time."""


class ClientBacklog(Protocol):
    """The bytes that wait for the client of one connection: `size`. Hashable by identity. `SendBacklog` calls `cut_off`
    to end the connection."""

    size: int
    """Bytes."""

    def cut_off(self) -> None:
        """End the connection of the client, because too many bytes wait for it. It must return at once."""


class SendBacklog:
    """The waiting bytes of one port, at most `limit_bytes`. Beyond that, the client with the most waiting bytes is cut
    off. A client is one connection here, not an address. `compressing` limits the threads that compress responses. Use
    it on the event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self.compressing = trio.CapacityLimiter(COMPRESSIONS_AT_ONCE)
        self._limit_bytes = limit_bytes
        self._clients: dict[ClientBacklog, None] = {}

    def add_client(self, client: ClientBacklog) -> None:
        """From now on, count the bytes that wait for `client`. If the bytes of all clients together are more than the
        limit, the client with the most is cut off. That may be `client` itself."""
        self._clients[client] = None
        self.enforce_limit()

    def forget(self, client: ClientBacklog) -> None:
        """Stop counting the bytes of `client`. Nothing if it is not counted. The client is not cut off."""
        self._clients.pop(client, None)

    def enforce_limit(self) -> None:
        """If the waiting bytes of all clients together are more than the limit, cut off the client with the most, and
        no other one. Call it after bytes were added."""
        if sum(client.size for client in self._clients) > self._limit_bytes:
            largest = max(self._clients, key=lambda client: client.size)
            # Forgotten before it is cut: its task may take a while to end, and must not be chosen again.
            self.forget(largest)
            largest.cut_off()
