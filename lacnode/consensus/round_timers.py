"""When this height's block is due, and when its rounds end (Besu's `BlockTimer` and `RoundTimer`).

A round's timer starts with the round, round 0's with the height, and doubles from round to round. A long round is cut
into slices: at the end of each but the last, the machine says again what it has said, which is how networks meet after
an outage. Slices are added up, not read from the wall clock, so that a clock that is set does not stretch a round.
"""

from lacnode.consensus.effects import StartBlockTimer, StartRoundTimer
from lacnode.consensus.events import HeadChanged

MAX_DOUBLINGS = 16
"""Round timers double this often at most: a network that was down for a week is not down for another."""

RESEND_INTERVAL_MS = 30_000
"""Longest wait before a validator in a long round says again what it has said there."""


class RoundTimers:
    """The two timers of the height after `head`. What is due is kept for showing, in Unix milliseconds."""

    def __init__(self, head: HeadChanged) -> None:
        self.round_ends_ms: int | None = None
        self.block_due_ms: int | None = None
        self._head = head
        self._height = head.header.number + 1
        self._round = 0
        self._left_ms = 0

    def start_round(self, number: int, now_ms: int) -> StartRoundTimer:
        """Round `number` begins now and lasts `requesttimeoutseconds * 2^number`."""
        duration = self._head.request_timeout_ms * 2 ** min(number, MAX_DOUBLINGS)
        self._round, self._left_ms = number, duration
        self.round_ends_ms, self.block_due_ms = now_ms + duration, None
        return self._slice()

    def next_round_timer(self) -> StartRoundTimer | None:
        """The timer has fired: the next slice of this round, or None if that was the last."""
        return self._slice() if self._left_ms > 0 else None

    def start_first_block_timer(self, now_ms: int) -> StartBlockTimer:
        """Round 0's block: a period after its parent. Timestamps are whole seconds, so a period below one second runs
        from the moment the parent became the head."""
        period = self._head.block_period_ms
        due = now_ms + period if period < 1000 else self._head.header.timestamp * 1000 + period
        return self._block(due)

    def timestamp(self, number: int, now_ms: int) -> int | None:
        """The timestamp in seconds of a block built now for round `number`; None if its parent is too recent.

        Besu rounds in round 0 and cuts off later, where it does not wait either, and then refuses its own block.
        """
        timestamp = (now_ms + 500) // 1000 if number == 0 else now_ms // 1000
        return timestamp if timestamp >= self._earliest else None

    def start_earliest_block_timer(self) -> StartBlockTimer:
        """Wait until a block may follow its parent."""
        return self._block(self._earliest * 1000)

    @property
    def _earliest(self) -> int:
        return self._head.header.timestamp + self._head.block_period_ms // 1000

    def _slice(self) -> StartRoundTimer:
        delay = min(self._left_ms, RESEND_INTERVAL_MS)
        self._left_ms -= delay
        return StartRoundTimer(self._height, self._round, delay)

    def _block(self, due_ms: int) -> StartBlockTimer:
        self.block_due_ms = due_ms
        return StartBlockTimer(self._height, self._round, due_ms)
