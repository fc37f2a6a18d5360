"""One reader process from the node's side: it is started, asked and killed. Must be used on the event loop."""

import os
import subprocess
import sys

import trio

from lacnode.rpc.readers.reader_messages import (
    LENGTH_BYTES,
    MAX_MESSAGE_BYTES,
    ReaderAnswer,
    ReaderSetup,
    ReaderTask,
    frame_message,
    unpickle_message,
)

READ_SIZE_BYTES = 65_536

_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Settings of the C library in a reader, so that it gives back the memory of a large call. By default each thread has
an arena of its own, and memory stays with the process after the call."""

READER_PROGRAM = """
import sys
sys.modules["rich"] = None
from lacnode.rpc.readers.reader_main import main
main()
"""
"""A reader's program. It prevents that structlog loads `rich`, which takes 4 MB, for tracebacks that nothing shows."""

END_SECONDS = 5.0
"""Time that the node waits for the end of a killed process. On a busy machine it takes more than a second to end."""


class ReaderDiedError(Exception):
    """The reader ended, or sent something that is no answer. The error has no text."""


class ReaderChild:
    """A reader process. It answers one task at a time. The caller of `start` must call `kill` in the end."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._ends = False
        self._to, self._from = process.stdin, process.stdout

    @classmethod
    async def start(cls, setup: ReaderSetup) -> "ReaderChild":
        """Start a process that reads the database of `setup`. It loads its program while the first task waits. OSError
        if it cannot be started. A process that dies at once shows at the first task."""
        # -P: a directory called lacnode beside the operator must not be taken for the program.
        command = [sys.executable, "-P", "-c", READER_PROGRAM]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_MALLOC}
        )
        child = cls(process)
        try:
            await child._send(frame_message(setup))
        except ReaderDiedError:
            # The process died at once. The first task finds that out and gives its error to a client.
            pass
        except BaseException:
            # No caller has the object yet, so no one else could end the process.
            await child.kill()
            raise
        return child

    async def ask(self, task: ReaderTask) -> ReaderAnswer:
        """Send `task` and wait for its answer. There is no time limit here. ReaderDiedError if the process ends, or if
        its message is too long or no ReaderAnswer. An error of `pickle` if its bytes are no message.

        After an error or a cancellation, half a message may be in a pipe. The process must be killed then.
        """
        await self._send(frame_message(task))
        size = int.from_bytes(await self._receive(LENGTH_BYTES))
        # A damaged length must not make the node allocate gigabytes.
        if size > MAX_MESSAGE_BYTES:
            raise ReaderDiedError
        answer = unpickle_message(await self._receive(size))
        if not isinstance(answer, ReaderAnswer):
            raise ReaderDiedError
        self._ends = answer.is_last
        return answer

    @property
    def can_be_asked(self) -> bool:
        """True if the process runs and takes one more task. False after an answer that was its last, even if the
        process has not ended yet."""
        return not self._ends and self._process.poll() is None

    async def kill(self) -> None:
        """Kill the process and close its pipes, also in a cancelled task. It waits at most `END_SECONDS`. May be called
        again."""
        # The shield lets this happen in a cancelled task too. The wait is bounded, because a process in an uninterruptible
        # read of a disk does not end at once.
        self._process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + END_SECONDS):
            await self._process.wait()
        # On a busy machine the deadline may pass before the loop sees the end. Without this, an ended process would stay a
        # zombie.
        self._process.poll()
        await trio.aclose_forcefully(self._to)
        await trio.aclose_forcefully(self._from)

    async def _send(self, data: bytes) -> None:
        try:
            await self._to.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ReaderDiedError from None

    async def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            part = await self._from.receive_some(min(READ_SIZE_BYTES, size - len(received)))
            if not part:
                raise ReaderDiedError
            received += part
        return bytes(received)
