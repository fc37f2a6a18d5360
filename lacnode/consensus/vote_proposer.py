"""What this validator wants to vote for, and which vote goes into its next block (Besu's `VoteProposer`).

Wishes live in memory and stay until they are discarded; a vote that would change nothing for this node is left out.
"""

from lacnode.consensus.extra_data import Vote, VoteType
from lacnode.consensus.vote_tally import VoteTally


class VoteProposer:
    """The wishes of one validator."""

    def __init__(self) -> None:
        self._wishes: dict[bytes, VoteType] = {}
        self._turn = 0

    def propose(self, recipient: bytes, add: bool) -> None:
        """From now on vote for `recipient` (20 bytes) to become a validator, or to stop being one."""
        self._wishes[recipient] = VoteType.ADD if add else VoteType.DROP

    def discard(self, recipient: bytes) -> None:
        """Stop voting about `recipient`; nothing happens if there was no such wish."""
        self._wishes.pop(recipient, None)

    @property
    def wanted_votes(self) -> dict[bytes, bool]:
        """Recipient to True (add) or False (drop)."""
        return {recipient: kind is VoteType.ADD for recipient, kind in self._wishes.items()}

    def next_vote(self, voter: bytes, tally: VoteTally) -> Vote | None:
        """The vote for the block that `voter` builds on the block of `tally`. Several wishes take turns."""
        votes = [Vote(recipient, kind) for recipient, kind in dict(self._wishes).items()]
        useful = [vote for vote in votes if _is_useful(vote, voter, tally)]
        if not useful:
            return None
        self._turn = (self._turn + 1) % len(useful)
        return useful[self._turn]


def _is_useful(vote: Vote, voter: bytes, tally: VoteTally) -> bool:
    opposite = Vote(vote.recipient, VoteType.DROP if vote.type is VoteType.ADD else VoteType.ADD)
    if tally.has_voted(voter, opposite):
        return True
    is_member = vote.recipient in tally.validators
    return is_member == (vote.type is VoteType.DROP) and not tally.has_voted(voter, vote)
