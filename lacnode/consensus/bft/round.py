"""One round: its proposal, and the first prepare and the first commit of each author (Besu's `RoundState`).

Before a proposal is accepted, the first prepare and the first commit of each author are kept without a check. When the
proposal is accepted, those that do not fit it are dropped. Later messages of the same author change nothing.
"""

from enum import Enum

from lacnode.consensus.bft.blocks import seal_digest, with_round, with_seals
from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.message_rules import MessageRefusedError, check_commit, check_prepare
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    SignedPayload,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.primitives.block import Block


class Phase(Enum):
    """How far a round has come. It follows from the counted messages, and not from the order in which they came."""

    WAITING = "waiting for a proposal"
    PREPARING = "waiting for prepares"
    COMMITTING = "waiting for commits"
    DECIDED = "decided"


class Round:
    """The messages of round `number` of the committee's height. `block` and `digest` (32 bytes) are those of the
    accepted proposal, None before it. `prepares` and `commits` are by the address (20 bytes) of their author. They are
    checked once a proposal is accepted."""

    def __init__(self, protocol: BftProtocol, committee: Committee, number: int) -> None:
        self.number = number
        self.id = committee.round_id(number)
        self.proposer = committee.proposer(number)
        self.block: Block | None = None
        self.digest: bytes | None = None
        self.prepares: dict[bytes, SignedPayload[PreparePayload]] = {}
        self.commits: dict[bytes, SignedPayload[CommitPayload]] = {}
        self._protocol = protocol
        self._committee = committee
        self._signed_proposal: SignedPayload[ProposalPayload] | None = None
        self._seal_digest: bytes | None = None

    @property
    def has_proposal(self) -> bool:
        """Whether a proposal is accepted."""
        return self.digest is not None

    @property
    def is_prepared(self) -> bool:
        """Whether the accepted proposal has enough prepares. False before one is accepted."""
        return self.has_proposal and len(self.prepares) >= self._committee.prepares_needed

    @property
    def is_committed(self) -> bool:
        """Whether the accepted proposal has the commits of a quorum. False before one is accepted."""
        return self.has_proposal and len(self.commits) >= self._committee.quorum

    @property
    def phase(self) -> Phase:
        """The phase of the round: waiting for a proposal, preparing, committing, or decided."""
        # Commits may arrive without prepares, so DECIDED is tested before COMMITTING.
        if not self.has_proposal:
            return Phase.WAITING
        if self.is_committed:
            return Phase.DECIDED
        return Phase.COMMITTING if self.is_prepared else Phase.PREPARING

    @property
    def prepared_block(self) -> PreparedBlock:
        """The block of this round, with the proof that a quorum prepared it. Call it only when `is_prepared`."""
        assert self.block is not None
        assert self.digest is not None
        # Each prepare was checked when it was counted, so the certificate holds for every validator of this height.
        prepares = tuple(self.prepares.values())
        certificate = PreparedCertificate(self.number, self.digest, prepares, self._signed_proposal)
        return PreparedBlock(certificate, self.block)

    @property
    def own_commit(self) -> CommitPayload:
        """The own commit for the accepted proposal, without its seal and without its signature: `sign_payload` adds
        both. AssertionError if no proposal is accepted (`has_proposal`)."""
        assert self.digest is not None
        return CommitPayload(self.id, self.digest, seal_digest=self._seal_digest)

    @property
    def sealed_block(self) -> Block:
        """The accepted block with this round and the seals. Call it only when `is_committed`."""
        assert self.block is not None
        # A block may have been proposed with another round in its extra data. The seals sign it with this round.
        return with_seals(self._protocol, with_round(self._protocol, self.block, self.number), self.seals)

    @property
    def seals(self) -> tuple[bytes, ...]:
        """The commit seals (65 bytes each), in the order in which they came."""
        return tuple(commit.payload.seal for commit in self.commits.values() if commit.payload.seal is not None)

    def accept_proposal(self, block: Block, digest: bytes, signed: SignedPayload[ProposalPayload] | None) -> None:
        """Accept the block of a valid proposal, and check the prepares and commits that came before it.

        `digest` is the one that the messages of this round name (32 bytes). `signed` is the signed part of the
        proposal, None if it is not known. Raises RlpError if the extra data of the block is malformed.
        """
        self.block, self.digest, self._signed_proposal = block, digest, signed
        self._seal_digest = seal_digest(self._protocol, block, self.number)
        early_prepares, early_commits = self.prepares, self.commits
        # The kept messages go through the same check as later ones. An author whose early vote was for another block
        # can still send the right one.
        self.prepares, self.commits = {}, {}
        for prepare in early_prepares.values():
            self.add_prepare(prepare)
        for commit in early_commits.values():
            self.add_commit(commit)

    def add_prepare(self, signed: SignedPayload[PreparePayload]) -> str | None:
        """Count a prepare. Return the reason (a text) if the prepare is refused, None otherwise. A second prepare of an
        author is ignored, and the result is None. Before a proposal is accepted, a prepare is kept without a check.
        """
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
        """Count a commit. Return the reason (a text) if the commit is refused, None otherwise. A second commit of an
        author is ignored, and the result is None. Before a proposal is accepted, a commit is kept without a check.
        """
        if signed.author not in self.commits:
            if self.digest is not None:
                try:
                    # The check recovers the seal. A seal of another key would make the sealed block invalid everywhere.
                    check_commit(self._committee, signed, self.id, self.digest, self._seal_digest)
                except MessageRefusedError as refusal:
                    return str(refusal)
            self.commits[signed.author] = signed
        return None

    def describe_missing(self, own_address: bytes) -> str:
        """A text for operators that says what this round lacks: the proposal, or the prepares or commits of which
        validators. `own_address` (20 bytes) is the address of this node."""
        if self.phase is Phase.WAITING:
            whose = ", this node" if self.proposer == own_address else ""
            return f"no valid proposal from 0x{self.proposer.hex()}{whose}"
        preparing = self.phase is Phase.PREPARING
        heard: set[bytes] = set(self.prepares) if preparing else set(self.commits)
        if preparing and not self._committee.proposer_prepares:
            heard.add(self.proposer)
        silent = ", ".join(f"0x{address.hex()}" for address in self._committee.validators if address not in heard)
        count = len(self.prepares) if preparing else len(self.commits)
        return f"{count} {'prepares' if preparing else 'commits'}, missing {silent or 'none'}"
