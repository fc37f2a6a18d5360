"""Searches of the own pool while the proposer of round 0 may wait for a transaction.

With a period of empty blocks, round 0 lasts for that period and the request timeout. A proposer that is silent would make
waiting transactions wait as long. So each other validator looks into its own pool once a block period. If there is
something to mine, round 0 ends after one request timeout and one block period.

The pool of the proposer may lack what is in this one. Then the round is left for nothing. `SearchPause` bounds how often.
Must not leave a round: `height_manager` does that when the round timer expires.
"""

from lacnode.consensus.bft.effects import Effect, SearchPool
from lacnode.consensus.bft.events import HeadChanged
from lacnode.consensus.bft.round import Round
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT


class PoolSearch:
    """Searches the pool of this node in `round_`, whose proposer is another validator and may wait for a transaction.
    `timers` are those of the height. Every method returns its effects.

    `now_ms` is the wall clock in Unix milliseconds.
    """

    def __init__(self, round_: Round, timers: RoundTimers) -> None:
        self._round = round_
        self._timers = timers

    def start(self, now_ms: int) -> list[Effect]:
        """Return the effect that starts the timer of the first search. Empty if the round does not wait for
        transactions, or if the pool is not to be searched at this height (`SearchPause`).
        """
        return list(self._timers.start_first_search_timer(now_ms)) if self._round.number == 0 else []

    def timer_expired(self, now_ms: int) -> list[Effect]:
        """Return the effect that searches the pool, or that waits on if a block that is built now would be too close to
        its parent. Empty if there is a proposal already, or if the round cannot be shortened. It never proposes.
        """
        if self._round.has_proposal or not self._timers.can_shorten(now_ms):
            return []
        # As for a block that is built now: some transactions can be mined only from a certain time on.
        timestamp = self._timers.timestamp_for_round(self._round.number, now_ms)
        if timestamp is None:
            return list(self._timers.start_search_timer(now_ms))
        return [SearchPool(self._round.id.sequence, self._round.number, timestamp)]

    def search_finished(self, found: bool, now_ms: int) -> list[Effect]:
        """Return the effects that shorten the round if something was `found`, and otherwise the timer of another search
        after one block period. Empty if there is a proposal already, or if the round would not end earlier by that.
        """
        if self._round.has_proposal:
            return []
        # Only after the answer: a pool that is slow to search must not have many searches to do.
        return list(self._timers.shorten_by_search(now_ms) if found else self._timers.start_search_timer(now_ms))


class SearchPause:
    """The heights at which this node does not search its pool, after a height whose round 0 was left for nothing: the
    proposer of round 0 made the block after all, or the next proposer had no transaction either.

    A pause has as many heights as there are validators, so each of them, this one included, proposes once in it. So a
    transaction that only some pools take costs one round in this time, and not one at each height.
    """

    def __init__(self) -> None:
        self._last_height = 0

    def allows_search(self, height: int) -> bool:
        """Whether the pool may be searched at `height`."""
        return height > self._last_height

    def record_round_left_early(self, height: int, head: HeadChanged, decided_round: int) -> None:
        """Record that this validator left round 0 of `height`, which a search had shortened. `head` was decided in
        `decided_round`. If that round is 0, if `head` has another number than `height`, or if `head` has no
        transaction, the heights after `head` have no search: as many as there are validators."""
        is_mined = head.header.transactions_root != EMPTY_TRIE_ROOT
        if head.header.number != height or not is_mined or decided_round == 0:
            self._last_height = head.header.number + len(head.validators)
