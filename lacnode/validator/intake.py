"""Two lanes into consensus: what the node itself has to say, and what peers say.

Besu keeps one bounded queue for both, and a flood of messages can push out a timer or a new head (pitfall L10 of the
protocol notes). Here internal events are never dropped and go first; messages are bounded, and the newest is refused
when the lane is full.
"""

from collections import deque

import trio

from lacnode.consensus.events import Event, MessageReceived


class Intake:
    """Where events wait for the state machine. Use from the event loop only."""

    def __init__(self, message_limit: int) -> None:
        self._internal: deque[Event] = deque()
        self._messages: deque[MessageReceived] = deque()
        self._message_limit = message_limit
        self._something = trio.Event()
        self.refused = 0
        """Messages refused because the lane was full, since the start."""

    def put(self, event: Event) -> None:
        """An event of the node's own: never refused."""
        self._internal.append(event)
        self._something.set()

    def put_message(self, message: MessageReceived) -> bool:
        """A peer's message. False, and counted, if the lane is full."""
        if len(self._messages) > self._message_limit:
            self.refused += 1
            return False
        self._messages.append(message)
        self._something.set()
        return True

    async def get(self) -> Event:
        """The next event, internal ones first."""
        while not (self._internal or self._messages):
            self._something = trio.Event()
            await self._something.wait()
        return self._internal.popleft() if self._internal else self._messages.popleft()
