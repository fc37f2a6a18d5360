"""The validators of one height, with quorum and proposers."""

from dataclasses import dataclass

from lacnode.consensus.bft.payloads import RoundId
from lacnode.consensus.bft.proposer import proposer_for
from lacnode.consensus.bft.quorum import max_faulty, prepares_needed_beside_proposal, quorum


@dataclass(frozen=True, slots=True)
class Committee:
    """The validators of one height, ascending (20-byte addresses). `parent_creator` is the creator (20 bytes) of the
    parent block. `height` is the number of the block to agree on. `proposer_prepares`: the proposer sends a prepare
    like all others. `follows_goquorum`: GoQuorum's rule says who proposes after a creator that is a validator no
    longer. `proposers` are the validators in the order in which they propose, empty for the order of `validators`.
    """

    height: int
    validators: tuple[bytes, ...]
    parent_creator: bytes
    proposer_prepares: bool = False
    follows_goquorum: bool = False
    proposers: tuple[bytes, ...] = ()

    @property
    def quorum(self) -> int:
        """The number of commits that finalise a block, and of round changes that justify a new round."""
        return quorum(len(self.validators))

    @property
    def prepares_needed(self) -> int:
        """The number of prepares that make a proposal prepared: a quorum if the proposer prepares, otherwise one less."""
        # Where the proposer sends no prepare, its proposal counts as one.
        return self.quorum if self.proposer_prepares else prepares_needed_beside_proposal(len(self.validators))

    @property
    def max_faulty(self) -> int:
        """The number of validators that may be faulty or absent."""
        return max_faulty(len(self.validators))

    def proposer(self, round_: int) -> bytes:
        """The address (20 bytes) of the proposer of round `round_`, 0 or later."""
        order = self.proposers or self.validators
        return proposer_for(order, self.parent_creator, round_, follows_goquorum=self.follows_goquorum)

    def round_id(self, round_: int) -> RoundId:
        """Round `round_` of this height."""
        return RoundId(self.height, round_)
