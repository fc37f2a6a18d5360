"""Shares of one scarce thing, processor time, among users that nobody has invited.

Each user has a share that it may use up, and a smaller one that it keeps even where all users together want too much: one
that asks for much waits, and one that asks for little does not wait for it. Seconds and a clock are given; nothing sleeps
here.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

MAX_USERS = 1_024
"""Users that are remembered. They outlive their sessions, so that coming again gives nothing back; the one seen longest
ago is forgotten first."""


class TokenBucket:
    """Grows by `share` seconds a second, up to `burst_seconds`; may be overdrawn, and is then waited for."""

    def __init__(self, share: float, burst_seconds: float) -> None:
        self._share = share
        self._burst_seconds = burst_seconds
        self._left = burst_seconds
        self._at = -math.inf

    def spend(self, seconds: float, now: float) -> None:
        self._left = min(self._burst_seconds, self._left + (now - self._at) * self._share) - seconds
        self._at = now

    def wait_seconds(self, now: float) -> float:
        """Until nothing is overdrawn; 0.0 if nothing is."""
        return max(0.0, -(self._left + (now - self._at) * self._share) / self._share)


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of one processor (0 to 1): of all users, the most of one, and what one keeps however much others want.
    What is earned in `burst_seconds` may be used at once."""

    total: float
    most: float
    least: float
    burst_seconds: float

    def allowance(self, share: float) -> TokenBucket:
        return TokenBucket(share, share * self.burst_seconds)


class FairShare:
    """See the module's note. Times are seconds that only grow."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._total = shares.allowance(shares.total)
        self._users: OrderedDict[Hashable, tuple[TokenBucket, TokenBucket]] = OrderedDict()

    def spend(self, user: Hashable, seconds: float, now: float) -> None:
        """`user` made this node work for so long."""
        most, least = self._of(user)
        self._total.spend(seconds, now)
        most.spend(seconds, now)
        least.spend(seconds, now)

    def wait_seconds(self, user: Hashable, now: float) -> float:
        """How long `user` has to wait before more is done for it."""
        most, least = self._of(user)
        return max(most.wait_seconds(now), min(self._total.wait_seconds(now), least.wait_seconds(now)))

    def _of(self, user: Hashable) -> tuple[TokenBucket, TokenBucket]:
        allowances = self._users.pop(user, None)
        if allowances is None:
            allowances = self._shares.allowance(self._shares.most), self._shares.allowance(self._shares.least)
            if len(self._users) >= MAX_USERS:
                self._users.popitem(last=False)
        self._users[user] = allowances
        return allowances
