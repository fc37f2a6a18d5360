"""Bodies of requests that arrive at a port and wait for their answers, bounded in bytes together. Use them on the
event loop.

Beyond the bound, the address that holds most loses its largest body that is not complete: many half-sent requests of
one address cannot take the memory, nor the places, of others' requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class ArrivingBody:
    """The received part of the body of one request of the address `client`. `size` is in bytes, 0 once the body is
    dropped. `scope` is cancelled when it is dropped. The code that reads the body sets `is_complete` once the body is
    whole: from then on it is not dropped, except in `waiting_for_turn`."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.size = 0
        self.is_complete = False
        self.scope = trio.CancelScope()

    @contextmanager
    def waiting_for_turn(self) -> Iterator[None]:
        """Let the whole body be dropped in the `with` block, where its request waits for its turn. The block then ends
        early and without an error, so its last statement must record that the turn has come. Nothing that the request
        asks for may be done in the block."""
        # A scope is used once. The one of the reading has ended.
        self.scope = trio.CancelScope()
        self.is_complete = False
        with self.scope:
            try:
                yield
            finally:
                self.is_complete = True


class ArrivingBodies:
    """The request bodies that one port receives, at most `limit_bytes` together. Beyond that, a body that is not
    complete is dropped (`add_bytes`). A complete body and a small one, of at most `small_body_bytes`, are never dropped:
    they count, but together they may exceed the limit. A complete body whose request waits for its turn counts as not
    complete. Use it on the event loop."""

    def __init__(self, limit_bytes: int, small_body_bytes: int = 0) -> None:
        self._limit_bytes = limit_bytes
        self._small_body_bytes = small_body_bytes
        self._bodies: dict[ArrivingBody, None] = {}
        self._total = 0

    @contextmanager
    def track_body(self, client: str) -> Iterator[ArrivingBody]:
        """Yield an empty body for a request of the address `client`. Its bytes count until the `with` block ends. Run
        the reading of the body in its `scope`."""
        body = ArrivingBody(client)
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._bodies.pop(body, None)
            self._total -= body.size

    def add_bytes(self, body: ArrivingBody, size: int) -> None:
        """Count `size` more bytes of `body`. If all bodies together exceed the limit, one of them is dropped: its
        `scope` is cancelled. That may be `body`.

        A body can be dropped if it is incomplete, not small (`small_body_bytes`) and not cancelled yet. Of the addresses
        with such a body, the one that holds most, complete bodies included, loses the largest. Nothing is cancelled if
        no address has one."""
        body.size += size
        self._total += size
        if self._total > self._limit_bytes:
            self._give_up_one()

    def _give_up_one(self) -> None:
        held: dict[str, int] = {}
        for body in self._bodies:
            held[body.client] = held.get(body.client, 0) + body.size
        # Complete bodies stay: their requests are being answered, and their memory is free soon. A cancelled one is on
        # its way out. The loss of a small one frees next to nothing, and its owner may be another client than those that
        # fill the port with complete ones.
        arriving = [
            body
            for body in self._bodies
            if not body.is_complete and not body.scope.cancel_called and body.size > self._small_body_bytes
        ]
        if arriving:
            # The address comes first: a client with one large body must not pay for another with hundreds of small
            # ones.
            dropped = max(arriving, key=lambda body: (held[body.client], body.size))
            dropped.scope.cancel()
            # Its task ends when it has its next turn. Until then no other body may be dropped for the same bytes.
            self._total -= dropped.size
            dropped.size = 0
