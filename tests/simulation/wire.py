"""The messages of a simulated network in the bytes of its protocol: what liars and witnesses read and make."""

from dataclasses import dataclass
from typing import TypeVar

from lacnode.consensus.bft.messages import Message
from lacnode.consensus.bft.payload_signing import sign_payload
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    MessageKind,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.crypto.node_identity import Signer
from lacnode.primitives.block import Block

P = TypeVar("P", ProposalPayload, PreparePayload, CommitPayload, RoundChangePayload)


@dataclass(frozen=True, slots=True)
class Wire:
    """The bytes of `protocol`."""

    protocol: BftProtocol

    def code(self, kind: MessageKind) -> int:
        return self.protocol.codec.code(kind)

    def kind(self, code: int) -> MessageKind | None:
        """None for a code that no message has."""
        return next((kind for kind in MessageKind if self.code(kind) == code), None)

    def read(self, code: int, data: bytes) -> Message:
        return self.protocol.codec.open_message(code, data).message()

    def envelope(self, code: int, data: bytes) -> tuple[RoundId, bytes]:
        """The height and round of a message, and its author."""
        envelope = self.protocol.codec.open_message(code, data)
        return envelope.round_id, envelope.author

    def write(self, message: Message) -> tuple[int, bytes]:
        """The code and the bytes."""
        return self.code(message.kind), self.protocol.codec.encode_message(message)

    def sign(self, payload: P, signer: Signer) -> SignedPayload[P]:
        """`payload` signed without a journal that would mind."""
        signed = sign_payload(self.protocol, payload, signer)
        assert isinstance(signed.payload, type(payload))
        return SignedPayload(signed.payload, signed.signature, signed.author)

    def propose(self, round_id: RoundId, block: Block, signer: Signer) -> SignedPayload[ProposalPayload]:
        digest = self.protocol.committed_seal_hash(block.header)
        return self.sign(self.protocol.justifications.proposal_payload(round_id, digest, block), signer)
