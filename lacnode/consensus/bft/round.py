"""One round: its proposal, the prepares and the commits for it (Besu's `RoundState`).

Before a proposal is accepted, the first prepare and the first commit of each author are kept without a check. When the
proposal is accepted, those that do not fit it are dropped. Later messages of the same author change nothing.
"""

from enum import Enum

from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.ibft2.message_validation import Committee, MessageRefusedError, check_commit, check_prepare
from lacnode.consensus.ibft2.messages import Proposal
from lacnode.consensus.ibft2.payloads import (
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    SignedPayload,
)


class Phase(Enum):
    """How far a round has come. It follows from the counted messages, and not from the order in which they came."""

    WAITING = "waiting for a proposal"
    PREPARING = "waiting for prepares"
    COMMITTING = "waiting for commits"
    DECIDED = "decided"


class Round:
    """The messages of round `number` of the committee's height."""

    def __init__(self, committee: Committee, number: int) -> None:
        self.number = number
        self.id = committee.round_id(number)
        self.proposer = committee.proposer(number)
        self.proposal: Proposal | None = None
        """The accepted proposal."""
        self.prepares: dict[bytes, SignedPayload[PreparePayload]] = {}
        self.commits: dict[bytes, SignedPayload[CommitPayload]] = {}
        self._committee = committee

    @property
    def digest(self) -> bytes | None:
        """The digest of the accepted proposal (32 bytes), or None."""
        return None if self.proposal is None else self.proposal.signed.payload.digest

    @property
    def is_prepared(self) -> bool:
        # The proposer sends no prepare: its proposal counts as one. So q-1 prepares are a quorum.
        return self.proposal is not None and len(self.prepares) >= self._committee.prepares_needed

    @property
    def is_committed(self) -> bool:
        return self.proposal is not None and len(self.commits) >= self._committee.quorum

    @property
    def phase(self) -> Phase:
        # Commits may arrive without prepares, so DECIDED is tested before COMMITTING.
        if self.proposal is None:
            return Phase.WAITING
        if self.is_committed:
            return Phase.DECIDED
        return Phase.COMMITTING if self.is_prepared else Phase.PREPARING

    @property
    def prepared_block(self) -> PreparedBlock:
        """The proof that this round prepared its proposal. Call it only when `is_prepared`."""
        assert self.proposal is not None
        # Each prepare was checked when it was counted, so the certificate holds for every validator of this height.
        certificate = PreparedCertificate(self.proposal.signed, tuple(self.prepares.values()))
        return PreparedBlock(certificate, self.proposal.block)

    @property
    def seals(self) -> tuple[bytes, ...]:
        """The commit seals (65 bytes each), in the order in which they came."""
        return tuple(commit.payload.seal for commit in self.commits.values() if commit.payload.seal is not None)

    def accept(self, proposal: Proposal) -> None:
        """Accept a valid proposal, and check the prepares and commits that came before it."""
        self.proposal = proposal
        early_prepares, early_commits = self.prepares, self.commits
        # The kept messages go through the same check as later ones. An author whose early vote was for another block
        # can still send the right one.
        self.prepares, self.commits = {}, {}
        for prepare in early_prepares.values():
            self.add_prepare(prepare)
        for commit in early_commits.values():
            self.add_commit(commit)

    def add_prepare(self, signed: SignedPayload[PreparePayload]) -> str | None:
        """Count a prepare. Return the reason if it is refused, None otherwise."""
        if signed.author not in self.prepares:
            if self.digest is not None:
                # Without a proposal there is no digest to compare with. `accept` checks the prepare later.
                try:
                    check_prepare(self._committee, signed, self.id, self.digest)
                except MessageRefusedError as refusal:
                    return str(refusal)
            self.prepares[signed.author] = signed
        # A second prepare of an author is ignored without a reason: peers deliver the same message several times.
        return None

    def add_commit(self, signed: SignedPayload[CommitPayload]) -> str | None:
        """Count a commit. Return the reason if it is refused, None otherwise."""
        if signed.author not in self.commits:
            if self.digest is not None:
                try:
                    # The check recovers the seal. A seal of another key would make the sealed block invalid everywhere.
                    check_commit(self._committee, signed, self.id, self.digest)
                except MessageRefusedError as refusal:
                    return str(refusal)
            self.commits[signed.author] = signed
        return None

    def missing(self, own_address: bytes) -> str:
        """What this round lacks, as text for operators of the validator `own_address` (20 bytes)."""
        if self.phase is Phase.WAITING:
            whose = ", this node" if self.proposer == own_address else ""
            return f"no valid proposal from 0x{self.proposer.hex()}{whose}"
        preparing = self.phase is Phase.PREPARING
        heard: set[bytes] = {self.proposer, *self.prepares} if preparing else set(self.commits)
        silent = ", ".join(f"0x{address.hex()}" for address in self._committee.validators if address not in heard)
        count = len(self.prepares) if preparing else len(self.commits)
        return f"{count} {'prepares' if preparing else 'commits'}, missing {silent or 'none'}"
