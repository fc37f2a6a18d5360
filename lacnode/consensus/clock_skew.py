"""Whose clock is off, and by how much: estimated from the timestamps of proposals.

In round 0 a proposer builds its block when its own clock shows the block's timestamp, so the timestamp minus our time
of hearing it is how far that clock is ahead of ours, less the time that building and sending took. The delay only ever
makes it smaller, so of the last few proposals of a validator the largest difference counts. What remains of the delay,
and our own clock's error, is common to all: each validator is compared with the median of all of them, us included.

For people only: nothing in consensus may depend on it. A liar can give itself any offset, and nobody else.
"""

from collections import deque
from statistics import median_low

SAMPLE_COUNT = 8
"""Proposals per validator that are remembered: the largest difference is the least delayed one."""

CLOCK_SKEW_LIMIT_MS = 700
"""Offset from which a clock counts as off. Blocks more than a second ahead are refused."""

MIN_CLOCKS = 3
"""Clocks needed to say which one is wrong."""


class ClockSkew:
    """Differences between clocks, in milliseconds, by the validators' 20-byte addresses."""

    def __init__(self) -> None:
        self._seen: dict[bytes, deque[int]] = {}
        self._last_height: dict[bytes, int] = {}

    def observe(self, author: bytes, height: int, timestamp: int, now_ms: int) -> None:
        """`author` proposed a block in round 0 of `height` with that `timestamp` (seconds), heard at `now_ms` on our
        clock, or signed then if it is our own. Only the first one at a height counts."""
        if height > self._last_height.get(author, -1):
            self._last_height[author] = height
            self._seen.setdefault(author, deque(maxlen=SAMPLE_COUNT)).append(1000 * timestamp - now_ms)

    def retain_only(self, validators: tuple[bytes, ...]) -> None:
        """Forget everybody else."""
        self._seen = {author: seen for author, seen in self._seen.items() if author in validators}
        self._last_height = {author: last for author, last in self._last_height.items() if author in self._seen}

    @property
    def offsets_ms(self) -> dict[bytes, int]:
        """How far each known clock is ahead of the median one (behind: negative); empty while too few are known."""
        if len(self._seen) < MIN_CLOCKS:
            return {}
        differences = {author: max(seen) for author, seen in self._seen.items()}
        median = median_low(differences.values())
        return {author: difference - median for author, difference in differences.items()}

    @property
    def skewed(self) -> dict[bytes, int]:
        """Those of `offsets_ms` that are too large."""
        return {author: offset for author, offset in self.offsets_ms.items() if abs(offset) >= CLOCK_SKEW_LIMIT_MS}
