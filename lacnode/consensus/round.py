"""One round: its proposal, who prepared it, who committed it (Besu's `RoundState`).

Before a proposal is accepted, prepares and commits are kept unjudged, one per author; on acceptance those that do not
fit it are dropped. The first message of an author stays.
"""

from enum import Enum

from lacnode.consensus.ibft_messages import Proposal
from lacnode.consensus.ibft_payloads import (
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    SignedPayload,
)
from lacnode.consensus.message_validation import Committee, MessageRefusedError, check_commit, check_prepare
from lacnode.consensus.prepared_block import PreparedBlock


class Phase(Enum):
    """How far a round has come. It follows from what was counted, whatever came last."""

    WAITING = "waiting for a proposal"
    PREPARING = "waiting for prepares"
    COMMITTING = "waiting for commits"
    DECIDED = "decided"


class Round:
    """What is known of round `number` of the committee's height."""

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
        """Of the accepted proposal."""
        return None if self.proposal is None else self.proposal.signed.payload.digest

    @property
    def is_prepared(self) -> bool:
        return self.proposal is not None and len(self.prepares) >= self._committee.prepares_needed

    @property
    def is_committed(self) -> bool:
        return self.proposal is not None and len(self.commits) >= self._committee.quorum

    @property
    def phase(self) -> Phase:
        if self.proposal is None:
            return Phase.WAITING
        if self.is_committed:
            return Phase.DECIDED
        return Phase.COMMITTING if self.is_prepared else Phase.PREPARING

    @property
    def prepared_block(self) -> PreparedBlock:
        """The proof that this round prepared its proposal; only when `is_prepared`."""
        assert self.proposal is not None
        certificate = PreparedCertificate(self.proposal.signed, tuple(self.prepares.values()))
        return PreparedBlock(certificate, self.proposal.block)

    @property
    def seals(self) -> tuple[bytes, ...]:
        """The commit seals, in the order they came."""
        return tuple(commit.payload.seal for commit in self.commits.values() if commit.payload.seal is not None)

    def accept(self, proposal: Proposal) -> None:
        """The round's proposal is valid: judge what was kept for it."""
        self.proposal = proposal
        early_prepares, early_commits = self.prepares, self.commits
        self.prepares, self.commits = {}, {}
        for prepare in early_prepares.values():
            self.add_prepare(prepare)
        for commit in early_commits.values():
            self.add_commit(commit)

    def add_prepare(self, signed: SignedPayload[PreparePayload]) -> str | None:
        """Count a prepare; the reason if it is refused."""
        if signed.author not in self.prepares:
            if self.digest is not None:
                try:
                    check_prepare(self._committee, signed, self.id, self.digest)
                except MessageRefusedError as refusal:
                    return str(refusal)
            self.prepares[signed.author] = signed
        return None

    def add_commit(self, signed: SignedPayload[CommitPayload]) -> str | None:
        """Count a commit; the reason if it is refused."""
        if signed.author not in self.commits:
            if self.digest is not None:
                try:
                    check_commit(self._committee, signed, self.id, self.digest)
                except MessageRefusedError as refusal:
                    return str(refusal)
            self.commits[signed.author] = signed
        return None

    def missing(self, own_address: bytes) -> str:
        """What this round lacks, for people, as the validator `own_address` sees it."""
        if self.phase is Phase.WAITING:
            whose = ", this node" if self.proposer == own_address else ""
            return f"no valid proposal from 0x{self.proposer.hex()}{whose}"
        preparing = self.phase is Phase.PREPARING
        heard: set[bytes] = {self.proposer, *self.prepares} if preparing else set(self.commits)
        silent = ", ".join(f"0x{address.hex()}" for address in self._committee.validators if address not in heard)
        count = len(self.prepares) if preparing else len(self.commits)
        return f"{count} {'prepares' if preparing else 'commits'}, missing {silent or 'nobody'}"
