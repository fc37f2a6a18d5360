"""Bodies of requests that arrive at a port and wait for their answers, bounded in bytes together. On the event loop.

Beyond the bound, the address that holds most loses its largest body that is not complete: many half-sent requests of one
address cannot take the memory, nor the places, of others' requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class ArrivingBody:
    """What has come of one request. `scope` is cancelled when it is given up."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.size = 0
        self.is_complete = False
        self.scope = trio.CancelScope()


class ArrivingBodies:
    """At most `limit_bytes` together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bodies: dict[ArrivingBody, None] = {}
        self._total = 0

    @contextmanager
    def hold(self, client: str) -> Iterator[ArrivingBody]:
        """A body of the address `client`, which counts until the block ends."""
        body = ArrivingBody(client)
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._bodies.pop(body, None)
            self._total -= body.size

    def grow(self, body: ArrivingBody, size: int) -> None:
        """So many bytes more have come of `body`. Gives up another body, or this one, if that is too much."""
        body.size += size
        self._total += size
        if self._total > self._limit_bytes:
            self._give_up_one()

    def _give_up_one(self) -> None:
        held: dict[str, int] = {}
        for body in self._bodies:
            held[body.client] = held.get(body.client, 0) + body.size
        arriving = [body for body in self._bodies if not body.is_complete and not body.scope.cancel_called]
        if arriving:
            max(arriving, key=lambda body: (held[body.client], body.size)).scope.cancel()
