"""What waits to be sent to one peer.

Two lanes: consensus first, so that a Commit never waits behind a block. A peer that does not read is not allowed to hold
memory: gossip of transactions is dropped when the lane is full, since others carry it too; anything else would be a lie
by omission, so the session ends (`OutboxFull`).
"""

from collections import deque

import trio

LANE_BYTES = 32 * 2**20
"""Bytes that may wait in each lane: two of the largest messages."""


class OutboxFull(Exception):
    """The peer does not read what it is sent."""


class Outbox:
    """Messages (absolute id, body) in the order they will be sent."""

    def __init__(self) -> None:
        self._urgent: deque[tuple[int, bytes]] = deque()
        self._ordinary: deque[tuple[int, bytes]] = deque()
        self._urgent_bytes = self._ordinary_bytes = 0
        self._something = trio.Event()
        self.dropped = 0
        """Transaction messages dropped, since the start."""

    def put_urgent(self, message_id: int, body: bytes) -> None:
        """Before everything ordinary; OutboxFull if too much waits."""
        if self._urgent_bytes + len(body) > LANE_BYTES:
            raise OutboxFull
        self._urgent.append((message_id, body))
        self._urgent_bytes += len(body)
        self._something.set()

    def put(self, message_id: int, body: bytes, *, droppable: bool = False) -> None:
        """After what waits already. If too much waits, a droppable message is forgotten, another raises OutboxFull."""
        if self._ordinary_bytes + len(body) > LANE_BYTES:
            if not droppable:
                raise OutboxFull
            self.dropped += 1
            return
        self._ordinary.append((message_id, body))
        self._ordinary_bytes += len(body)
        self._something.set()

    async def get(self) -> tuple[int, bytes]:
        """The next message to send."""
        while not (self._urgent or self._ordinary):
            self._something = trio.Event()
            await self._something.wait()
        if self._urgent:
            message = self._urgent.popleft()
            self._urgent_bytes -= len(message[1])
        else:
            message = self._ordinary.popleft()
            self._ordinary_bytes -= len(message[1])
        return message
