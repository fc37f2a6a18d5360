"""What waits to be sent to one peer.

Two lanes: the urgent one first, so that a Commit never waits behind a block. A peer that does not read is not allowed to
hold memory: gossip of transactions is dropped when the lane is full, since others carry it too. Anything else would be a
lie by omission, so the session ends (`SendQueueFullError`).
"""

from collections import deque

import trio

MAX_QUEUED_BYTES = 8 * 2**20
"""Bytes that may wait in each lane. A single message may be larger than that where nothing else waits."""

MAX_BYTES_BEFORE_NEXT_ANSWER = 2**20
"""Bytes in the ordinary lane below which another answer may be made."""

MESSAGE_OVERHEAD_BYTES = 256
"""Bytes that a waiting message takes besides its body."""


class SendQueueFullError(Exception):
    """The peer does not read what it is sent."""


class _Lane:
    def __init__(self) -> None:
        self._messages: deque[tuple[int, bytes]] = deque()
        self.size = 0

    def put(self, message_id: int, body: bytes) -> None:
        size = len(body) + MESSAGE_OVERHEAD_BYTES
        if self.size and self.size + size > MAX_QUEUED_BYTES:
            raise SendQueueFullError
        self._messages.append((message_id, body))
        self.size += size

    def get(self) -> tuple[int, bytes]:
        message = self._messages.popleft()
        self.size -= len(message[1]) + MESSAGE_OVERHEAD_BYTES
        return message


class SendQueue:
    """Messages (absolute id, body) in the order they will be sent. For one reader."""

    def __init__(self) -> None:
        self._urgent = _Lane()
        self._ordinary = _Lane()
        self._changed = trio.Event()
        self.dropped = 0
        """Transaction messages dropped, since the start."""

    def put_urgent(self, message_id: int, body: bytes) -> None:
        """Before everything ordinary. SendQueueFullError if too much waits."""
        self._urgent.put(message_id, body)
        self._change()

    def put(self, message_id: int, body: bytes, *, droppable: bool = False) -> None:
        """After what waits already. If too much waits, a droppable message is forgotten, another raises
        SendQueueFullError."""
        try:
            self._ordinary.put(message_id, body)
        except SendQueueFullError:
            if not droppable:
                raise
            self.dropped += 1
        self._change()

    async def get(self) -> tuple[int, bytes]:
        """The next message to send."""
        while not (self._urgent.size or self._ordinary.size):
            await self._changed.wait()
        message = (self._urgent if self._urgent.size else self._ordinary).get()
        self._change()
        return message

    async def ready(self) -> None:
        """Wait until the peer has read most of what it was sent."""
        while self._ordinary.size > MAX_BYTES_BEFORE_NEXT_ANSWER:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
