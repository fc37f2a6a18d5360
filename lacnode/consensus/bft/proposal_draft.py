"""A proposal before it is signed: the block, and the certificate that justifies it in a later round."""

from dataclasses import dataclass, replace

from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.messages import (
    Proposal,
    RoundChange,
    RoundChangeCertificate,
    certificate_fields,
    decode_certificate,
)
from lacnode.consensus.ibft2.payloads import ProposalPayload, SignedPayload
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpFields


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """A proposal before it is signed. `block` is None while it is being built. `certificate` is None in round 0 only.

    `digest` is the committed-seal hash of the block (32 bytes).
    """

    certificate: RoundChangeCertificate | None = None
    block: Block | None = None
    digest: bytes | None = None

    @classmethod
    def from_round_changes(cls, messages: tuple[RoundChange, ...]) -> "ProposalDraft":
        """A draft for a round that a quorum asks for. Its certificate has the signed parts of `messages`."""
        # Without their blocks: the proposal carries the one block that counts.
        return cls(tuple(message.signed for message in messages))

    def with_block(self, block: Block, digest: bytes) -> "ProposalDraft":
        return replace(self, block=block, digest=digest)

    def proposal(self, signed: SignedPayload[ProposalPayload]) -> Proposal | None:
        """The message with the signed payload, or None if the payload is not for this draft."""
        # An earlier draft of the same round may have been signed late.
        if self.block is None or self.digest != signed.payload.digest:
            return None
        return Proposal(signed, self.block, self.certificate)

    def encode(self) -> bytes:
        """Encode a draft with its block for the journal. It is never sent in this form."""
        assert self.block is not None
        return rlp.list_of_encoded(self.block.encode(), rlp.encode(certificate_fields(self.certificate)))

    @classmethod
    def decode(cls, data: bytes) -> "ProposalDraft":
        """Decode the bytes that `encode` made. Raises RlpError if they are not a draft."""
        fields = RlpFields(rlp.decode_list(data, "draft"), "draft")
        block, certificate = Block.from_item(fields.item("block")), decode_certificate(fields.item("certificate"))
        fields.end()
        # The digest is not stored: it follows from the header, and a wrong one would be signed after a restart.
        return cls(certificate, block, committed_seal_hash(block.header))
