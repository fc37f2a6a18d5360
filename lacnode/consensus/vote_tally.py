"""Who the validators are: votes counted from headers (Besu's `VoteTally` and `VoteTallyUpdater`).

A tally is a value: `after(header)` gives the next one and leaves this one alone, so that tallies of many blocks can be
kept beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lacnode.consensus.extra_data import ExtraData, Vote, VoteType
from lacnode.primitives.header import BlockHeader

VotesByRecipient = Mapping[bytes, frozenset[bytes]]
"""Recipient to those who voted for it."""


@dataclass(frozen=True, slots=True)
class VoteTally:
    """The validators after some block, ascending, and the votes outstanding there."""

    validators: tuple[bytes, ...]
    additions: VotesByRecipient = field(default_factory=dict)
    removals: VotesByRecipient = field(default_factory=dict)

    @classmethod
    def from_validators(cls, validators: tuple[bytes, ...]) -> "VoteTally":
        """A fresh tally without votes: at an epoch block, or where a transition replaces the set."""
        return cls(tuple(sorted(set(validators))))

    def after(self, header: BlockHeader, epoch_length: int) -> "VoteTally":
        """The tally after `header`, the next block.

        An epoch block restarts it from its own list of validators, and whatever vote it carries is lost.
        """
        extra = ExtraData.decode(header.extra_data)
        if header.number % epoch_length == 0:
            return VoteTally.from_validators(extra.validators)
        return self if extra.vote is None else self.with_vote(header.coinbase, extra.vote)

    def with_vote(self, voter: bytes, vote: Vote) -> "VoteTally":
        """The tally after `voter` (the header's coinbase) has cast `vote`.

        More than half of the validators before this vote must agree. Votes of a removed validator vanish with it.
        """
        adding = vote.type is VoteType.ADD
        additions = _cast(self.additions, vote.recipient, voter, adding)
        removals = _cast(self.removals, vote.recipient, voter, not adding)
        for_it, against_it = additions.get(vote.recipient, frozenset()), removals.get(vote.recipient, frozenset())
        needed = len(self.validators) // 2 + 1
        validators = set(self.validators)
        if len(for_it) >= needed:
            validators.add(vote.recipient)
            additions.pop(vote.recipient, None)
            removals.pop(vote.recipient, None)
        if len(against_it) >= needed:
            validators.discard(vote.recipient)
            additions.pop(vote.recipient, None)
            removals.pop(vote.recipient, None)
            additions = {recipient: voters - {vote.recipient} for recipient, voters in additions.items()}
            removals = {recipient: voters - {vote.recipient} for recipient, voters in removals.items()}
        return VoteTally(tuple(sorted(validators)), additions, removals)

    def has_voted(self, voter: bytes, vote: Vote) -> bool:
        """Whether this very vote of `voter` is outstanding."""
        ballots = self.additions if vote.type is VoteType.ADD else self.removals
        return voter in ballots.get(vote.recipient, frozenset())


def _cast(ballots: VotesByRecipient, recipient: bytes, voter: bytes, with_voter: bool) -> dict[bytes, frozenset[bytes]]:
    changed = dict(ballots)
    voters = changed.get(recipient, frozenset())
    changed[recipient] = voters | {voter} if with_voter else voters - {voter}
    return changed
