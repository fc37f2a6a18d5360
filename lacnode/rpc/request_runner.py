"""Runs the steps of an answer in worker threads of this process, and calls that only read in a reader process. The event
loop answers a short request itself where the method is quick.

There are few worker threads, because each of them makes the event loop, and so consensus, wait for the interpreter lock. All
of them together get only a share of the time. Private methods have threads of their own. They wait for a transaction
manager, which may be slow, and public methods must not wait with them. Searches for flexible groups have one thread and a
share of their own. Each of them asks the contracts of all groups, and sends must not wait for contracts of strangers.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from lacnode.fair_share import FairShare, Shares
from lacnode.rpc.dispatch import Pause, Reply, Steps
from lacnode.rpc.fair_limiter import FairLimiter
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.time_share import TimeShare
from lacnode.rpc.waiting_memory import WaitingRequestMemory
from lacnode.workers.thread_work import ThreadWork

WORKER_THREADS = 4
"""Number of steps that run at a time over all connections. Public and private methods have so many each."""

WORKER_SHARE, WORKER_BURST_SECONDS = 0.3, 1.0
"""The share of one processor's time that all steps together may take, those of searches for groups aside, and how much of it
may be saved up."""

REQUEST_COST_SECONDS, UNUSUAL_REQUEST_COST_SECONDS = 0.0001, 0.0002
"""Estimated time of the event loop for each request, and the time more for one that is not plain. They count for the share,
so that a flood of cheap calls waits too."""

SEARCH_THREADS = 1
"""Number of searches for flexible groups that run at a time over all connections."""

SEARCH_SHARE, SEARCH_BURST_SECONDS = 0.1, 1.0
"""The same as `WORKER_SHARE` for all searches for flexible groups together."""

QUICK_REQUEST_BYTES = 4_096
"""Length of a request whose JSON text the event loop may parse."""

BODY_BYTE_COST_SECONDS = 1e-8
"""Estimated time for each byte of a request. The event loop reads it and searches it for names of private methods."""

LONG_REQUEST_BYTES = 65_536
LONG_REQUEST_SHARES = Shares(total=0.1, most=0.08, least=0.02, burst_seconds=1.0)
"""The shares of one processor's time for the bytes of requests that are longer than `LONG_REQUEST_BYTES`, of all
addresses and of one. Such requests wait longer than others, because most of their cost arises before they can wait."""

_PRIVATE = re.compile(rb'"(?:eea_|privx?_|lac_\w*[pP]riva)')
_SEARCH = b'"privx_find'
_ESCAPE, _ESCAPED_LETTER = b"\\u00", re.compile(rb"\\u00[4-7]")


class Readers(Protocol):
    """Answers calls that only read the chain, outside of the event loop and of the worker threads."""

    async def read(self, call: ReadCall, client: str) -> object:
        """Return the result of `call` for the address `client`. RpcError if the call ends in one or takes too long.
        With reader processes also if its process dies, or if the state that it reads is not kept. BusyError if it is
        refused: too many calls wait, the wait was too long, or no process can be started. Other errors may pass
        through: StorageError, and with `ReaderThreads` each error of the call."""
        ...

    async def run(self) -> None:
        """Run the upkeep of the readers until cancelled, then end the readers. It may return at once if there is no
        upkeep."""


class RequestRunner:
    """Runs the steps of the requests of all ports of a node (JSON-RPC and GraphQL), in worker threads or `readers`. The
    work here has a share of the processor's time, and searches for flexible groups have another: a request waits while
    its share is used up. Use it on the event loop."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._share = TimeShare(WORKER_SHARE, WORKER_BURST_SECONDS)
        self._public, self._private = _Threads(WORKER_THREADS, self._share), _Threads(WORKER_THREADS, self._share)
        self._searches = _Threads(SEARCH_THREADS, TimeShare(SEARCH_SHARE, SEARCH_BURST_SECONDS))
        self._long_requests = FairShare(LONG_REQUEST_SHARES)
        self._waiting = WaitingRequestMemory()

    def charge_unusual_request(self) -> None:
        """Count the time that the event loop needs for a request that is not plain, which `h11` has read
        (`Request.is_plain`). Requests that come later may have to wait because of it. It runs no request."""
        self._share.spend(UNUSUAL_REQUEST_COST_SECONDS)

    def answer_at_once(self, request: bytes, steps: Steps) -> Reply | None:
        """Run the first of `steps` on the event loop, if `request` (the JSON text) is short and the share of the time
        is not used up. Return the reply if that was all. None if it was not, or if no step was run: `run` must run the
        rest then."""
        # Quick methods wait for the share as all others do. `run` knows how.
        if len(request) > QUICK_REQUEST_BYTES or self._share.delay_seconds():
            return None
        step = _timed(partial(next, steps), self._share)
        if isinstance(step, Reply):
            self._share.spend(REQUEST_COST_SECONDS + BODY_BYTE_COST_SECONDS * len(request))
            return step
        return None

    async def run(self, request: bytes, steps: Steps, client: str) -> Reply:
        """Run `steps` to their end and return their reply. `request` is the JSON text and `client` the sender's
        address. There is no time limit here: cancel it. A cancelled step goes on in its thread, and its result is
        dropped. An error of `readers` goes to the steps, which make a reply of it.

        Private calls have worker threads of their own, and so have searches for flexible groups. A batch with one
        private call counts as private, and one with such a search as a search. A request with an escaped letter counts
        as a search too, because the letter may be a part of such a name.
        """
        # The cost counts before the request waits. A flood of requests therefore slows itself down.
        self._share.spend(REQUEST_COST_SECONDS + BODY_BYTE_COST_SECONDS * len(request))
        if len(request) > LONG_REQUEST_BYTES:
            self._long_requests.spend(client, BODY_BYTE_COST_SECONDS * len(request), trio.current_time())
            await trio.sleep(self._long_requests.wait_seconds(client, trio.current_time()))
        threads = self._threads_for(request)
        resume: Callable[[], ReadCall | Pause] = partial(steps.send, None)
        while True:
            step = await threads.run(resume, steps, client)
            if isinstance(step, Reply):
                return step
            # Both kinds of steps give up their thread here. After `Pause` the request queues behind the other
            # addresses again.
            resume = partial(steps.send, None)
            if isinstance(step, ReadCall):
                resume = await self._read(request, steps, step, client)

    async def _read(self, request: bytes, steps: Steps, call: ReadCall, client: str) -> Callable[[], ReadCall | Pause]:
        try:
            # Counted here only: before this step the text is not parsed, or its call is in a thread, of which there are few.
            with self._waiting.hold(request, client):
                return partial(steps.send, await self._readers.read(call, client))
        except Exception as error:
            # The error is raised inside the generator, so that the dispatcher makes the reply to this one
            # call of a batch. It also logs what is no RpcError, such as a StorageError of the node's database.
            return partial(steps.throw, error)

    def _threads_for(self, request: bytes) -> "_Threads":
        # A long text is not parsed yet: parsing it belongs into a thread. A search for names is cheap and chooses the
        # thread. A request in the wrong threads gets the right answer, only later. No encoder escapes letters of ASCII.
        # Without the look for them, searches with an escaped name would hold the public threads.
        if _SEARCH in request or (_ESCAPE in request and _ESCAPED_LETTER.search(request)):
            return self._searches
        return self._private if _PRIVATE.search(request) else self._public


def _timed(resume: Callable[[], ReadCall | Pause], share: TimeShare) -> ReadCall | Pause | Reply:
    """Run one step, and take its processor time from `share`."""
    # Only the time of this thread counts: a step that waits for the lock or for a disk takes no processor time.
    begun = time.thread_time()
    try:
        return resume()
    except StopIteration as stop:
        reply: Reply = stop.value
        return reply
    finally:
        share.spend(time.thread_time() - begun)


class _Threads:
    """`count` worker threads with a share of the time, given round robin over the clients' addresses."""

    def __init__(self, count: int, share: TimeShare) -> None:
        self._turns = FairLimiter(count)
        self._share = share

    async def run(self, resume: Callable[[], ReadCall | Pause], steps: Steps, client: str) -> ReadCall | Pause | Reply:
        """Run `steps` from `resume` on until they give up the thread."""
        await self._turns.acquire(client)
        try:
            # The request waits while it holds its turn. Otherwise all waiting requests would see the debt paid at the
            # same moment, and run at once.
            delay_seconds = self._share.delay_seconds()
            if delay_seconds:
                await trio.sleep(delay_seconds)
            work = ThreadWork(partial(self._run_in_thread, resume, steps), self._turns.release)
        except BaseException:
            self._turns.release()
            raise
        return await work.result()

    def _run_in_thread(self, resume: Callable[[], ReadCall | Pause], steps: Steps) -> ReadCall | Pause | Reply:
        step = _timed(resume, self._share)
        while step is Pause.THREAD:
            step = _timed(partial(steps.send, None), self._share)
        return step
