"""Turns for work that clients ask for, given round robin over the clients' addresses.

A client that asks for much waits behind itself: the next turn goes to the address that has waited longest for one, and
inside an address to the oldest request. What cannot wait is refused at once. On the event loop.
"""

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from lacnode.rpc.errors import BusyError

TOO_MANY_OF_CLIENT, TOO_MANY = 429, 503
"""HTTP's status where one address has too many requests waiting, and where all addresses have."""


class FairLimiter:
    """At most `turns` at a time. `per_client` requests of an address and `total` of all may wait, each for at most
    `wait_seconds`; more is refused with BusyError."""

    def __init__(
        self,
        turns: int,
        *,
        per_client: float = math.inf,
        total: float = math.inf,
        wait_seconds: float = math.inf,
    ) -> None:
        self._free = turns
        self._per_client = per_client
        self._total = total
        self._wait_seconds = wait_seconds
        self._waiting: dict[str, deque[trio.Event]] = {}
        """By address, the one whose turn is next first."""

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """A turn for the address `client`; BusyError if it cannot be had."""
        await self._acquire(client)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, client: str) -> None:
        if self._free:
            self._free -= 1
            return
        given = self._queued(client)
        try:
            with trio.move_on_after(self._wait_seconds):
                await given.wait()
                return
        except BaseException:
            if not self._withdraw(client, given):
                self._release()
            raise
        if self._withdraw(client, given):
            raise BusyError(f"No turn within {self._wait_seconds:g} seconds", TOO_MANY)

    def _queued(self, client: str) -> trio.Event:
        """A place in the queue; the event is set when the turn is given."""
        own = self._waiting.get(client, deque())
        if len(own) >= self._per_client:
            raise BusyError("Too many requests of this client are waiting", TOO_MANY_OF_CLIENT)
        if sum(map(len, self._waiting.values())) >= self._total:
            raise BusyError("Too many requests are waiting", TOO_MANY)
        given = trio.Event()
        own.append(given)
        self._waiting[client] = own
        return given

    def _withdraw(self, client: str, given: trio.Event) -> bool:
        """Leave the queue; False if the turn had been given already."""
        if given.is_set():
            return False
        self._waiting[client].remove(given)
        if not self._waiting[client]:
            del self._waiting[client]
        return True

    def _release(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        client = next(iter(self._waiting))
        own = self._waiting.pop(client)
        own.popleft().set()
        if own:  # to the end of the line
            self._waiting[client] = own
