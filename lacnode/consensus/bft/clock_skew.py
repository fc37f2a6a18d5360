"""Estimates by the timestamps of proposals which validator's clock is wrong, and by how much.

In round 0 a proposer builds its block when its own clock shows the timestamp of the block. So the timestamp minus our
time of arrival is the offset of that clock to ours, minus the delay of building and sending. The delay can only make this
difference smaller, so the largest difference of the last proposals counts. The rest of the delay and the error of our own
clock are the same for all: each validator is compared with the median of all validators, this one included.

The result is for operators. Nothing in consensus may depend on it: a faulty validator can give its own clock any offset.
"""

from collections import deque
from statistics import median_low

SAMPLE_COUNT = 8
"""Proposals that are remembered per validator. The largest difference belongs to the proposal with the least delay."""

CLOCK_SKEW_LIMIT_MS = 700
"""The offset from which a clock counts as wrong. Blocks that are more than a second ahead are refused."""

MIN_CLOCKS = 3
"""The least number of clocks that can show which one is wrong."""


class ClockSkew:
    """Differences between clocks in milliseconds, by the 20-byte addresses of the validators."""

    def __init__(self) -> None:
        self._seen: dict[bytes, deque[int]] = {}
        self._last_height: dict[bytes, int] = {}

    def record_proposal_time(self, author: bytes, height: int, timestamp: int, now_ms: int) -> None:
        """Record a proposal of `author` (20-byte address) in round 0 of `height` with this `timestamp` (Unix seconds).

        `now_ms` is our wall clock (Unix milliseconds) when the proposal arrived, or when it was signed if it is our
        own. Only the first proposal of an author at a height counts. A proposal for a lower height than the author's last
        one is ignored.
        """
        # A faulty proposer may send many proposals at one height. They would push out all earlier samples.
        if height > self._last_height.get(author, -1):
            self._last_height[author] = height
            self._seen.setdefault(author, deque(maxlen=SAMPLE_COUNT)).append(1000 * timestamp - now_ms)

    def retain_only(self, validators: tuple[bytes, ...]) -> None:
        """Delete the samples of addresses that are not in `validators` (20-byte addresses)."""
        # A former validator proposes no longer. Its last samples would stay in the median forever.
        self._seen = {author: seen for author, seen in self._seen.items() if author in validators}
        self._last_height = {author: last for author, last in self._last_height.items() if author in self._seen}

    @property
    def offsets_ms(self) -> dict[bytes, int]:
        """How many milliseconds each known clock is ahead of the median clock, by the 20-byte address of its validator.
        Negative if it is behind. Empty with fewer than `MIN_CLOCKS` clocks.
        """
        # Two clocks that differ do not show which of them is wrong.
        if len(self._seen) < MIN_CLOCKS:
            return {}
        differences = {author: max(seen) for author, seen in self._seen.items()}
        # The median of up to f wrong clocks among n is still a clock that is right, or between two that are.
        median = median_low(differences.values())
        return {author: difference - median for author, difference in differences.items()}

    @property
    def skewed_offsets_ms(self) -> dict[bytes, int]:
        """The members of `offsets_ms` (20-byte address to milliseconds) that are `CLOCK_SKEW_LIMIT_MS` or more ahead or
        behind.
        """
        return {author: offset for author, offset in self.offsets_ms.items() if abs(offset) >= CLOCK_SKEW_LIMIT_MS}
