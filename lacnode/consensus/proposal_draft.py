"""What the proposer of a round is working on, from "it is my turn" to the signed proposal."""

from dataclasses import dataclass, replace

from lacnode.consensus.block_hash import committed_seal_hash
from lacnode.consensus.ibft_messages import (
    Proposal,
    RoundChange,
    RoundChangeCertificate,
    certificate_fields,
    decode_certificate,
)
from lacnode.consensus.ibft_payloads import ProposalPayload, SignedPayload
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpFields


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """A proposal in the making. `block` is None while it is being built; `certificate` is None in round 0 only."""

    certificate: RoundChangeCertificate | None = None
    block: Block | None = None
    digest: bytes | None = None

    @classmethod
    def from_round_changes(cls, messages: tuple[RoundChange, ...]) -> "ProposalDraft":
        """A draft for a round that a quorum has asked for."""
        return cls(tuple(message.signed for message in messages))

    def with_block(self, block: Block, digest: bytes) -> "ProposalDraft":
        return replace(self, block=block, digest=digest)

    def proposal(self, signed: SignedPayload[ProposalPayload]) -> Proposal | None:
        """The message, if the signed payload is this draft's."""
        if self.block is None or self.digest != signed.payload.digest:
            return None
        return Proposal(signed, self.block, self.certificate)

    def encode(self) -> bytes:
        """A draft with its block, for the journal; it never travels in this form."""
        assert self.block is not None
        return rlp.encode([self.block.fields(), certificate_fields(self.certificate)])

    @classmethod
    def decode(cls, data: bytes) -> "ProposalDraft":
        fields = RlpFields(rlp.decode_list(data, "draft"), "draft")
        block, certificate = Block.from_item(fields.item("block")), decode_certificate(fields.item("certificate"))
        fields.end()
        return cls(certificate, block, committed_seal_hash(block.header))
