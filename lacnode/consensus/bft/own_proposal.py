"""The proposal that this validator makes in the current round: its states, and the steps between them.

A proposal is built, checked, recorded, signed and sent. Each of these takes time, and the answers arrive as events. The
state says which answer is expected, so that an answer that arrives twice, or too late, changes nothing. `TRANSITIONS`
is the table of all steps. The same table is in docs/spec/ibft2.md, and a test compares the two.

This file must not decide whether this validator may propose. `height_manager` decides that.
"""

from enum import Enum

from lacnode.consensus.bft.messages import Proposal
from lacnode.consensus.bft.payloads import ProposalPayload, SignedPayload
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.primitives.block import Block


class ProposerState(Enum):
    """How far this validator is with its own proposal for a round."""

    NONE = "no proposal"
    BUILDING = "the block is being built"
    CHECKING = "the block is being checked"
    SIGNING = "the proposal is being signed"
    SENT = "the proposal is sent"


class ProposerStep(Enum):
    """What moves the own proposal from one state to another."""

    START_BLOCK = "a new block is needed"
    PROPOSE_PREPARED = "a prepared block is proposed again"
    BLOCK_BUILT = "the block is built"
    CHECK_PASSED = "the block is valid"
    CHECK_FAILED = "the block is invalid"
    RESTORE_SIGNED = "the journal has a signed proposal"
    SIGNED = "the payload is signed"


TRANSITIONS: dict[tuple[ProposerState, ProposerStep], ProposerState] = {
    # Three ways to begin: round 0 or a round without a prepared block, a round with one, and a restart.
    (ProposerState.NONE, ProposerStep.START_BLOCK): ProposerState.BUILDING,
    (ProposerState.NONE, ProposerStep.PROPOSE_PREPARED): ProposerState.CHECKING,
    (ProposerState.NONE, ProposerStep.RESTORE_SIGNED): ProposerState.SIGNING,
    # There is no way from BUILDING to SIGNING: a block that was not checked is never signed.
    (ProposerState.BUILDING, ProposerStep.BLOCK_BUILT): ProposerState.CHECKING,
    (ProposerState.CHECKING, ProposerStep.CHECK_PASSED): ProposerState.SIGNING,
    # Nothing is signed yet, so the round may still get another block.
    (ProposerState.CHECKING, ProposerStep.CHECK_FAILED): ProposerState.NONE,
    # There is no way back from SIGNING. If the signer fails, the round ends by its timer: a second block for the round
    # could meet the first signature.
    (ProposerState.SIGNING, ProposerStep.SIGNED): ProposerState.SENT,
}
"""Every step that is possible, by the state in which it is possible. A new round starts with a new object in `NONE`."""


class OwnProposal:
    """The own proposal of one round. A step that `TRANSITIONS` does not list is a fault of the caller: KeyError."""

    def __init__(self) -> None:
        self.state = ProposerState.NONE
        self._draft = ProposalDraft()

    def start_block(self, draft: ProposalDraft) -> None:
        """Expect a new block for `draft`, which has no block yet. Raises KeyError unless the state is `NONE`."""
        self._step(ProposerStep.START_BLOCK)
        self._draft = draft

    def block_built(self, block: Block, digest: bytes) -> None:
        """Record the new `block` with its committed-seal hash `digest` (32 bytes). Its check is expected next. Raises
        KeyError unless the state is `BUILDING`."""
        self._step(ProposerStep.BLOCK_BUILT)
        self._draft = self._draft.with_block(block, digest)

    def propose_prepared(self, draft: ProposalDraft) -> None:
        """Begin with `draft`, whose block a quorum prepared in an earlier round. The check of that block is expected
        next. Raises KeyError unless the state is `NONE`."""
        self._step(ProposerStep.PROPOSE_PREPARED)
        self._draft = draft

    def restore_signed(self, draft: ProposalDraft) -> None:
        """Begin with `draft`, whose proposal this validator signed before it restarted. Its signature is expected once
        more. Raises KeyError unless the state is `NONE`."""
        self._step(ProposerStep.RESTORE_SIGNED)
        self._draft = draft

    def is_checking(self, digest: bytes) -> bool:
        """Whether the answer to the check of the block with this digest (32 bytes) is expected."""
        return self.state is ProposerState.CHECKING and self._draft.digest == digest

    def check_passed(self) -> ProposalDraft:
        """Record that the block is valid. Return the draft to record and sign. Raises KeyError unless the state is
        `CHECKING`."""
        self._step(ProposerStep.CHECK_PASSED)
        return self._draft

    def check_failed(self) -> None:
        """Record that the block is invalid and must not be proposed. Another proposal may begin. Raises KeyError unless
        the state is `CHECKING`."""
        self._step(ProposerStep.CHECK_FAILED)
        self._draft = ProposalDraft()

    def payload_signed(self, payload: SignedPayload[ProposalPayload]) -> Proposal | None:
        """Return the message to send with the signed `payload`, and go to the state `SENT`. None, without a change, if
        `payload` is not the one that waits for its signature."""
        # A signature may arrive twice: the signer answers late, and the node has asked again after a restart.
        if self.state is not ProposerState.SIGNING:
            return None
        proposal = self._draft.to_proposal(payload)
        if proposal is not None:
            self._step(ProposerStep.SIGNED)
        return proposal

    def _step(self, step: ProposerStep) -> None:
        self.state = TRANSITIONS[self.state, step]
