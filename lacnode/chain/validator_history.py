"""The validators after each block: votes replayed from the nearest place where they are known (IBFT 2.0, Besu's
`VoteTallyCache` and `ForkingVoteTallyCache`).

Votes are rare and found through an index, so replaying most of an epoch after a restart is quick. Blocks are final, so
a tally is remembered by its block's number. Must not judge headers.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.extra_data import ExtraData
from lacnode.consensus.vote_tally import VoteTally
from lacnode.primitives.header import BlockHeader

CACHED_TALLIES = 128
"""Tallies kept, as many blocks."""


class VoteSource(Protocol):
    """Where headers and the numbers of those with votes are found (`chain.history.ChainHistory`)."""

    def header_at(self, number: int) -> BlockHeader | None: ...

    def numbers_with_votes(self, start: int, end: int) -> Sequence[int]:
        """Ascending, both ends included."""
        ...


def next_tally(tally: VoteTally, header: BlockHeader, schedule: IbftSchedule) -> VoteTally:
    """The tally after `header`, where `tally` is the one before it. Needs no stored block: the votes are in headers."""
    override = schedule.validators_override(header.number + 1)
    epoch_length = schedule.at(header.number).epoch_length
    if override is None:
        return tally.after(header, epoch_length)
    fresh, vote = VoteTally.from_validators(override), ExtraData.decode(header.extra_data).vote
    if vote is None or header.number % epoch_length == 0:
        return fresh
    return fresh.with_vote(header.coinbase, vote)


class ValidatorHistory:
    """Tallies of the chain in `stored`."""

    def __init__(self, schedule: IbftSchedule, stored: VoteSource) -> None:
        self._schedule = schedule
        self._stored = stored
        self._tallies: OrderedDict[int, VoteTally] = OrderedDict()
        self._lock = threading.Lock()

    def tally_after(self, header: BlockHeader) -> VoteTally:
        """Validators and outstanding votes after `header`, a block of the chain; KeyError if an ancestor is missing."""
        number = header.number
        start, tally = self._nearest_remembered(number)
        fresh = max(self._last_epoch(number), self._last_override(number))
        if tally is None or start < fresh:
            start, tally = fresh, self._fresh_tally(fresh)
        for height in self._stored.numbers_with_votes(start + 1, number):
            tally = tally.after(self._header(height), self._schedule.at(height).epoch_length)
        self._remember(number, tally)
        return tally

    def _fresh_tally(self, number: int) -> VoteTally:
        """The tally after block `number`, an epoch block or the last before a transition that replaces the set.

        After a transition the vote in `number` still counts on top of the new set, unless it is an epoch block's.
        """
        header = self._header(number)
        if self._schedule.validators_override(number + 1) is None:
            return VoteTally.from_validators(ExtraData.decode(header.extra_data).validators)
        return next_tally(VoteTally.from_validators(()), header, self._schedule)

    def _last_epoch(self, number: int) -> int:
        """The highest epoch block up to `number`; the epoch's length may have changed on the way."""
        for begins, parameters in reversed(self._schedule.steps):
            if begins > number:
                continue
            epoch = number - number % parameters.epoch_length
            if epoch >= begins:
                return epoch
            number = begins - 1
        return 0

    def _last_override(self, number: int) -> int:
        return max((height - 1 for height, _ in self._schedule.overrides if 0 < height <= number + 1), default=0)

    def _header(self, number: int) -> BlockHeader:
        header = self._stored.header_at(number)
        if header is None:
            raise KeyError(f"block {number}, which tells the validators of later ones, is missing")
        return header

    def _nearest_remembered(self, number: int) -> tuple[int, VoteTally | None]:
        with self._lock:
            nearest = max((known for known in self._tallies if known <= number), default=0)
            return nearest, self._tallies.get(nearest)

    def _remember(self, number: int, tally: VoteTally) -> None:
        with self._lock:
            self._tallies[number] = tally
            self._tallies.move_to_end(number)
            while len(self._tallies) > CACHED_TALLIES:
                self._tallies.popitem(last=False)
