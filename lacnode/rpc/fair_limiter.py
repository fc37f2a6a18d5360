"""Turns for work that clients ask for, given round robin over the clients' addresses.

A client with many requests delays its own requests only. The next turn goes to the address that has waited longest for one,
and inside an address to the oldest request. A request that may not wait is refused at once. Must be used on the event loop.
"""

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from lacnode.rpc.errors import BusyError

TOO_MANY_OF_CLIENT, TOO_MANY = 429, 503
"""HTTP's status if too many requests of one address wait, and if too many of all addresses do."""


class FairLimiter:
    """Gives at most `turns` turns at a time, round robin over the addresses. Use it on the event loop.

    At most `per_client` requests of one address and `total` requests of all addresses may wait, each for at most
    `wait_seconds`. Further requests are refused with BusyError.
    """

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
        """The waiting requests by address. The address whose turn is next comes first. No queue is empty."""

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn for the address `client`, and hold it in the `async with` block. BusyError as for
        `acquire`."""
        await self.acquire(client)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, client: str) -> None:
        """Wait for a turn for the address `client`. The caller must call `release` when its turn ends.

        BusyError with HTTP's status 429 if too many requests of this address wait, and with 503 if too many of all
        addresses wait or the wait was longer than `wait_seconds`. Then there is no turn to release.
        """
        if self._free:
            self._free -= 1
            return
        # `release` gives a turn straight to the next request, so `_free` is positive only if no request waits. A new
        # request can therefore take a free turn without asking who waits.
        given = self._queued(client)
        try:
            with trio.move_on_after(self._wait_seconds):
                await given.wait()
                return
        except BaseException:
            # The request was cancelled. If it got its turn at the same moment, the turn must go on, or it would be lost.
            if not self._withdraw(client, given):
                self.release()
            raise
        # The turn may have come in the same moment as the end of the wait. Then it counts, and no error is raised.
        if self._withdraw(client, given):
            raise BusyError(f"No turn within {self._wait_seconds:g} seconds", TOO_MANY)

    def _queued(self, client: str) -> trio.Event:
        """Put a request into the queue. The event is set when the request gets its turn. BusyError if the queue is full."""
        # The client's own limit comes first: its error says that the client sends too much, not that the node is busy.
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
        """Take a request out of the queue. Returns False if it has got its turn already."""
        if given.is_set():
            return False
        self._waiting[client].remove(given)
        if not self._waiting[client]:
            del self._waiting[client]
        return True

    def release(self) -> None:
        """End a turn that `acquire` gave, and give it to the request whose turn is next. Call it once for each turn."""
        if not self._waiting:
            self._free += 1
            return
        # The turn is handed over while the event loop runs nothing else. A request that arrives in between cannot
        # take it.
        client = next(iter(self._waiting))
        own = self._waiting.pop(client)
        own.popleft().set()
        if own:
            # The dict keeps the order of insertion. The address goes to its end, behind all others.
            self._waiting[client] = own
