"""What waits to be read by all clients of a port, bounded in bytes. On the event loop."""

from typing import Protocol

import trio

COMPRESSIONS_AT_ONCE = 2
"""Responses of a port that are compressed at the same time."""


class WaitingClient(Protocol):
    """What waits for one client. Hashable by identity."""

    size: int
    """Bytes."""

    def cut(self) -> None:
        """End the connection."""


class SendBacklog:
    """At most `limit_bytes`: beyond that, the client for which most waits is cut off. `compressing` limits the threads that
    compress what waits."""

    def __init__(self, limit_bytes: int) -> None:
        self.compressing = trio.CapacityLimiter(COMPRESSIONS_AT_ONCE)
        self._limit_bytes = limit_bytes
        self._clients: dict[WaitingClient, None] = {}

    def watch(self, client: WaitingClient) -> None:
        """What waits for `client` counts from now on."""
        self._clients[client] = None
        self.grown()

    def forget(self, client: WaitingClient) -> None:
        """Nothing waits for `client` any more."""
        self._clients.pop(client, None)

    def grown(self) -> None:
        """More waits for a client now."""
        if sum(client.size for client in self._clients) > self._limit_bytes:
            largest = max(self._clients, key=lambda client: client.size)
            self.forget(largest)
            largest.cut()
