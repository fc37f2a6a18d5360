"""What waits to be sent to one WebSocket client, in order and bounded in bytes; and what waits for all clients of a port.

Messages are framed when they are sent. A client that does not read costs references to what others are told as well.
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
"""Bytes that may wait for all clients of a port. Beyond that, the client with the most is cut off."""

OVERHEAD_BYTES = 128
"""What a waiting entry takes besides its own bytes."""

CHUNK_BYTES = 65_536
"""Bytes that are framed and sent in one go."""


@dataclass(slots=True)
class _Entry:
    """Frames that wait, the last of which may have been made already, and what they count for."""

    frames: Iterator[bytes]
    size: int


class OutgoingQueue:
    """A queue. Replies always fit, since the client is not listened to before it has read them. `cut` ends the connection.
    Hashable by identity."""

    def __init__(self, backlog: SendBacklog, cut: Callable[[], None]) -> None:
        self.size = 0
        self._cut = cut
        self._backlog = backlog
        self._entries: deque[_Entry] = deque()
        self._chunk = b""
        self._changed = trio.Event()
        backlog.watch(self)

    def cut(self) -> None:
        """End the connection."""
        self._cut()

    def put(self, frame: bytes) -> None:
        """Add `frame`, whatever waits already."""
        self._add(_Entry(iter((frame,)), len(frame) + OVERHEAD_BYTES))

    def try_put(self, notice: Notice, framed: Callable[[bytes], bytes]) -> bool:
        """Add the messages of `notice`, each in a frame that `framed` makes, if they fit; a single notice always does."""
        size = notice.size_bytes + OVERHEAD_BYTES
        if self._entries and self.size + size > CONNECTION_LIMIT_BYTES:
            return False
        self._add(_Entry(map(framed, notice.messages()), size))
        return True

    async def chunk(self) -> bytes:
        """The frames to send next. They count as waiting until `sent`."""
        while not self._entries:
            await self._changed.wait()
        parts: list[bytes] = []
        size = 0
        while size < CHUNK_BYTES and (frame := self._next_frame()) is not None:
            parts.append(frame)
            size += len(frame)
        self._chunk = b"".join(parts)
        return self._chunk

    def sent(self) -> None:
        """The chunk has gone."""
        self._chunk = b""
        self._change()

    async def empty(self) -> None:
        """Wait until everything has gone."""
        while self._entries or self._chunk:
            await self._changed.wait()

    def close(self) -> None:
        """The connection is gone, and with it what waits."""
        self._backlog.forget(self)
        self._entries.clear()
        self.size = 0

    def _add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self.size += entry.size
        self._backlog.grown()
        self._change()

    def _next_frame(self) -> bytes | None:
        while self._entries:
            frame = next(self._entries[0].frames, None)
            if frame is not None:
                return frame
            self.size -= self._entries.popleft().size
        return None

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
