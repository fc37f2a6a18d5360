"""The queues of the state machine: one for the events of the node, and one for the messages of each validator.

Besu keeps one bounded queue for all events, and a flood of messages can push out a timer or a new head. Here the
events of the node are never dropped and go first. Only validators of the current height have a queue for messages.
The signer of a message is known after it has been read. The peer that sent it is known at once, so the queues belong
to the peers. Each queue has its own bound, and the queues take turns, so that a peer that floods costs the others
nothing but its turn.
"""

from collections import deque
from collections.abc import Iterable

import trio

from lacnode.consensus.bft.events import Event, MessageReceived

MAX_SENDER_QUEUE_BYTES = 16 * 2**20
"""Bytes that may wait in one lane. One message may be larger than the bytes that are left, if no other message waits
there."""

BYTES_PER_TURN = 4096
"""A message of that many bytes counts as two short ones: reading it takes about twice as long."""


class _Lane:
    """The waiting messages of one validator. `served` is the cost of the messages that were taken so far, in turns."""

    def __init__(self, served: float) -> None:
        self.messages: deque[MessageReceived] = deque()
        self.bytes = 0
        self.served = served

    def put(self, message: MessageReceived) -> None:
        self.messages.append(message)
        self.bytes += len(message.data)

    def get(self) -> MessageReceived:
        message = self.messages.popleft()
        self.bytes -= len(message.data)
        # Long messages cost more turns, so that a peer cannot win time by joining its flood into a few large ones.
        self.served += 1 + len(message.data) / BYTES_PER_TURN
        return message


class ConsensusEventQueue:
    """The events and messages that wait. Use it from the event loop only. Each lane holds `lane_messages` messages
    and `MAX_SENDER_QUEUE_BYTES` bytes."""

    def __init__(self, lane_messages: int) -> None:
        self._internal: deque[Event] = deque()
        self._lanes: dict[bytes, _Lane] = {}
        self._lane_messages = lane_messages
        self._not_empty = trio.Event()
        self.refused = 0
        """Messages refused because a lane was full, since the start."""

    def set_senders(self, senders: Iterable[bytes]) -> None:
        """From now on only the peers at these addresses have a queue. The messages of other peers are dropped."""
        # The lanes of validators that stay are kept with their messages: messages for the next height may be here
        # before the new head.
        self._lanes = {sender: self._lanes.get(sender) or _Lane(0.0) for sender in senders}

    def has_queue_for(self, sender: bytes) -> bool:
        """Return whether the peer at this address has a lane."""
        return sender in self._lanes

    def put(self, event: Event) -> None:
        """Add an event of the node. It is never refused."""
        self._internal.append(event)
        self._not_empty.set()

    def put_message(self, message: MessageReceived) -> bool:
        """Add a message of a peer. Return False, and count it in `refused`, if the lane of the peer is full or there
        is none."""
        lane = self._lanes.get(message.sender)
        if lane is None or not self._has_room(lane, message):
            self.refused += 1
            return False
        if not lane.messages:
            # A lane that was empty for a while has saved up no turns. With saved turns it could hold up the others
            # later.
            lane.served = max(lane.served, min((other.served for other in self._waiting()), default=lane.served))
        lane.put(message)
        self._not_empty.set()
        return True

    async def get(self) -> Event:
        """Wait for the next event and return it: first those of the node, then the message of the peer that had the
        fewest turns."""
        await trio.lowlevel.checkpoint()  # a flood must not hold the event loop
        while True:
            if self._internal:
                return self._internal.popleft()
            waiting = self._waiting()
            if waiting:
                return min(waiting, key=lambda lane: lane.served).get()
            self._not_empty = trio.Event()
            await self._not_empty.wait()

    def _has_room(self, lane: _Lane, message: MessageReceived) -> bool:
        if not lane.messages:
            return True
        return len(lane.messages) < self._lane_messages and lane.bytes + len(message.data) <= MAX_SENDER_QUEUE_BYTES

    def _waiting(self) -> list[_Lane]:
        return [lane for lane in self._lanes.values() if lane.messages]
