"""What waits to be sent to one WebSocket client, in order and bounded in bytes. For one reader."""

from collections import deque

import trio

LIMIT_BYTES = 16 * 2**20
"""Bytes of notifications that may wait for a client that does not read."""

OVERHEAD = 128
"""Bytes that a waiting message takes besides its own."""


class Outgoing:
    """A queue. Replies always fit, since the client is not listened to before it has read them."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._changed = trio.Event()

    def put(self, message: bytes) -> None:
        """Add `message`, whatever waits already."""
        self._messages.append(message)
        self._size += len(message) + OVERHEAD
        self._change()

    def offer(self, message: bytes) -> bool:
        """Add `message` if it fits; a single one always does."""
        if self._messages and self._size + len(message) > LIMIT_BYTES:
            return False
        self.put(message)
        return True

    async def first(self) -> bytes:
        """The message to send next. It counts as waiting until `sent`."""
        while not self._messages:
            await self._changed.wait()
        return self._messages[0]

    def sent(self) -> None:
        """The first message has gone."""
        self._size -= len(self._messages.popleft()) + OVERHEAD
        self._change()

    async def empty(self) -> None:
        """Wait until everything has gone."""
        while self._messages:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
