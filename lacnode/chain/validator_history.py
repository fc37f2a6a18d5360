"""The validators after each block: votes are replayed from the nearest block with known validators.

It follows IBFT 2.0 and Besu's `VoteTallyCache` and `ForkingVoteTallyCache`. Votes are rare, and an index finds them, so
replaying most of an epoch after a restart is quick. Blocks are final, so a tally is cached by the number of its block. This
file must not check headers.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.primitives.header import BlockHeader

CACHED_TALLIES = 128
"""The number of cached tallies."""


class VoteSource(Protocol):
    """The stored headers, and the numbers of those with votes (`chain.chain_history.ChainHistory`). Every method raises
    DamagedValueError or StorageError if the database cannot be read."""

    def header_at(self, number: int) -> BlockHeader | None:
        """The header of block `number`. None above the head."""

    def numbers_with_votes(self, first_number: int, last_number: int) -> Sequence[int]:
        """The numbers of the blocks from `first_number` to `last_number`, both included, whose headers have a vote,
        ascending."""

    def epoch_validators_not_in_header(self, number: int) -> tuple[bytes, ...] | None:
        """The validators (20-byte addresses, ascending) of epoch block `number`, if its header lists other ones. None
        otherwise."""


def next_tally(
    tally: VoteTally | None, header: BlockHeader, schedule: IbftSchedule, protocols: ProtocolSchedule
) -> VoteTally | None:
    """The tally after `header`, made without a stored block, because the votes are in headers. `tally` is the one after
    the parent. None, if a contract named those validators, counts as a tally without validators.

    Returns None if a contract names the validators of the block after `header`: its answer needs the state after
    `header`. Raises RlpError if the extra data is malformed.
    """
    if schedule.parameters_at(header.number + 1).validator_contract is not None:
        return None
    return _tally_after(tally or VoteTally.from_validators(()), header, schedule, protocols)


def _tally_after(
    tally: VoteTally, header: BlockHeader, schedule: IbftSchedule, protocols: ProtocolSchedule
) -> VoteTally:
    override = schedule.validators_replaced_at(header.number + 1)
    is_epoch = schedule.parameters_at(header.number).is_epoch_block(header.number)
    if override is None:
        return tally.after(
            header,
            protocols.extra_data(header),
            is_epoch=is_epoch,
            creator=protocols.creator(header),
            # The genesis lists the first validators, and no validator has voted in it.
            follows_goquorum=schedule.parameters_at(header.number).follows_goquorum and header.number > 0,
        )
    # A transition replaces the set for the next block. As in Besu, the vote of this block counts on top of it.
    fresh, vote = VoteTally.from_validators(override), protocols.extra_data(header).vote
    if vote is None or is_epoch:
        return fresh
    return fresh.with_vote(protocols.creator(header), vote)


class ValidatorHistory:
    """The validators and the open votes after each block of the chain in `stored`, as the votes in its headers and the
    transitions of `schedule` decide them. The last `CACHED_TALLIES` are cached. Safe to use from any thread."""

    def __init__(self, schedule: IbftSchedule, protocols: ProtocolSchedule, stored: VoteSource) -> None:
        self._schedule = schedule
        self._protocols = protocols
        self._stored = stored
        self._tallies: OrderedDict[int, VoteTally] = OrderedDict()
        self._lock = threading.Lock()

    def tally_after(self, header: BlockHeader) -> VoteTally:
        """The validators and the open votes after `header`, a block of the chain, by votes and transitions alone: no
        contract is asked. Raises KeyError if an ancestor is missing, and the errors of `VoteSource`."""
        number = header.number
        start, tally = self._nearest_remembered(number)
        fresh = max(self._last_epoch(number), self._last_override(number))
        # An epoch block or a transition starts a new tally. What was before it does not matter.
        # A cached tally from before the restart of the votes must not be replayed across it.
        if tally is None or start < fresh:
            start, tally = fresh, self._fresh_tally(fresh)
        for height in self._stored.numbers_with_votes(start + 1, number):
            header_with_vote = self._header(height)
            # No transition lies on the way: `start` is the last one or later.
            tally = _tally_after(tally, header_with_vote, self._schedule, self._protocols)
        self._remember(number, tally)
        return tally

    def _fresh_tally(self, number: int) -> VoteTally:
        """The tally after block `number`: an epoch block, or the last block before a transition.

        After a transition the vote in block `number` counts on top of the new set, unless it is an epoch block.
        """
        header = self._header(number)
        # GoQuorum's validators may decide an epoch block with any list. The import noted the validators then.
        known = self._stored.epoch_validators_not_in_header(number)
        before = self._protocols.extra_data(header).validators if known is None else known
        return _tally_after(VoteTally.from_validators(before), header, self._schedule, self._protocols)

    def _last_epoch(self, number: int) -> int:
        """The number of the last epoch block up to `number`. The epoch length may have changed in between."""
        # From the latest change of the length backwards. A step without an epoch block in it leads to the one before.
        for begins, parameters in reversed(self._schedule.steps):
            if begins > number:
                continue
            epoch = number - (number - parameters.epoch_begins) % parameters.epoch_length
            if epoch >= begins:
                return epoch
            number = begins - 1
        return 0

    def _last_override(self, number: int) -> int:
        return max((height - 1 for height, _ in self._schedule.overrides if 0 < height <= number + 1), default=0)

    def _header(self, number: int) -> BlockHeader:
        header = self._stored.header_at(number)
        if header is None:
            raise KeyError(f"block {number}, which names the validators of later blocks, is missing")
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
