"""The validators after each block: votes replayed from the nearest place where they are known (IBFT 2.0, Besu's
`VoteTallyCache` and `ForkingVoteTallyCache`).

Blocks are final, so a tally is remembered by its block's number. Must not judge headers.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from lacnode.chainspec.ibft import IbftSchedule
from lacnode.consensus.extra_data import ExtraData
from lacnode.consensus.validators import VoteTally
from lacnode.primitives.header import BlockHeader

REMEMBERED = 128
"""Tallies kept, as many blocks."""


class ValidatorHistory:
    """Tallies of a chain whose stored headers `header_at` gives by number."""

    def __init__(self, schedule: IbftSchedule, header_at: Callable[[int], BlockHeader | None]) -> None:
        self._schedule = schedule
        self._header_at = header_at
        self._tallies: OrderedDict[int, VoteTally] = OrderedDict()
        self._lock = threading.Lock()

    def tally_after(self, header: BlockHeader) -> VoteTally:
        """Validators and outstanding votes after `header`, a block of the chain; KeyError if an ancestor is missing."""
        number = header.number
        start = self._nearest_known(number)
        tally = self._remembered(start)
        for height in range(start if tally is None else start + 1, number + 1):
            current = header if height == number else self._header_at(height)
            if current is None:
                raise KeyError(f"block {height}, whose vote counts after block {number}, is missing")
            tally = self._next(tally, current)
        if tally is None:
            raise KeyError(f"nothing tells the validators after block {number}")
        self._remember(number, tally)
        return tally

    def _nearest_known(self, number: int) -> int:
        """The highest height up to `number` after which the tally is remembered or needs no earlier one."""
        while number > 0 and self._remembered(number) is None and not self._starts_afresh(number):
            number -= 1
        return number

    def _starts_afresh(self, number: int) -> bool:
        epoch = number % self._schedule.at(number).epoch_length == 0
        return epoch or self._schedule.validators_override(number + 1) is not None

    def _next(self, tally: VoteTally | None, header: BlockHeader) -> VoteTally:
        """The tally after `header`. A transition of the next block replaces the set, and then the vote in `header`
        still counts on top of it, unless it is an epoch block's."""
        epoch_length = self._schedule.at(header.number).epoch_length
        override = self._schedule.validators_override(header.number + 1)
        if override is None:
            return (tally or VoteTally.of(())).after(header, epoch_length)
        fresh = VoteTally.of(tuple(override))
        vote = ExtraData.decode(header.extra_data).vote
        if vote is None or header.number % epoch_length == 0:
            return fresh
        return fresh.with_vote(header.coinbase, vote)

    def _remembered(self, number: int) -> VoteTally | None:
        with self._lock:
            return self._tallies.get(number)

    def _remember(self, number: int, tally: VoteTally) -> None:
        with self._lock:
            self._tallies[number] = tally
            self._tallies.move_to_end(number)
            while len(self._tallies) > REMEMBERED:
                self._tallies.popitem(last=False)
