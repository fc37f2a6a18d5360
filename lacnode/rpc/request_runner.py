"""Where the steps of an answer run: in worker threads of this process, and for what only reads in a reader process.

Worker threads are few, because each makes the event loop, and so consensus, wait for the interpreter lock; and together
they may take only a share of the time. Private methods have threads of their own: they wait for a transaction manager, which
may take its time, and public ones must not wait for it with them.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from lacnode.fair_share import FairShare, Shares
from lacnode.rpc.dispatch import Pause, Reply, Steps
from lacnode.rpc.errors import RpcError
from lacnode.rpc.fair_limiter import FairLimiter
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.time_share import TimeShare

WORKER_THREADS = 4
"""Steps that run at once, over all connections, of public and of private methods each."""

WORKER_SHARE, WORKER_BURST_SECONDS = 0.3, 1.0
"""What all steps together may take of one processor's time, and how much of it may be saved up."""

REQUEST_COST_SECONDS = 0.0002
"""What the event loop does for each request besides: it counts for the share, so that a flood of cheap calls waits too."""

BODY_BYTE_COST_SECONDS = 1e-8
"""What the event loop and the system do for each byte of a request: they read it, and look for names of private methods."""

LONG_REQUEST_BYTES = 65_536
LONG_REQUEST_SHARES = Shares(total=0.1, most=0.08, least=0.02, burst_seconds=1.0)
"""What the bytes of requests that are longer may take of one processor's time: of all addresses, and of one. Such requests
wait longer than others, since most of their cost is paid before they can wait."""

_PRIVATE = re.compile(rb'"(?:eea_|privx?_|lac_\w*[pP]riva)')


class Readers(Protocol):
    """What answers calls that only read."""

    async def read(self, call: ReadCall, client: str) -> object:
        """The result of `call` for the address `client`; RpcError, BusyError if it is refused."""
        ...

    async def run(self) -> None:
        """Keep the readers in order, until cancelled; then end them."""


class RequestRunner:
    """Runs the requests of a node."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._public, self._private = _Threads(), _Threads()
        self._share = TimeShare(WORKER_SHARE, WORKER_BURST_SECONDS)
        self._long_requests = FairShare(LONG_REQUEST_SHARES)

    async def run(self, request: bytes, steps: Steps, client: str) -> Reply:
        """The reply that `steps` end with, for a request's JSON text from the address `client`.

        A batch with one private call is a private one; a name behind escapes counts as public.
        """
        self._share.spend(REQUEST_COST_SECONDS + BODY_BYTE_COST_SECONDS * len(request))
        if len(request) > LONG_REQUEST_BYTES:
            self._long_requests.spend(client, BODY_BYTE_COST_SECONDS * len(request), trio.current_time())
            await trio.sleep(self._long_requests.wait_seconds(client, trio.current_time()))
        threads = self._private if _PRIVATE.search(request) else self._public
        resume: Callable[[], ReadCall | Pause] = partial(next, steps)
        while True:
            step = await threads.run(partial(self._step, resume), self._share, client)
            if isinstance(step, Reply):
                return step
            resume = partial(steps.send, None)
            if isinstance(step, ReadCall):
                resume = await self._read(steps, step, client)

    async def _read(self, steps: Steps, call: ReadCall, client: str) -> Callable[[], ReadCall | Pause]:
        try:
            return partial(steps.send, await self._readers.read(call, client))
        except RpcError as error:
            return partial(steps.throw, error)

    def _step(self, resume: Callable[[], ReadCall | Pause]) -> ReadCall | Pause | Reply:
        """One step, in a worker thread."""
        begun = time.thread_time()
        try:
            return resume()
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply
        finally:
            self._share.spend(time.thread_time() - begun)


class _Threads:
    """Worker threads, lent round robin over the clients' addresses."""

    def __init__(self) -> None:
        self._turns = FairLimiter(WORKER_THREADS)
        self._limiter = trio.CapacityLimiter(WORKER_THREADS)
        """A thread whose request was given up still counts, where its turn does not."""

    async def run(
        self, step: Callable[[], ReadCall | Pause | Reply], share: TimeShare, client: str
    ) -> ReadCall | Pause | Reply:
        async with self._turns.turn(client):
            delay_seconds = share.delay_seconds()
            if delay_seconds:
                await trio.sleep(delay_seconds)
            return await trio.to_thread.run_sync(step, limiter=self._limiter, abandon_on_cancel=True)
