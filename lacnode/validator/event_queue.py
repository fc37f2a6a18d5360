"""The queues of the state machine: one for the events of the node, and one for the messages of each validator.

Besu keeps one bounded queue for all events, and a flood of messages can push out a timer or a new head. Here the
events of the node are never dropped and go first. Only validators of the current height have a queue for messages.
The signer of a message is known after it has been read. The peer that sent it is known at once, so the queues belong
to the peers. Each queue has its own bound, and the queues take turns, so that a peer that floods costs the others
nothing but its turn. The processor time of each validator's messages is counted. A peer that has used up its share waits,
and its messages wait in its queue.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence

import trio

from lacnode.consensus.bft.events import Event, MessageReceived
from lacnode.fair_share import FairShare, Shares

MAX_SENDER_QUEUE_BYTES = 16 * 2**20
"""Bytes that may wait in one lane. One message may be larger than the bytes that are left, if no other message waits
there."""

BYTES_PER_TURN = 4096
"""A message of that many bytes counts as two short ones: reading it takes about twice as long."""

READING_SHARE, READING_SHARE_OF_VALIDATOR, MIN_READING_SHARE_OF_VALIDATOR = 0.5, 0.1, 0.05
"""Parts of one processor for the messages of all validators together, of one validator, and of one validator while the
others have used up the first."""

READING_BURST_SECONDS = 20.0
"""A validator may use its share of so many seconds at once: the messages of a round change come together."""


_LEAST_PAUSE_SECONDS = 1e-6
"""A shorter pause is none. Added to the time of a clock that only jumps, it could be lost by rounding, and never end."""


class _Lane:
    """The waiting messages of one validator. `served` is the number of turns up to which it was served."""

    def __init__(self, served: float) -> None:
        self.messages: deque[MessageReceived] = deque()
        self.bytes = 0
        self.served = served

    def put(self, message: MessageReceived) -> None:
        self.messages.append(message)
        self.bytes += len(message.data)

    def put_first(self, message: MessageReceived) -> None:
        self.messages.appendleft(message)
        self.bytes += len(message.data)

    def get(self) -> MessageReceived:
        message = self.messages.popleft()
        self.bytes -= len(message.data)
        # Long messages cost more turns, so that a peer cannot win time by joining its flood into a few large ones.
        self.served += 1 + len(message.data) / BYTES_PER_TURN
        return message


class ConsensusEventQueue:
    """The events of the node and the messages of validators that wait. Use it from the event loop only.

    Each peer that is a validator of the current height has a queue of its own, its lane, for `lane_messages` messages
    and `MAX_SENDER_QUEUE_BYTES` bytes. A message that does not fit is refused, but a lane without messages takes any
    message. A message that waits is never dropped for a later one. Events have no bound and go first. Then the lanes
    take turns. A lane that has used up its share of processor time waits. Within a lane messages keep the order of
    arrival.
    """

    def __init__(self, lane_messages: int) -> None:
        self._internal: deque[Event] = deque()
        self._lanes: dict[bytes, _Lane] = {}
        self._turn = 0.0
        """The turn of the lane that was served last, before it was served. Only a lane that waited for its share can have
        fewer."""
        self._lane_messages = lane_messages
        self._shares = FairShare(
            Shares(READING_SHARE, READING_SHARE_OF_VALIDATOR, MIN_READING_SHARE_OF_VALIDATOR, READING_BURST_SECONDS)
        )
        self._overdrawn_until: dict[bytes, float] = {}
        """Until when each validator has used up its share, by the clock of the event loop."""
        self._not_empty = trio.Event()
        self.refused = 0
        """Messages refused since the start, because the lane of the peer was full or the peer had no lane."""

    def set_senders(self, senders: Iterable[bytes]) -> None:
        """From now on only the peers at these addresses (20 bytes) have a queue. The messages of other peers are
        dropped, also those that wait.
        """
        # The lanes of validators that stay are kept with their messages: messages for the next height may be here
        # before the new head.
        self._lanes = {sender: self._lanes.get(sender) or _Lane(self._turn) for sender in senders}
        self._overdrawn_until = {kept: at for kept, at in self._overdrawn_until.items() if kept in self._lanes}

    def has_queue_for(self, sender: bytes) -> bool:
        """Return whether the peer at this address (20 bytes) has a queue for messages."""
        return sender in self._lanes

    def put(self, event: Event) -> None:
        """Add an event of the node. It is never refused."""
        self._internal.append(event)
        self._not_empty.set()

    def put_message(self, message: MessageReceived) -> bool:
        """Add a message of a peer, and return True. Return False, and count the message in `refused`, if the lane of
        the peer is full or if the peer has no lane.
        """
        lane = self._lanes.get(message.sender)
        if lane is None or not self._has_room(lane, message):
            self.refused += 1
            return False
        self._end_pause(lane)
        lane.put(message)
        self._not_empty.set()
        return True

    def put_early_messages(self, messages: Sequence[MessageReceived]) -> None:
        """Put messages that came before their height, which has begun now, into the queues of their peers, before the
        messages that wait there. The bounds of a queue do not apply to them. `messages` are in the order of arrival,
        which they keep. Those of peers without a queue are dropped."""
        # The bounds of a lane do not apply. These messages were here before, within the bounds on messages for later
        # heights, and nothing is added to those as long as earlier messages wait before it.
        for message in reversed(messages):
            lane = self._lanes.get(message.sender)
            if lane is not None:
                self._end_pause(lane)
                lane.put_first(message)
        self._not_empty.set()

    def drop_messages_of(self, sender: bytes) -> None:
        """Drop the waiting messages of the peer at this address (20 bytes). The turns that this peer has used still
        count: its later messages come no earlier than without this call. Nothing happens if the peer has no queue."""
        lane = self._lanes.get(sender)
        if lane is not None:
            self._lanes[sender] = _Lane(lane.served)

    def charge(self, sender: bytes, seconds: float) -> None:
        """Count `seconds` of processor time for the validator at this address (20 bytes). Once its share is used up,
        its messages wait.
        """
        now = trio.current_time()
        self._shares.spend(sender, seconds, now)
        self._overdrawn_until[sender] = now + self._shares.wait_seconds(sender, now)

    def overdrawn_senders(self) -> frozenset[bytes]:
        """Return the addresses (20 bytes) of the validators that have used up their share. They wait."""
        now = trio.current_time()
        return frozenset(sender for sender, until in self._overdrawn_until.items() if until > now)

    async def get(self) -> Event:
        """Wait for the next event and return it. Events of the node go first. Then comes a message of the peer that had the
        fewest turns. A peer that has used up its share of processor time (`charge`) is left out until its share grows
        again. If all have used it up, this waits. No event is lost if it is cancelled."""
        await trio.lowlevel.checkpoint()  # a flood must not hold the event loop
        while True:
            if self._internal:
                return self._internal.popleft()
            lane, pause_seconds = self._next_lane()
            if lane is not None:
                self._turn = max(self._turn, lane.served)
                return lane.get()
            self._not_empty = trio.Event()
            with trio.move_on_after(pause_seconds):
                await self._not_empty.wait()

    def _next_lane(self) -> tuple[_Lane | None, float]:
        """The lane whose turn it is. None if there is none for so many seconds, unless something new comes."""
        now = trio.current_time()
        pauses = {
            sender: self._shares.wait_seconds(sender, now) for sender, lane in self._lanes.items() if lane.messages
        }
        # A lane that waits for its share takes no part in the turns: the others must not wait with it.
        ready = [self._lanes[sender] for sender, seconds in pauses.items() if seconds < _LEAST_PAUSE_SECONDS]
        if ready:
            return min(ready, key=lambda lane: lane.served), 0.0
        return None, min(pauses.values(), default=math.inf)

    def _end_pause(self, lane: _Lane) -> None:
        """A lane that was empty for a while has saved up no turns. With saved turns it could hold up the others later."""
        # Also if no other lane waits at this moment: their messages may come next.
        if not lane.messages:
            lane.served = max(lane.served, self._turn)

    def _has_room(self, lane: _Lane, message: MessageReceived) -> bool:
        if not lane.messages:
            return True
        return len(lane.messages) < self._lane_messages and lane.bytes + len(message.data) <= MAX_SENDER_QUEUE_BYTES
