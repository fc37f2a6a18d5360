"""The reader processes of a node, and a queue of calls that is fair to the clients' addresses.

A process is started when a call needs it, killed when its call takes too long, and ended when no call came for a while. Must
be used on the event loop. A reader never blocks the event loop.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
import trio

from lacnode.rpc.envelope import EncodedJson
from lacnode.rpc.errors import BusyError, RpcError, internal_error, timeout, world_state_unavailable
from lacnode.rpc.fair_limiter import TOO_MANY, FairLimiter
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.readers.reader_child import ReaderChild, ReaderDiedError
from lacnode.rpc.readers.reader_messages import ReaderAnswer, ReaderOutcome, ReaderSetup, ReaderTask

log = structlog.get_logger("rpc")

WAITING_CALLS_PER_CLIENT, WAITING_CALLS = 32, 256
"""Number of calls that may wait for a reader, of one address and of all addresses."""

WAIT_SECONDS = 60.0
"""Time that a call may wait for a reader."""

START_SECONDS = 20.0
"""Time that a new process gets for its first call, besides the time of the call."""

GRACE_SECONDS = 3.0
"""A reader is killed so long after the end of its call's time. A reader checks the time itself, so only one that hangs is
killed."""

IDLE_SECONDS = 120.0
"""Time that a process is kept without a call."""


@dataclass(frozen=True, slots=True)
class NodeDatabaseFunctions:
    """The functions of the node that readers need. It holds no database itself.

    In a worker thread: `flush` commits the blocks that are only in the node's memory. `forget_dead_readers` frees the
    snapshot that a killed process held in the database. Both raise StorageError if the disk fails. `read_again` reads
    the value of a table and a key, so that the node finds the damage that a reader met, and repairs it. It raises
    nothing.

    On the event loop, so they must return at once: `head_hash` returns the on-chain hash of the head (32 bytes).
    `add_engine_counts` adds two numbers of a reader: its calls on which the engines differed, and its panics of the
    native library.
    """

    head_hash: Callable[[], bytes]
    flush: Callable[[], None]
    forget_dead_readers: Callable[[], None]
    read_again: Callable[[str, bytes], None]
    add_engine_counts: Callable[[int, int], None] = lambda *_: None


@dataclass(slots=True)
class _Kept:
    """A process that waits for a call. `asked_at` is the time of its last answer, in monotonic seconds."""

    child: ReaderChild
    asked_at: float = field(default_factory=time.monotonic)


class ReaderProcesses:
    """At most `processes` reader processes for the database of `setup`. Implements `request_runner.Readers`. A process
    starts when a call needs it. Use it on the event loop."""

    def __init__(self, setup: ReaderSetup, database: NodeDatabaseFunctions, processes: int) -> None:
        self._setup = setup
        self._database = database
        self._turns = FairLimiter(
            processes, per_client=WAITING_CALLS_PER_CLIENT, total=WAITING_CALLS, wait_seconds=WAIT_SECONDS
        )
        self._kept: list[_Kept] = []

    async def run(self) -> None:
        """End every process that had no call for `IDLE_SECONDS`, until cancelled. When it is cancelled, end the
        processes that have no call. A process that has one ends if its call is cancelled."""
        try:
            while True:
                await trio.sleep(IDLE_SECONDS / 4)
                await self._end_idle(time.monotonic() - IDLE_SECONDS)
        finally:
            await self._end_idle(float("inf"))

    async def read(self, call: ReadCall, client: str) -> object:
        """Wait for a process, and return the result of `call` for the address `client` as `EncodedJson`.

        RpcError if the call ends in one, takes too long, its process dies, or the state that it reads is not kept.
        BusyError if too many calls wait, the wait was too long, or no process can be started. StorageError if the node
        cannot commit its blocks for the process.
        """
        seconds = self._setup.settings.call_seconds
        async with self._turns.turn(client), self._process() as (child, is_new):
            patience = seconds + GRACE_SECONDS + (START_SECONDS if is_new else 0)
            # The reader ends the call itself after `seconds`. This deadline is for a reader that hangs. `_process`
            # kills it, because the RpcError below leaves its block.
            with trio.move_on_after(patience) as waiting:
                answer = await self._asked(child, call, seconds)
            if waiting.cancelled_caught:
                log.warning("a reader process hangs and is killed", method=call.handler.__name__)
                raise timeout()
        return _result(answer)

    async def _asked(self, child: ReaderChild, call: ReadCall, seconds: float) -> ReaderAnswer:
        """Return the answer of a process whose database shows the head."""
        head_hash = self._database.head_hash()
        answer = await child.ask(ReaderTask(call, head_hash, seconds))
        if answer.outcome is ReaderOutcome.BEHIND:
            # A bulk import keeps its last blocks in the node's memory. The same head is asked for again, so one flush is
            # enough even if the chain grows meanwhile.
            await trio.to_thread.run_sync(self._database.flush)
            answer = await child.ask(ReaderTask(call, head_hash, seconds))
        # A reader cannot write, so it cannot repair the damage itself.
        for table, key in answer.damaged:
            await trio.to_thread.run_sync(self._database.read_again, table, key)
        self._database.add_engine_counts(answer.call_differences, answer.library_panics)
        return answer

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[tuple[ReaderChild, bool]]:
        """Give a process for one call, and whether it is a new one. It is kept only if the call ends without an
        exception."""
        child, is_new = await self._taken()
        try:
            yield child, is_new
        except ReaderDiedError:
            await self._end(child)
            log.warning("a reader process died, and the call that it worked on")
            raise internal_error() from None
        except BaseException:
            # After a cancellation the answer may still come. The next call would take it for its own.
            await self._end(child)
            raise
        self._kept.append(_Kept(child))

    async def _taken(self) -> tuple[ReaderChild, bool]:
        # The process that was used last comes first. The others can become idle and end.
        while self._kept:
            child = self._kept.pop().child
            if child.can_be_asked:
                return child, False
            await self._end(child)
        try:
            return await ReaderChild.start(self._setup), True
        except OSError as error:
            log.warning(f"no reader process can be started: {error}")
            raise BusyError("No reader can be started", TOO_MANY) from None

    async def _end_idle(self, asked_before: float) -> None:
        """End the processes that had no call since `asked_before` (monotonic seconds)."""
        # The list changes before the first `await`, so that no call gets a process that is about to end.
        idle = [kept for kept in self._kept if kept.asked_at < asked_before]
        self._kept = [kept for kept in self._kept if kept.asked_at >= asked_before]
        for kept in idle:
            await self._end(kept.child)

    async def _end(self, child: ReaderChild) -> None:
        """Kill a process and free its snapshot of the database."""
        # The node could never use the pages of the snapshot again, and the file would grow. The shield is needed because
        # this runs in cancelled tasks too.
        with trio.CancelScope(shield=True):
            await child.kill()
            await trio.to_thread.run_sync(self._database.forget_dead_readers)


def _result(answer: ReaderAnswer) -> object:
    if answer.error is not None:
        raise RpcError(*answer.error)
    if answer.outcome is not ReaderOutcome.RESULT:
        raise world_state_unavailable()
    return EncodedJson(answer.body)
