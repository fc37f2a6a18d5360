"""The messages that wait to be sent to one peer.

There are three lanes. The urgent one goes first, so that a Commit never waits behind a block. Then come the consensus
messages of other validators, which this node relays. They have a lane of their own: a faulty validator can sign many of
them. They must neither delay this node's own messages nor end its session with a correct validator that reads slowly.

A peer that does not read must not hold memory without limit. If a lane is full, gossip of transactions and relayed messages
are dropped, because other peers carry them too. Other messages must not be lost in silence: the session ends
(`SendQueueFullError`).
"""

from collections import deque

import trio

MAX_QUEUED_BYTES = 8 * 2**20
"""Bytes that may wait in each lane. A message may be larger than that if the lane is empty."""

MAX_BYTES_BEFORE_NEXT_ANSWER = 2**20
"""Bytes in the ordinary lane up to which this node makes another answer."""

MESSAGE_OVERHEAD_BYTES = 256
"""Bytes that a waiting message takes besides its body."""


class SendQueueFullError(Exception):
    """Too many bytes wait for the peer, because it does not read its messages."""


class _Lane:
    def __init__(self) -> None:
        self._messages: deque[tuple[int, bytes]] = deque()
        self.size = 0

    def put(self, message_id: int, body: bytes) -> None:
        size = len(body) + MESSAGE_OVERHEAD_BYTES
        # The overhead counts: a million empty messages take memory too. An empty lane takes any message, since an
        # answer may be larger than the limit.
        if self.size and self.size + size > MAX_QUEUED_BYTES:
            raise SendQueueFullError
        self._messages.append((message_id, body))
        self.size += size

    def get(self) -> tuple[int, bytes]:
        message = self._messages.popleft()
        self.size -= len(message[1]) + MESSAGE_OVERHEAD_BYTES
        return message


class SendQueue:
    """The messages (absolute id, body) that wait to be sent: urgent ones come first, then relayed ones, then all others,
    each kind in the order in which it came. One task reads them. Used on the event loop."""

    def __init__(self) -> None:
        self._urgent = _Lane()
        self._relayed = _Lane()
        self._ordinary = _Lane()
        self._changed = trio.Event()
        self.dropped = 0
        """Transaction messages and relayed consensus messages dropped, since the start."""

    def put_urgent(self, message_id: int, body: bytes) -> None:
        """Queue a message, by its absolute id and its body, behind the urgent ones and before all others.
        SendQueueFullError if too many bytes of urgent messages wait."""
        self._urgent.put(message_id, body)
        self._change()

    def put_relayed(self, message_id: int, body: bytes) -> None:
        """Queue a consensus message of another validator, by its absolute id and its body, behind the urgent ones. It
        is dropped if too many bytes of relayed messages wait."""
        try:
            self._relayed.put(message_id, body)
        except SendQueueFullError:
            self.dropped += 1
        self._change()

    def put(self, message_id: int, body: bytes, *, droppable: bool = False) -> None:
        """Queue a message, by its absolute id and its body, behind all others. If too many bytes of ordinary messages
        wait, a droppable message is dropped, and another one raises SendQueueFullError."""
        try:
            self._ordinary.put(message_id, body)
        except SendQueueFullError:
            if not droppable:
                raise
            self.dropped += 1
        self._change()

    async def get(self) -> tuple[int, bytes]:
        """Wait for the next message to send, take it from the queue and return it: absolute id and body."""
        lanes = self._urgent, self._relayed, self._ordinary
        while not any(lane.size for lane in lanes):
            await self._changed.wait()
        message = next(lane for lane in lanes if lane.size).get()
        # `wait_for_answer_space` waits for the queue to become shorter.
        self._change()
        return message

    async def wait_for_answer_space(self) -> None:
        """Wait until at most `MAX_BYTES_BEFORE_NEXT_ANSWER` bytes wait in the ordinary lane."""
        while self._ordinary.size > MAX_BYTES_BEFORE_NEXT_ANSWER:
            await self._changed.wait()

    def _change(self) -> None:
        # Every change gets an event of its own: tasks that wait wake once and test their condition again.
        self._changed.set()
        self._changed = trio.Event()
