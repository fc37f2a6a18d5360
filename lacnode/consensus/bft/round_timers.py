"""The times of one height: when its block is due, and when its rounds end (Besu's `BlockTimer` and `RoundTimer`).

The timer of round 0 starts with the height, or when the block is due: that is a rule of the protocol. With a period of
empty blocks it starts when an empty block is due, and it is shortened once there is something to mine (`pool_search`). The
timer of a later round starts with that round. Its duration doubles from round to round. A long round is divided into parts.
After each part but the last, the validator sends its messages again, so that a network finds together after an outage. The
parts are summed up and not read from the wall clock: setting the clock does not make a round longer.
"""

from lacnode.consensus.bft.effects import StartBlockTimer, StartRoundTimer
from lacnode.consensus.bft.events import HeadChanged

MAX_DOUBLINGS = 16
"""How often the duration of a round can double. It stays bounded after an outage of days."""

RESEND_INTERVAL_MS = 30_000
"""The longest wait in a long round before a validator sends its messages again."""


class RoundTimers:
    """The two timers of the height after `head`. `round_ends_ms` is when the current round ends, and `block_due_ms` the
    time for which the timer of a block of this node was last set in the round. Both are in Unix milliseconds, for
    operators, and None if there is no such time.

    `first_round_waits_for_block` is the rule of the protocol (`protocol.BftProtocol`). `may_search` says whether the
    pool may be searched at this height.
    """

    def __init__(
        self, head: HeadChanged, first_round_waits_for_block: bool = False, *, may_search: bool = True
    ) -> None:
        self.round_ends_ms: int | None = None
        self.block_due_ms: int | None = None
        self._head = head
        self._height = head.header.number + 1
        self._round = 0
        self._left_ms = 0
        self._first_round_waits_for_block = first_round_waits_for_block
        self._may_search = may_search
        self._is_shortened = False
        self._is_shortened_by_search = False
        self._waits_for_quorum = False

    def start_round(self, number: int, now_ms: int) -> StartRoundTimer:
        """Start round `number` at `now_ms` (Unix milliseconds). Return the timer of its first part. The round lasts the
        request timeout, doubled for each earlier round (at most `MAX_DOUBLINGS` times).

        With `first_round_waits_for_block`, round 0 lasts longer by the time until its block is due. With a period of
        empty blocks that is an empty block, unless the round was shortened, and round 1 lasts longer while other
        validators may wait for an empty block in round 0. Without `first_round_waits_for_block` no round lasts longer.
        """
        # The duration doubles until some round is long enough for the slowest validator and the slowest connection.
        duration = self._round_duration_ms(number)
        waits_for_empty_block = self._waits_for_empty_block and not self._is_shortened
        if number == 0 and self._first_round_waits_for_block:
            # The time until the block is due belongs to no round in these protocols. A validator that counted it would
            # ask for round 1 before all others do. Nor does the time in which the proposer waits for a transaction.
            until_empty_block = self._empty_block_due - now_ms if waits_for_empty_block else 0
            duration += max(0, self._first_block_due(now_ms) - now_ms, until_empty_block)
        self._waits_for_quorum = number == 1 and self._waits_for_empty_block
        if self._waits_for_quorum:
            # The others may still wait for the empty block. A validator that went on from round to round alone would be
            # in a round of many minutes when they come.
            left = self._empty_block_due + self._head.request_timeout_ms - now_ms
            duration += min(max(0, left), self._head.empty_block_period_ms)
        # The block timer of the last round is void: its event names a round that was left.
        self.block_due_ms = None
        return self._start(number, duration, now_ms)

    @property
    def left_round_zero_by_search(self) -> bool:
        """Whether round 0 was left after a search of the own pool had shortened it. False if only a proposal had. After
        such a round `SearchPause` may forbid searches."""
        return self._is_shortened_by_search and self._round > 0

    def can_shorten(self, now_ms: int) -> bool:
        """Whether the current round is round 0, and would end earlier if it were shortened at `now_ms` (Unix
        milliseconds).
        """
        waits = self._round == 0 and self._waits_for_empty_block and not self._is_shortened
        return waits and now_ms + self._head.block_period_ms < self._empty_block_due

    def shorten_by_search(self, now_ms: int) -> list[StartRoundTimer]:
        """Let round 0 wait no longer from `now_ms` (Unix milliseconds) on, because there is something to mine. Return
        its new timer. Empty if round 0 would not end earlier by that.
        """
        self._is_shortened_by_search |= self.can_shorten(now_ms)
        return self.end_waiting(now_ms)

    def end_waiting(self, now_ms: int) -> list[StartRoundTimer]:
        """From `now_ms` (Unix milliseconds) on, let round 0 wait no longer for transactions, or round 1 for a quorum.
        Return the new timer. Empty if the current round waits for neither, or if round 0 would not end earlier by that.
        """
        if self._waits_for_quorum:
            self._waits_for_quorum = False
            return [self._start(self._round, self._round_duration_ms(self._round), now_ms)]
        if not self.can_shorten(now_ms):
            return []
        self._is_shortened = True
        # One block period more than the timeout: the proposer looks into its pool once a block period, so it may propose
        # that much later than this validator knows that there is something to mine.
        return [self._start(0, self._round_duration_ms(0) + self._head.block_period_ms, now_ms)]

    def next_part_timer(self) -> StartRoundTimer | None:
        """Begin the next part of the current round, and return its timer. None if the round is over. Call it once when
        the timer of a part has expired.

        A part has at most `RESEND_INTERVAL_MS`. Between two parts the validator sends its messages again.
        """
        return self._slice() if self._left_ms > 0 else None

    def start_first_search_timer(self, now_ms: int) -> list[StartBlockTimer]:
        """The timer for the first search of the pool: when the block is due. Empty if the pool is not to be searched at
        this height, or if the search could not shorten the round. `now_ms` is in Unix milliseconds.
        """
        return self._search_timer(self._first_block_due(now_ms), now_ms)

    def start_search_timer(self, now_ms: int) -> list[StartBlockTimer]:
        """The timer for another search of the pool, one block period from `now_ms` (Unix milliseconds). Empty if the
        pool is not to be searched at this height, or if the search could not shorten the round.
        """
        return self._search_timer(now_ms + self._head.block_period_ms, now_ms)

    def start_first_block_timer(self, now_ms: int) -> StartBlockTimer:
        """The timer for the block of round 0: one block period after its parent.

        Timestamps are whole seconds. A period below one second therefore starts at `now_ms` (Unix milliseconds), when
        the parent became the head here.
        """
        return self._block(self._first_block_due(now_ms))

    def start_empty_block_timer(self, now_ms: int) -> StartBlockTimer | None:
        """The timer for another try to build a block with transactions. None if an empty block may be proposed at
        `now_ms` (Unix milliseconds).
        """
        if now_ms >= self._empty_block_due:
            return None
        # One period from now, as in Besu: a transaction that comes now waits no longer than in a busy network.
        return self._block(min(self._empty_block_due, now_ms + self._head.block_period_ms))

    def timestamp_for_round(self, number: int, now_ms: int) -> int | None:
        """The timestamp in Unix seconds of a block that is built at `now_ms` (Unix milliseconds) for round `number`.
        None if its parent is too recent.

        Besu does not wait in later rounds, and then refuses its own block.
        """
        # Rounded half up in round 0: a timer that fires some milliseconds early must not cost a second. Later rounds
        # start at any time, and rounding up would put the timestamp into the future.
        timestamp = (now_ms + 500) // 1000 if number == 0 else now_ms // 1000
        return timestamp if timestamp >= self._earliest else None

    def start_earliest_block_timer(self) -> StartBlockTimer:
        """The timer that expires when a block may follow its parent."""
        return self._block(self._earliest * 1000)

    @property
    def _earliest(self) -> int:
        # The header rule compares whole seconds, so the period is rounded down.
        return self._head.header.timestamp + self._head.block_period_ms // 1000

    @property
    def _empty_block_due(self) -> int:
        """When a block without transactions may be proposed, in Unix milliseconds. 0 without such a rule."""
        period = self._head.empty_block_period_ms
        return self._head.header.timestamp * 1000 + period if period else 0

    @property
    def _waits_for_empty_block(self) -> bool:
        """Whether round 0 lasts longer at this height because its proposer may wait for a transaction."""
        return self._first_round_waits_for_block and self._head.empty_block_period_ms > self._head.block_period_ms

    def _round_duration_ms(self, number: int) -> int:
        return self._head.request_timeout_ms << min(number, MAX_DOUBLINGS)

    def _start(self, number: int, duration_ms: int, now_ms: int) -> StartRoundTimer:
        self._round, self._left_ms = number, duration_ms
        self.round_ends_ms = now_ms + duration_ms
        return self._slice()

    def _search_timer(self, due_ms: int, now_ms: int) -> list[StartBlockTimer]:
        # Not in `block_due_ms`: this validator builds no block.
        is_useful = self._may_search and self.can_shorten(max(due_ms, now_ms))
        return [StartBlockTimer(self._height, self._round, due_ms)] if is_useful else []

    def _first_block_due(self, now_ms: int) -> int:
        period = self._head.block_period_ms
        return now_ms + period if period < 1000 else self._head.header.timestamp * 1000 + period

    def _slice(self) -> StartRoundTimer:
        delay = min(self._left_ms, RESEND_INTERVAL_MS)
        # The last part is shorter. A part of zero milliseconds would never end the round.
        self._left_ms -= delay
        return StartRoundTimer(self._height, self._round, delay)

    def _block(self, due_ms: int) -> StartBlockTimer:
        self.block_due_ms = due_ms
        return StartBlockTimer(self._height, self._round, due_ms)
