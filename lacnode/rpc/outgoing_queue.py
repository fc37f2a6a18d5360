"""The queue of messages for one WebSocket client, in order and bounded in bytes. All queues of a port have a bound together.

Messages are framed when they are sent. A queue for a client that does not read holds references to texts that are shared
with other clients.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from lacnode.http.send_backlog import SendBacklog
from lacnode.rpc.notice import Notice

CONNECTION_LIMIT_BYTES = 4 * 2**20
"""Bytes of notifications that may wait for a client that does not read."""

PORT_LIMIT_BYTES = 64 * 2**20
"""Bytes that may wait for all clients of a port. If more wait, the connection with the longest queue ends."""

OVERHEAD_BYTES = 128
"""Bytes of a waiting entry besides its own."""

CHUNK_BYTES = 65_536
"""Bytes that are framed and sent together."""


@dataclass(slots=True)
class _Entry:
    """Frames that wait. They are made one by one. `size` is the bytes that the entry counts for."""

    frames: Iterator[bytes]
    size: int


class OutgoingQueue:
    """The messages that wait to be sent on one connection. `size` is their number of bytes, which `backlog` counts for
    the port from now on. `cut` ends the connection. Hashable by identity. Use it on the event loop.

    Replies have no bound here: the connection reads no further call before the client has read the reply.
    """

    def __init__(self, backlog: SendBacklog, cut: Callable[[], None]) -> None:
        self.size = 0
        self._cut = cut
        self._backlog = backlog
        self._entries: deque[_Entry] = deque()
        self._chunk = b""
        self._changed = trio.Event()
        backlog.add_client(self)

    def cut_off(self) -> None:
        """End the connection of the client, because too many bytes wait for it (`http.send_backlog.ClientBacklog`)."""
        self._cut()

    def put(self, frame: bytes) -> None:
        """Add `frame` (bytes that are ready to send) without a check of the bound of this connection. If the port holds
        too much, the connection with the longest queue is cut off."""
        self._add(_Entry(iter((frame,)), len(frame) + OVERHEAD_BYTES))

    def try_put(self, notice: Notice, framed: Callable[[bytes], bytes]) -> bool:
        """Add the messages of `notice` if they fit into `CONNECTION_LIMIT_BYTES`. `framed` makes the frame of a
        message, when it is sent. Return False, and add none, if they do not fit.

        A notice always fits into an empty queue. Otherwise a large block could never be sent.
        """
        size = notice.size_bytes + OVERHEAD_BYTES
        if self._entries and self.size + size > CONNECTION_LIMIT_BYTES:
            return False
        self._add(_Entry(map(framed, notice.messages()), size))
        return True

    async def next_chunk(self) -> bytes:
        """Wait for frames and return the ones to send next, about `CHUNK_BYTES` together. `wait_until_empty` counts
        them as waiting until `mark_sent` is called. One task may call it."""
        while not self._entries:
            await self._changed.wait()
        parts: list[bytes] = []
        size = 0
        # Frames are joined, because a system call for each small frame would cost more than the frame.
        while size < CHUNK_BYTES and (frame := self._next_frame()) is not None:
            parts.append(frame)
            size += len(frame)
        self._chunk = b"".join(parts)
        return self._chunk

    def mark_sent(self) -> None:
        """Record that the last chunk of `next_chunk` was sent."""
        self._chunk = b""
        self._change()

    async def wait_until_empty(self) -> None:
        """Wait until every message has been sent, also those that are added while this waits. Return at once if none
        waits. There is no time limit. The caller must cancel it if the connection ends: `discard` does not end it."""
        while self._entries or self._chunk:
            await self._changed.wait()

    def discard(self) -> None:
        """Delete all waiting messages, because the connection has ended. The port no longer counts this queue. Add no
        message afterwards: it would never be sent. Calling it twice is harmless."""
        # The backlog must forget this queue. Otherwise its bytes would count for the port forever.
        self._backlog.forget(self)
        self._entries.clear()
        self.size = 0

    def _add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self.size += entry.size
        # The backlog may cut the longest queue of the port now. It needs the new size, so this
        # stands after the addition.
        self._backlog.enforce_limit()
        self._change()

    def _next_frame(self) -> bytes | None:
        while self._entries:
            frame = next(self._entries[0].frames, None)
            if frame is not None:
                return frame
            # The size of an entry counts until its last frame is taken. Frames of a half-sent notice thus count too
            # much, never too little.
            self.size -= self._entries.popleft().size
        return None

    def _change(self) -> None:
        self._changed.set()
        # An event of trio cannot be cleared. Tasks that wait hold the old one, and later tasks get the new one.
        self._changed = trio.Event()
