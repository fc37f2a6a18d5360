"""Which reader answers which call: a queue that is fair to addresses, processes that are started when a call needs one,
killed when a call overruns, and ended when nobody asks. On the event loop, which never waits for a reader.
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
"""Calls that may wait for a reader, of one address and of all."""

WAIT_SECONDS = 60.0
"""How long a call may wait for a reader."""

START_SECONDS = 20.0
"""What a new process gets for its first call besides the time of the call."""

GRACE_SECONDS = 3.0
"""How long after the end of a call's time its reader is killed: it looks at the time itself, and only a reader that hangs
does not."""

IDLE_SECONDS = 120.0
"""How long a process that nobody asks is kept."""


@dataclass(frozen=True, slots=True)
class NodeDatabase:
    """What readers need of the node. `head_hash` is the head's. `flush` commits what only the memory of the node shows.
    `forget_dead_readers` frees what a killed process held in the database. `read_again` reads the value of a table and a
    key, so that the node meets the damage that a reader met, and repairs it. All three are called in a worker thread."""

    head_hash: Callable[[], bytes]
    flush: Callable[[], None]
    forget_dead_readers: Callable[[], None]
    read_again: Callable[[str, bytes], None]


@dataclass(slots=True)
class _Kept:
    """A process that waits for a call. `asked_at` is on the monotonic clock, 0 before its first answer."""

    child: ReaderChild
    asked_at: float = field(default_factory=time.monotonic)


class ReaderProcesses:
    """At most `processes` reader processes that read what `setup` says."""

    def __init__(self, setup: ReaderSetup, database: NodeDatabase, processes: int) -> None:
        self._setup = setup
        self._database = database
        self._turns = FairLimiter(
            processes, per_client=WAITING_CALLS_PER_CLIENT, total=WAITING_CALLS, wait_seconds=WAIT_SECONDS
        )
        self._kept: list[_Kept] = []

    async def run(self) -> None:
        """End idle processes, until cancelled; then end all of them."""
        try:
            while True:
                await trio.sleep(IDLE_SECONDS / 4)
                await self._end_idle(time.monotonic() - IDLE_SECONDS)
        finally:
            await self._end_idle(float("inf"))

    async def read(self, call: ReadCall, client: str) -> object:
        """The result of `call` for the address `client`; RpcError, BusyError if too many wait."""
        seconds = self._setup.settings.call_seconds
        async with self._turns.turn(client), self._process() as (child, is_new):
            patience = seconds + GRACE_SECONDS + (START_SECONDS if is_new else 0)
            with trio.move_on_after(patience) as waiting:
                answer = await self._asked(child, call, seconds)
            if waiting.cancelled_caught:
                log.warning("a reader process hangs and is killed", method=call.handler.__name__)
                raise timeout()
        return _result(answer)

    async def _asked(self, child: ReaderChild, call: ReadCall, seconds: float) -> ReaderAnswer:
        """The answer of a process whose database shows the head."""
        head_hash = self._database.head_hash()
        answer = await child.ask(ReaderTask(call, head_hash, seconds))
        if answer.outcome is ReaderOutcome.BEHIND:  # a bulk import keeps its last blocks in memory
            await trio.to_thread.run_sync(self._database.flush)
            answer = await child.ask(ReaderTask(call, head_hash, seconds))
        for table, key in answer.damaged:
            await trio.to_thread.run_sync(self._database.read_again, table, key)
        return answer

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[tuple[ReaderChild, bool]]:
        """A process for one call, and whether it is a new one. It is kept if the call ends in good order."""
        child, is_new = await self._taken()
        try:
            yield child, is_new
        except ReaderDiedError:
            await self._end(child)
            log.warning("a reader process died, and the call that it worked on")
            raise internal_error() from None
        except BaseException:
            await self._end(child)
            raise
        self._kept.append(_Kept(child))

    async def _taken(self) -> tuple[ReaderChild, bool]:
        while self._kept:
            child = self._kept.pop().child
            if child.is_running:
                return child, False
            await self._end(child)
        try:
            return await ReaderChild.start(self._setup), True
        except OSError as error:
            log.warning(f"no reader process can be started: {error}")
            raise BusyError("No reader can be started", TOO_MANY) from None

    async def _end_idle(self, asked_before: float) -> None:
        """End the processes that nobody has asked since `asked_before` (monotonic seconds)."""
        idle = [kept for kept in self._kept if kept.asked_at < asked_before]
        self._kept = [kept for kept in self._kept if kept.asked_at >= asked_before]
        for kept in idle:
            await self._end(kept.child)

    async def _end(self, child: ReaderChild) -> None:
        """A killed process may have held a snapshot, whose pages the node could never use again."""
        with trio.CancelScope(shield=True):
            await child.kill()
            await trio.to_thread.run_sync(self._database.forget_dead_readers)


def _result(answer: ReaderAnswer) -> object:
    if answer.error is not None:
        raise RpcError(*answer.error)
    if answer.outcome is not ReaderOutcome.RESULT:
        raise world_state_unavailable()
    return EncodedJson(answer.body)
