"""The validators after a block: votes counted from headers (Besu's `VoteTally` and `VoteTallyUpdater`).

A tally is a value. `after(header)` returns the next tally and does not change this one, so tallies of many blocks can
exist at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.primitives.header import BlockHeader

VotesByRecipient = Mapping[bytes, frozenset[bytes]]
"""The voters (20-byte addresses) for each recipient."""


@dataclass(frozen=True, slots=True)
class VoteTally:
    """The validators after a block, ascending (20-byte addresses), and the open votes to add an address and to remove one,
    by the address."""

    validators: tuple[bytes, ...]
    additions: VotesByRecipient = field(default_factory=dict)
    removals: VotesByRecipient = field(default_factory=dict)

    @classmethod
    def from_validators(cls, validators: tuple[bytes, ...]) -> "VoteTally":
        """A tally without votes: for an epoch block, or for a transition that replaces the validators. The addresses
        (20 bytes) may have any order and duplicates.
        """
        return cls(tuple(sorted(set(validators))))

    def after(
        self,
        header: BlockHeader,
        extra: ExtraData,
        *,
        is_epoch: bool,
        creator: bytes | None = None,
        follows_goquorum: bool = False,
    ) -> "VoteTally":
        """The tally after `header`, the header of the next block. `extra` is its decoded extra data. `is_epoch`: the
        block begins an epoch.

        `creator` is the address (20 bytes) of its creator, None for the coinbase. An epoch block restarts the tally
        with its own list of validators, and a vote in it is lost, as in Besu. With `follows_goquorum` an epoch block
        restarts the tally with the validators of this tally, and its vote counts.
        """
        tally = self
        if is_epoch:
            # Besu's header rules compared the list with this tally. GoQuorum has no such rule and reads no list.
            tally = VoteTally.from_validators(self.validators if follows_goquorum else extra.validators)
        if extra.vote is None or (is_epoch and not follows_goquorum):
            return tally
        return tally.with_vote(creator or header.coinbase, extra.vote)

    def with_vote(self, voter: bytes, vote: Vote) -> "VoteTally":
        """The tally after `voter` (20-byte address, the creator of the header) has cast `vote`. An opposite vote of
        `voter` about the same recipient is taken back.

        The recipient is added or removed once more than half of the validators before this vote want it. No vote about
        the recipient is open then. The votes of a removed validator are removed, too.
        """
        adding = vote.type is VoteType.ADD
        # A voter that changes its mind takes the opposite vote back.
        additions = _cast_vote(self.additions, vote.recipient, voter, adding)
        removals = _cast_vote(self.removals, vote.recipient, voter, not adding)
        for_it, against_it = additions.get(vote.recipient, frozenset()), removals.get(vote.recipient, frozenset())
        needed = len(self.validators) // 2 + 1
        # Counted against the validators before this vote, as in Besu: every node must come to the same set.
        validators = set(self.validators)
        if len(for_it) >= needed:
            validators.add(vote.recipient)
            additions.pop(vote.recipient, None)
            removals.pop(vote.recipient, None)
        if len(against_it) >= needed:
            validators.discard(vote.recipient)
            additions.pop(vote.recipient, None)
            removals.pop(vote.recipient, None)
            # Its votes are removed. A former validator could otherwise still decide who is added.
            additions = {recipient: voters - {vote.recipient} for recipient, voters in additions.items()}
            removals = {recipient: voters - {vote.recipient} for recipient, voters in removals.items()}
        return VoteTally(tuple(sorted(validators)), additions, removals)

    def has_voted(self, voter: bytes, vote: Vote) -> bool:
        """Whether this vote of `voter` (20-byte address) is open."""
        ballots = self.additions if vote.type is VoteType.ADD else self.removals
        return voter in ballots.get(vote.recipient, frozenset())


def _cast_vote(
    ballots: VotesByRecipient, recipient: bytes, voter: bytes, with_voter: bool
) -> dict[bytes, frozenset[bytes]]:
    # A copy: the tallies of earlier blocks are still in use.
    changed = dict(ballots)
    voters = changed.get(recipient, frozenset())
    changed[recipient] = voters | {voter} if with_voter else voters - {voter}
    return changed
