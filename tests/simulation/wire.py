"""The messages of a simulated network in the bytes of its protocols: what liars and witnesses read and make."""

from dataclasses import dataclass
from typing import TypeVar

from lacnode.consensus.bft.messages import Message, decode_whole, round_id_of
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
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.crypto.node_identity import Signer
from lacnode.primitives.block import Block

P = TypeVar("P", ProposalPayload, PreparePayload, CommitPayload, RoundChangePayload)


@dataclass(frozen=True, slots=True)
class Wire:
    """The bytes of `protocols`. A message has those of its height, or of the protocol that its code names."""

    protocols: ProtocolSchedule

    def protocol_of(self, code: int) -> BftProtocol:
        """The protocol whose messages have this code, the first one for a code that no message has."""
        return self.protocols.protocol_of_code(code, 0)

    def like(self, code: int, kind: MessageKind) -> int:
        """The code of `kind` in the protocol that has `code`."""
        return self.protocol_of(code).codec.code(kind)

    def others(self, code: int) -> list[BftProtocol]:
        """The protocols of the chain without the one that has `code`."""
        return [protocol for _, protocol in self.protocols.steps if protocol is not self.protocol_of(code)]

    def speak_alike(self, height: int, message: Message) -> bool:
        """Whether `height` and the height of `message` have one protocol."""
        return self.protocols.protocol_at(height) is self.protocols.protocol_at(round_id_of(message).sequence)

    def kind(self, code: int) -> MessageKind | None:
        """None for a code that no message has."""
        return next((kind for kind in MessageKind if self.like(code, kind) == code), None)

    def read(self, code: int, data: bytes) -> Message:
        return decode_whole(self.protocol_of(code).codec.open_message(code, data))

    def envelope(self, code: int, data: bytes) -> tuple[RoundId, bytes]:
        """The height and round of a message, and its author."""
        envelope = self.protocol_of(code).codec.open_message(code, data)
        return envelope.round_id, envelope.author

    def write(self, message: Message) -> tuple[int, bytes]:
        """The code and the bytes."""
        return self.write_as(self.protocols.protocol_at(round_id_of(message).sequence), message)

    def write_as(self, protocol: BftProtocol, message: Message) -> tuple[int, bytes]:
        """The code and the bytes in `protocol`, whatever the height."""
        return protocol.codec.code(message.kind), protocol.codec.encode_message(message)

    def sign(self, payload: P, signer: Signer, protocol: BftProtocol | None = None) -> SignedPayload[P]:
        """`payload` signed without a journal that would mind, by the protocol of its height or the named one."""
        signed = sign_payload(protocol or self.protocols.protocol_at(payload.round_id.sequence), payload, signer)
        assert isinstance(signed.payload, type(payload))
        return SignedPayload(signed.payload, signed.signature, signed.author)

    def propose(self, round_id: RoundId, block: Block, signer: Signer) -> SignedPayload[ProposalPayload]:
        digest = self.protocols.protocol_at(block.number).committed_seal_hash(block.header)
        rules = self.protocols.protocol_at(round_id.sequence).justifications
        return self.sign(rules.proposal_payload(round_id, digest, block), signer)
