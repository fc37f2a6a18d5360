"""Short trials of read-only calls in this process, before a reader process is asked.

Most calls take a few milliseconds, and a reader costs memory and a second to start. A call that does not end within a
trial is answered by a reader. A client whose trial failed gets no other one for a while, so that its calls use up neither
the time of this process nor the trials of others.
"""

import time
from collections.abc import Callable

from lacnode.rpc.errors import CallTimeoutError
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.services import RpcServices
from lacnode.rpc.time_share import TimeShare

TRIAL_SECONDS = 0.02
"""How long a trial may take."""

TRIAL_SHARE, TRIAL_BURST_SECONDS = 0.2, 0.2
"""What all trials together may take of the time, and how much of it may be saved up."""

NO_TRIAL_SECONDS = 1.0
"""How long a client whose trial failed gets no other."""

MAX_CLIENTS = 1_000
"""Clients whose failed trials are remembered."""


class ShortReadTrials:
    """The trials of one node. Safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._share = TimeShare(TRIAL_SHARE, TRIAL_BURST_SECONDS, now)
        self._failed_at: dict[str, float] = {}

    def answer(self, call: ReadCall, services: RpcServices, client: str) -> tuple[bool, object]:
        """Whether the call ended within a trial, and its result. RpcError if that is how it ended."""
        if call.is_long or not self._allows(client):
            return False, None
        begun = time.thread_time()
        try:
            return True, call.answer(services.reading(TRIAL_SECONDS))
        except CallTimeoutError:
            self._remember(client)
            return False, None
        finally:
            self._share.spend(time.thread_time() - begun)

    def _allows(self, client: str) -> bool:
        failed_at = self._failed_at.get(client)
        if failed_at is not None and self._now() < failed_at + NO_TRIAL_SECONDS:
            return False
        return self._share.delay_seconds() == 0

    def _remember(self, client: str) -> None:
        if len(self._failed_at) >= MAX_CLIENTS:
            self._failed_at.clear()
        self._failed_at[client] = self._now()
