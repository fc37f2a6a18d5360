"""Lines for an output that may block: a pipe that nothing reads, a terminal that is held, a hung log driver.

A line that the output takes at once is written at once, so that a crash loses none. Other lines wait for a thread, which
blocks in place of the event loop. At most `MAX_WAITING_BYTES` wait. Further lines are lost: a line of its own says how many,
once the output takes lines again. Must not raise: a line may come from anywhere in the node.
"""

import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TextIO

MAX_WAITING_BYTES = 2**20
"""Bytes of lines that wait for the output. Besides them, one line that is longer."""

AT_ONCE_BYTES = 4_096
"""Bytes that a pipe takes at once when it says that it takes any: POSIX' PIPE_BUF on Linux."""

STUCK_SECONDS, END_SECONDS = 0.5, 5.0
"""Seconds that the end of the process waits for an output that takes nothing, and for one that takes lines slowly."""

LOST = "{} lines of this log could not be written"


class LineWriter:
    """Writes lines to the stream that `stream` returns at each call of `write`. No caller waits for an output that is a
    pipe, a terminal or a socket. Safe from any thread."""

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost_lines = 0
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Write `line`, now or as soon as the output takes it. A line break is added. It does not wait for the output,
        except for a regular file, and never raises. A line that does not fit, or that the output refuses, is lost and
        counted."""
        with self._changed:
            stream = self._stream()
            try:
                descriptor = stream.fileno()
            except (OSError, ValueError, AttributeError):  # in memory, closed, or none
                self._print(stream, line)
                return
            data = f"{line}\n".encode(stream.encoding or "utf-8", "backslashreplace")
            # Only if no line waits: a later line must not come before an earlier one.
            if not self._waiting and _takes(descriptor, len(data)):
                self._put(stream, descriptor, data)
            elif self._waiting and self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
                self._lost_lines += 1
            else:
                self._wait(descriptor, data)

    def flush(self) -> None:
        """Wait until the lines are written, at most `END_SECONDS`, and `STUCK_SECONDS` while the output takes none."""
        ends = time.monotonic() + END_SECONDS
        with self._changed:
            while self._waiting and time.monotonic() < ends:
                left = self._waiting_bytes
                if not self._changed.wait_for(partial(self._fewer_than, left), STUCK_SECONDS):
                    return

    def _fewer_than(self, waiting_bytes: int) -> bool:
        return self._waiting_bytes < waiting_bytes

    def _print(self, stream: TextIO, line: str) -> None:
        try:
            stream.write(f"{self._notice()}{line}\n")
            stream.flush()
        except (OSError, ValueError, AttributeError):
            self._lost_lines += 1
        else:
            self._lost_lines = 0

    def _put(self, stream: TextIO, descriptor: int, data: bytes) -> None:
        """Write a line, with a notice of lost lines before it."""
        rest = self._notice().encode() + data
        try:
            stream.flush()
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except (OSError, ValueError):
            self._lost_lines += 1
        else:
            self._lost_lines = 0

    def _notice(self) -> str:
        return f"{LOST.format(self._lost_lines)}\n" if self._lost_lines else ""

    # -- what waits --------------------------------------------------------------------------------------------------

    def _wait(self, descriptor: int, data: bytes) -> None:
        self._append(self._notice().encode() + data)
        if self._thread is None:
            # It may block for ever, and must not keep the process.
            self._thread = threading.Thread(target=self._write_waiting, args=(descriptor,), daemon=True)
            self._thread.start()

    def _append(self, data: bytes) -> None:
        self._lost_lines = 0
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._changed.notify_all()

    def _write_waiting(self, descriptor: int) -> None:
        """In the thread: one piece after the other, so that `flush` sees whether the output takes any."""
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                # The line stays in the queue while a piece of it is written. So `flush` and the bound count it.
                piece = self._waiting[0][:AT_ONCE_BYTES]
            try:
                # Outside the lock: this may block for ever, and other threads must be able to add lines.
                written = os.write(descriptor, piece)
            except OSError:
                written = -1
            with self._changed:
                self._done(written)

    def _done(self, written: int) -> None:
        """Note that so many bytes of the first waiting line are written. -1 if the line cannot be written."""
        data = self._waiting.popleft()
        if written < 0:
            self._lost_lines += 1
            self._waiting_bytes -= len(data)
        else:
            self._waiting_bytes -= written
            if written < len(data):
                self._waiting.appendleft(data[written:])
            elif not self._waiting and self._lost_lines:
                self._append(self._notice().encode())
        self._changed.notify_all()


def _takes(descriptor: int, size: int) -> bool:
    """Return whether the output takes so many bytes without waiting. A file does, as far as a process can tell."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return True  # closed: to write says what is wrong
    if stat.S_ISREG(mode):
        return True
    # `poll` on a terminal or a socket says that a byte can be written, not how many. Such an output always gets the
    # thread.
    if not stat.S_ISFIFO(mode) or size > AT_ONCE_BYTES:
        return False
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    return bool(ready.poll(0))
