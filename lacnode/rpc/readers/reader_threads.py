"""Readers that are threads of this process. They serve databases that no other process can read, as in a network inside one
process.

One call runs at a time and for a short time, so that consensus is not delayed.
"""

import time
from collections.abc import Callable
from functools import partial

import trio

from lacnode.rpc.fair_limiter import FairLimiter
from lacnode.rpc.read_calls import ReadCall, ReadContext
from lacnode.rpc.readers.reader_processes import WAIT_SECONDS, WAITING_CALLS, WAITING_CALLS_PER_CLIENT
from lacnode.rpc.time_share import TimeShare

THREAD_SHARE, THREAD_BURST_SECONDS = 0.3, 2.0
"""The share of the time that the calls may take, and how much of it may be saved up."""


class ReaderThreads:
    """Implements `request_runner.Readers` by one thread of this process. `reading` makes the context of a call that may
    take the given seconds. `seconds` is the time that one call may take."""

    def __init__(self, reading: Callable[[float], ReadContext], seconds: float) -> None:
        self._reading = reading
        self._seconds = seconds
        self._turns = FairLimiter(
            1, per_client=WAITING_CALLS_PER_CLIENT, total=WAITING_CALLS, wait_seconds=WAIT_SECONDS
        )
        self._limiter = trio.CapacityLimiter(1)
        self._share = TimeShare(THREAD_SHARE, THREAD_BURST_SECONDS)

    async def run(self) -> None:
        """Return at once: a thread ends with its call, so there is no upkeep."""

    async def read(self, call: ReadCall, client: str) -> object:
        """Wait for the thread, and return the result of `call` for the address `client`. RpcError, or another error, if
        the call ends in one. BusyError if too many wait or the wait was too long."""
        async with self._turns.turn(client):
            await trio.sleep(self._share.delay_seconds())
            return await trio.to_thread.run_sync(
                partial(self._answer, call), limiter=self._limiter, abandon_on_cancel=True
            )

    def _answer(self, call: ReadCall) -> object:
        begun = time.thread_time()
        try:
            return call.answer(self._reading(self._seconds))
        finally:
            self._share.spend(time.thread_time() - begun)
