"""The votes that this validator wants to cast, and the vote for its next block (Besu's `VoteProposer`).

Wanted votes are in memory, and stay until they are discarded. A vote that would change nothing is left out.
"""

from lacnode.consensus.bft.extra_data import Vote, VoteType
from lacnode.consensus.bft.vote_tally import VoteTally


class VoteProposer:
    """The votes that this validator wants to cast, and the choice of the one for its next block. They are in memory
    only, none at the start, and stay until they are discarded. Other threads may change them."""

    def __init__(self) -> None:
        self._wishes: dict[bytes, VoteType] = {}
        self._turn = 0

    def propose(self, recipient: bytes, add: bool) -> None:
        """From now on vote for `recipient` (20 bytes) to become a validator (`add` is True), or to stop being one. The
        new vote replaces an earlier one about this address.
        """
        self._wishes[recipient] = VoteType.ADD if add else VoteType.DROP

    def discard(self, recipient: bytes) -> None:
        """Stop voting about `recipient` (20 bytes). Does nothing if there is no such vote."""
        self._wishes.pop(recipient, None)

    @property
    def wanted_votes(self) -> dict[bytes, bool]:
        """The wanted votes: recipient (20-byte address) to True (add) or False (drop)."""
        return {recipient: kind is VoteType.ADD for recipient, kind in self._wishes.items()}

    def next_vote(self, voter: bytes, tally: VoteTally) -> Vote | None:
        """The vote for the block that `voter` (20-byte address) builds after `tally`. None if no wanted vote would
        change the tally. Several wanted votes take turns: each call goes on to the next one.
        """
        # A copy: RPC may change the wanted votes from another thread.
        votes = [Vote(recipient, kind) for recipient, kind in dict(self._wishes).items()]
        useful = [vote for vote in votes if _is_useful(vote, voter, tally)]
        if not useful:
            return None
        # In turns: a vote that never wins must not keep the others out of every block.
        self._turn = (self._turn + 1) % len(useful)
        return useful[self._turn]


def _is_useful(vote: Vote, voter: bytes, tally: VoteTally) -> bool:
    # A vote of the voter itself for the opposite is still counted. Only this vote takes it back.
    opposite = Vote(vote.recipient, VoteType.DROP if vote.type is VoteType.ADD else VoteType.ADD)
    if tally.has_voted(voter, opposite):
        return True
    # A vote for the present state, or a repeated vote, would fill the header without an effect. Besu leaves both out.
    is_member = vote.recipient in tally.validators
    return is_member == (vote.type is VoteType.DROP) and not tally.has_voted(voter, vote)
