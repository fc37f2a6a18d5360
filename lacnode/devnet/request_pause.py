"""Lets no request through while the nodes of a devnet are stopped. Requests wait, and no client sees a broken connection.

Use on one event loop.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

DRAIN_SECONDS = 10.0
"""Seconds that a pause waits for the requests under way. Longer ones may then fail."""


class RequestPause:
    """Counts the requests under way, and holds back others during a pause. Those that wait are not refused. Use it on
    the event loop."""

    def __init__(self) -> None:
        self._under_way = 0
        self._is_paused = False
        self._change = trio.Event()

    @asynccontextmanager
    async def admit_request(self) -> AsyncIterator[None]:
        """Count one request as under way inside the `async with` block. Before it, wait for the end of a pause."""
        while self._is_paused:
            await self._change.wait()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._notify()

    @asynccontextmanager
    async def hold_requests(self) -> AsyncIterator[None]:
        """Hold back new requests inside the `async with` block, which begins when those under way are answered, or
        after `DRAIN_SECONDS`."""
        self._is_paused = True
        try:
            with trio.move_on_after(DRAIN_SECONDS):
                while self._under_way:
                    await self._change.wait()
            yield
        finally:
            self._is_paused = False
            self._notify()

    def _notify(self) -> None:
        self._change.set()
        self._change = trio.Event()
