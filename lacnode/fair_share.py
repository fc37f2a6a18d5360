"""Shares of processor time among users that this node does not choose, such as peers.

Each user has a share that it may use up, and a smaller share that it keeps when all users together want too much. A user
that wants much waits, and a user that wants little does not wait for it. The caller gives all times. Must not sleep or read
a clock.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

MAX_USERS = 1_024
"""Users that are remembered. They outlive their sessions, so that a new session gives no new share. The user that was seen
longest ago is forgotten first. Users that are present are never forgotten."""


class TokenBucket:
    """Processor time that a user may spend. It begins with `burst_seconds`, and grows by `share` seconds a second, up
    to `burst_seconds`. It may become negative, because the cost is known only after the work. The user must then wait
    until it is negative no longer. The caller enforces this: nothing waits here."""

    def __init__(self, share: float, burst_seconds: float) -> None:
        self._share = share
        self._burst_seconds = burst_seconds
        self._left = burst_seconds
        # The first `spend` thus finds a full bucket: the growth since then is infinite and is cut to the burst.
        self._at = -math.inf

    def spend(self, seconds: float, now: float) -> None:
        """Deduct `seconds` of processor time at `now` (seconds that only grow)."""
        self._left = min(self._burst_seconds, self._left + (now - self._at) * self._share) - seconds
        self._at = now

    def hold_back(self, seconds: float, now: float) -> None:
        """Take back what was saved up: the user must wait for `seconds` from `now` on at least."""
        self.spend(0.0, now)
        self._left = min(self._left, -seconds * self._share)

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the bucket is not overdrawn any longer, 0.0 if it is not overdrawn at `now`."""
        return max(0.0, -(self._left + (now - self._at) * self._share) / self._share)


@dataclass(frozen=True, slots=True)
class Shares:
    """How much time of one processor a `FairShare` gives. Parts are from 0 to 1."""

    total: float
    """The part of all users together."""
    most: float
    """The largest part of one user."""
    least: float
    """The part that one user keeps while the others want more than `total`."""
    burst_seconds: float
    """A user may use at once what the share gives in so many seconds."""
    newcomer_seconds: float = 0.0
    """For so many seconds a new user does not have the part `least`. Otherwise users that take a new name for each piece of
    work would get more than `total` together."""

    def new_bucket(self, share: float) -> TokenBucket:
        """Return a full bucket for `share` of a processor."""
        return TokenBucket(share, share * self.burst_seconds)


class FairShare:
    """Counts the processor time of each user, and says how long the user must wait. It stops nothing: the caller waits.
    Times are seconds that only grow. An unknown user has used nothing and is new. The `MAX_USERS` users that were named
    last are remembered, and those that are present. Use it from one thread."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._total = shares.new_bucket(shares.total)
        self._users: OrderedDict[Hashable, tuple[TokenBucket, TokenBucket]] = OrderedDict()
        self._present: set[Hashable] = set()

    def arrive(self, user: Hashable, now: float) -> None:
        """Count `user` as present until `leave`, and as new from `now` on: it may have been here before. Without that,
        names that were used once could be kept in store."""
        _, least = self._of(user, now)
        self._hold_back(least, now)
        self._present.add(user)

    def leave(self, user: Hashable) -> None:
        """Count `user` as present no longer. Nothing happens if it is not present."""
        self._present.discard(user)

    def spend(self, user: Hashable, seconds: float, now: float) -> None:
        """Count `seconds` of processor time that `user` has caused until `now`. It may use up more than its share, and
        then waits longer."""
        most, least = self._of(user, now)
        self._total.spend(seconds, now)
        most.spend(seconds, now)
        least.spend(seconds, now)

    def wait_seconds(self, user: Hashable, now: float) -> float:
        """Return the seconds that `user` must wait before this node works for it again, 0.0 if it need not wait. It
        must wait until its part `most` is not overdrawn, and until the `total` or its part `least` is not overdrawn."""
        most, least = self._of(user, now)
        # The largest share always limits a user. The total limits it only while its smallest share is used up as well:
        # a user that wants little goes on although others have used up the total.
        return max(most.wait_seconds(now), min(self._total.wait_seconds(now), least.wait_seconds(now)))

    def _of(self, user: Hashable, now: float) -> tuple[TokenBucket, TokenBucket]:
        # Taken out and put in again: the order of the dictionary is the order of the last use.
        allowances = self._users.pop(user, None)
        if allowances is None:
            allowances = self._shares.new_bucket(self._shares.most), self._shares.new_bucket(self._shares.least)
            self._hold_back(allowances[1], now)
            if len(self._users) >= MAX_USERS:
                self._forget_one()
        self._users[user] = allowances
        return allowances

    def _hold_back(self, least: TokenBucket, now: float) -> None:
        if self._shares.newcomer_seconds:
            least.hold_back(self._shares.newcomer_seconds, now)

    def _forget_one(self) -> None:
        # Those that are present are few. A crowd of new names must not turn them into new users.
        for user in self._users:
            if user not in self._present:
                del self._users[user]
                return
