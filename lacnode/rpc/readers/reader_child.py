"""One reader process as the node sees it: started, asked, killed. On the event loop."""

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
    framed,
    unpickled,
)

READ_SIZE_BYTES = 65_536

_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Of the C library of a reader: it gives back what a large call took. Otherwise each thread keeps an arena of its own, and
memory stays with the process after the call."""

READER_PROGRAM = """
import sys
sys.modules["rich"] = None
from lacnode.rpc.readers.reader_main import main
main()
"""
"""A reader's program. structlog would load `rich`, which takes 4 MB, for tracebacks that nothing shows."""

END_SECONDS = 1.0
"""How long the end of a killed process is waited for."""


class ReaderDiedError(Exception):
    """The reader ended, or said something that is no answer."""


class ReaderChild:
    """A reader process. Whoever starts it kills it."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._ends = False
        self._to, self._from = process.stdin, process.stdout

    @classmethod
    async def start(cls, setup: ReaderSetup) -> "ReaderChild":
        """A process that reads what `setup` says. OSError if it cannot be started."""
        command = [sys.executable, "-c", READER_PROGRAM]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_MALLOC}
        )
        child = cls(process)
        try:
            await child._send(framed(setup))
        except ReaderDiedError:
            pass  # the first task finds out
        except BaseException:
            await child.kill()
            raise
        return child

    async def ask(self, task: ReaderTask) -> ReaderAnswer:
        """The answer to `task`; ReaderDiedError. After an error or a cancellation the process can only be killed."""
        await self._send(framed(task))
        size = int.from_bytes(await self._receive(LENGTH_BYTES))
        if size > MAX_MESSAGE_BYTES:
            raise ReaderDiedError
        answer = unpickled(await self._receive(size))
        if not isinstance(answer, ReaderAnswer):
            raise ReaderDiedError
        self._ends = answer.is_last
        return answer

    @property
    def is_running(self) -> bool:
        """Whether the process can be asked once more."""
        return not self._ends and self._process.poll() is None

    async def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + END_SECONDS):
            await self._process.wait()
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
