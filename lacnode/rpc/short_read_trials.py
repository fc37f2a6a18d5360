"""Short trials of read-only calls in this process, before a reader process is asked.

Most calls take a few milliseconds, and a reader costs memory and a second to start. A reader answers a call that does not
end within its trial. A client whose trial failed gets no other one for a while. Its calls then use up neither the time of
this process nor the trials of other clients.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from lacnode.rpc.block_answers import LARGE_BLOCK_BYTES
from lacnode.rpc.errors import CallTimeoutError
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.services import RpcServices
from lacnode.rpc.time_share import TimeShare

TRIAL_SECONDS = 0.02
"""Time that a trial may take."""

TRIAL_SHARE, TRIAL_BURST_SECONDS = 0.2, 0.2
"""The share of the time that all trials together may take, and how much of it may be saved up."""

NO_TRIAL_SECONDS = 1.0
"""Time for which a client whose trial failed gets no other one."""

MAX_CLIENTS = 1_000
"""Number of clients whose failed trials are remembered."""


class ShortReadTrials:
    """Makes short trials of read-only calls in this process, before a reader process is asked, and limits their time
    together. Safe to use from several threads. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._share = TimeShare(TRIAL_SHARE, TRIAL_BURST_SECONDS, now)
        self._failed_at: dict[str, float] = {}

    def try_answer(self, call: ReadCall, services: RpcServices, client: str) -> tuple[bool, object]:
        """Try `call` in this thread for at most `TRIAL_SECONDS`, for the address `client`. Return True and its result if
        it ended within the trial, else False and None. RpcError, or another error, if the call ended in one within the
        trial.

        No trial is made, and the answer is False and None at once, for a long call (`ReadCall.is_long`), for a client
        whose last trial ran out of time less than `NO_TRIAL_SECONDS` ago, or if all trials together have used up their
        share of the time.
        """
        if call.is_long or not self._allows(client):
            return False, None
        begun = time.thread_time()
        try:
            # The decoding of a large block cannot be stopped at the deadline, so it is not begun.
            reading = replace(services.read_context(TRIAL_SECONDS), max_block_bytes=LARGE_BLOCK_BYTES)
            return True, call.answer(reading)
        # A timeout here is not the caller's: the call begins again in a reader, with the full time.
        except CallTimeoutError:
            self._remember(client)
            return False, None
        finally:
            self._share.spend(time.thread_time() - begun)

    def _allows(self, client: str) -> bool:
        failed_at = self._failed_at.get(client)
        if failed_at is not None and self._now() < failed_at + NO_TRIAL_SECONDS:
            return False
        # Trials do not wait for the share. A reader answers the call at once instead.
        return self._share.delay_seconds() == 0

    def _remember(self, client: str) -> None:
        if len(self._failed_at) >= MAX_CLIENTS:
            # An attacker with many addresses can make this node forget failures, but the share of
            # all trials still holds.
            self._failed_at.clear()
        self._failed_at[client] = self._now()
