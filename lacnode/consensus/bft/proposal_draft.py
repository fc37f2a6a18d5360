"""A proposal before it is signed: the block, and what justifies it in a later round."""

from dataclasses import dataclass, replace

from lacnode.consensus.bft.messages import NO_JUSTIFICATION, Justification, Proposal
from lacnode.consensus.bft.payloads import ProposalPayload, SignedPayload
from lacnode.primitives.block import Block


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """A proposal before it is signed. `block` is None while it is being built.

    `digest` is the committed-seal hash of the block (32 bytes).
    """

    justification: Justification = NO_JUSTIFICATION
    block: Block | None = None
    digest: bytes | None = None

    def with_block(self, block: Block, digest: bytes) -> "ProposalDraft":
        """The same draft with the built `block` and its committed-seal hash `digest` (32 bytes)."""
        return replace(self, block=block, digest=digest)

    def to_proposal(self, signed: SignedPayload[ProposalPayload]) -> Proposal | None:
        """The message with the signed payload, or None if the payload is not for this draft."""
        # An earlier draft of the same round may have been signed late.
        if self.block is None or self.digest != signed.payload.digest:
            return None
        return Proposal(signed, self.block, self.justification)
