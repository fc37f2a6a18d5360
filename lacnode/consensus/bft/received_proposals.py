"""The proposals of other validators at one height: which of them are examined, and which wait for their check.

The first proposal of each round's proposer counts, even if its block is invalid. Its block is checked by the effect
`CheckProposal`. This file must not accept a proposal: `height_manager` does when the answer is there.
"""

from lacnode.consensus.bft.effects import BlamePeer, CheckProposal, Effect, WriteLogLine
from lacnode.consensus.bft.messages import Proposal, round_id_of
from lacnode.consensus.bft.protocol import JustificationRules

MAX_PROPOSALS_CHECKED = 4
"""Checks of proposals that may be unanswered. With one more, the check of the lowest round is dropped. A quorum has asked
for every later round that has a proposal, so the lowest round is the least likely to matter."""


class ReceivedProposals:
    """The proposals of one height that are being checked, and the digest of the first one of each round, which may be
    invalid. `justifications` are the rules of the protocol of this height."""

    def __init__(self, justifications: JustificationRules) -> None:
        self._justifications = justifications
        self._checks: dict[tuple[int, bytes], Proposal] = {}
        """Proposals that are being checked, by round and digest. The digest names the header, and the body has been
        compared with the header before. The round is part of the key, because GoQuorum proposes one digest in several
        rounds. The check for one round may be cancelled, and the check for the next one must still be awaited."""
        self._first_digests: dict[int, bytes] = {}
        """The digest of the first proposal of each round's proposer, by round. It counts even if its block is invalid: a
        proposer that could try again could make us check blocks without end. Those of earlier rounds stay: the proposer of
        round 0 needs no proof, and could make us decode and relay any number of its blocks in later rounds."""

    def examine(self, proposal: Proposal) -> list[Effect]:
        """Return the effect that asks for the check of the proposed block, for a proposal of the current round or a
        later one. The proofs of the proposal were checked before. A second proposal for a round is not checked: the
        effects blame its author if it has another digest, and are empty otherwise. Beyond `MAX_PROPOSALS_CHECKED`
        unanswered checks, the proposal of the lowest round is forgotten, and its answer is then not needed.
        """
        round_, digest = round_id_of(proposal).round, proposal.signed.payload.digest
        if round_ in self._first_digests:
            return self._examine_second(proposal)
        is_new = self._justifications.proposes_new_block(proposal)
        # Only with true proofs this counts as the first proposal of its proposer. The justification is not signed by the
        # proposer: a peer that passes the proposal on can replace it. Counting earlier would let that peer use up the round.
        self.record_first_digest(round_, digest)
        self._checks[round_, digest] = proposal
        # Each check holds a whole block. The bound keeps validators of many rounds from filling the memory.
        if len(self._checks) > MAX_PROPOSALS_CHECKED:
            del self._checks[min(self._checks)]
        return [CheckProposal(round_, digest, proposal.block, is_prepared=not is_new)]

    def contradicts_first(self, proposal: Proposal) -> bool:
        """Whether the first proposal of the round of `proposal` is known and has another digest. Who proposed is not
        checked."""
        digest = proposal.signed.payload.digest
        return self._first_digests.get(round_id_of(proposal).round, digest) != digest

    def record_first_digest(self, round_: int, digest: bytes) -> None:
        """Record the digest (32 bytes) of the proposal that counts as the first one of `round_`. It replaces the digest
        that was recorded before."""
        self._first_digests[round_] = digest

    def record_digest_of_left_round(self, proposal: Proposal) -> None:
        """Keep the digest of `proposal`, if it is the first one of a round that this node has left. `contradicts_first`
        then finds a second one. Nothing else of it is kept, and its block is not checked."""
        # A quorum has asked for each later round that has a valid proposal. So few rounds have one, and a digest is short.
        self._first_digests.setdefault(round_id_of(proposal).round, proposal.signed.payload.digest)

    def pop_checked(self, round_: int, digest: bytes) -> Proposal | None:
        """Remove and return the proposal whose check for `round_` and `digest` (32 bytes) is answered. None if
        there is none: its round was left, it was forgotten, or the answer is about this node's own block.
        """
        return self._checks.pop((round_, digest), None)

    def remove_below(self, round_: int) -> None:
        """Forget the proposals for rounds before `round_` that are being checked. Their digests are kept."""
        # A check for this round or a later one is still useful: its answer may bring the proposal.
        self._checks = {checked: kept for checked, kept in self._checks.items() if checked[0] >= round_}

    def _examine_second(self, proposal: Proposal) -> list[Effect]:
        """Log a second proposal that differs from the first one, and blame its author."""
        payload = proposal.signed.payload
        if not self.contradicts_first(proposal):
            return []
        # A fault each time, because each one costs the decoding of a block. Besu keeps no journal, so it may propose twice
        # after a restart: one fault alone has no effect.
        text = f"0x{proposal.signed.author.hex()} proposed two blocks for {payload.round_id}"
        return [WriteLogLine("equivocation", text), BlamePeer(proposal.signed.author, text)]
