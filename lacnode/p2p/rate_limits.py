"""How much each peer may do in a time: token buckets, one for each key.

A bucket outlives its session: a peer cannot fill its bucket by a new connection. Must not decide what happens beyond the
limit. Reads no clock.
"""

from collections import OrderedDict
from collections.abc import Hashable

MAX_BUCKETS = 1024
"""Keys that are remembered. Beyond that the key that was used longest ago is forgotten. It starts again with a full
bucket."""


class RateLimits:
    """Each key may spend `burst` at once, and `per_second` a second in the long run. An unknown key has spent nothing.
    `MAX_BUCKETS` keys are remembered. Use it from one thread."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def try_spend(self, key: Hashable, now: float, cost: float = 1.0) -> bool:
        """Deduct `cost` from what `key` may spend at `now` (seconds that only grow), and return True, if at least 1 is
        left. Otherwise deduct nothing and return False. `cost` may be more than what is left. The difference is a debt,
        which the following seconds pay off."""
        # Taken out and put in again at the end: the order of the dictionary is the order of the last use.
        left, seen = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self.per_second)
        allowed = left >= 1
        self._buckets[key] = (left - cost if allowed else left), now
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return allowed
