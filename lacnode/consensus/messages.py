"""The four messages of the `IBF` sub-protocol, byte for byte as Besu sends them (its `messagewrappers`)."""

from collections.abc import Callable
from dataclasses import dataclass

from lacnode.consensus.payloads import (
    COMMIT,
    PREPARE,
    PROPOSAL,
    ROUND_CHANGE,
    CommitPayload,
    Known,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
    anybody,
    author_of,
    each_once,
    round_id_in,
    signed_commit,
    signed_list,
    signed_prepare,
    signed_proposal,
    signed_round_change,
)
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

RoundChangeCertificate = tuple[SignedPayload[RoundChangePayload], ...]
"""What justifies a proposal in a later round: a quorum of signed round changes, without their blocks."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block for a round. The certificate is None in round 0 and must be present later."""

    signed: SignedPayload[ProposalPayload]
    block: Block
    certificate: RoundChangeCertificate | None = None

    code = PROPOSAL

    def encode(self) -> bytes:
        return rlp.encode([self.signed.fields(), self.block.fields(), certificate_fields(self.certificate)])

    @classmethod
    def from_item(cls, item: RlpItem, known: Known) -> "Proposal":
        fields = RlpFields(rlp.as_list(item, "proposal"), "proposal")
        signed, block = signed_proposal(fields.take("payload"), known), Block.from_item(fields.take("block"))
        certificate = certificate_of(fields.take("roundChangeCertificate"), known)
        fields.end()
        return cls(signed, block, certificate)


@dataclass(frozen=True, slots=True)
class Prepare:
    """The author accepted a proposal."""

    signed: SignedPayload[PreparePayload]

    code = PREPARE

    def encode(self) -> bytes:
        return rlp.encode(self.signed.fields())

    @classmethod
    def from_item(cls, item: RlpItem, known: Known) -> "Prepare":
        return cls(signed_prepare(item, known))


@dataclass(frozen=True, slots=True)
class Commit:
    """The author seals a prepared block."""

    signed: SignedPayload[CommitPayload]

    code = COMMIT

    def encode(self) -> bytes:
        return rlp.encode(self.signed.fields())

    @classmethod
    def from_item(cls, item: RlpItem, known: Known) -> "Commit":
        return cls(signed_commit(item, known))


@dataclass(frozen=True, slots=True)
class RoundChange:
    """The author wants a later round; `block` is the prepared block exactly when a certificate is in the payload."""

    signed: SignedPayload[RoundChangePayload]
    block: Block | None = None

    code = ROUND_CHANGE

    def encode(self) -> bytes:
        return rlp.encode([self.signed.fields(), b"" if self.block is None else self.block.fields()])

    @classmethod
    def from_item(cls, item: RlpItem, known: Known) -> "RoundChange":
        fields = RlpFields(rlp.as_list(item, "roundChange"), "roundChange")
        signed, block = signed_round_change(fields.take("payload"), known), fields.take("block")
        fields.end()
        if block != b"" and signed.payload.certificate is None:
            raise RlpError("roundChange: a block without a certificate for it")  # before a large block is read
        return cls(signed, None if block == b"" else Block.from_item(block))


Message = Proposal | Prepare | Commit | RoundChange

_DECODERS: dict[int, Callable[[RlpItem, Known], Message]] = {
    PROPOSAL: Proposal.from_item,
    PREPARE: Prepare.from_item,
    COMMIT: Commit.from_item,
    ROUND_CHANGE: RoundChange.from_item,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that has been split into its items and not been read: what it costs to look at it grows step by step.

    `round_id` costs nothing more, `author` one recovery of a signature, `message` all the rest. A message of another
    height, or of a stranger, is dropped before the next step is paid for.
    """

    code: int
    item: RlpItem
    signed: RlpItem
    """The signed payload within `item`."""

    @classmethod
    def open(cls, code: int, data: bytes) -> "Envelope":
        """RlpError if the bytes are no message of this code on their face."""
        _decoder(code)
        items = rlp.decode_list(data, "message")
        signed = RlpFields(items, "message").take("payload") if code in (PROPOSAL, ROUND_CHANGE) else items
        return cls(code, items, signed)

    @property
    def round_id(self) -> RoundId:
        """The height and round that the message speaks of; RlpError if it speaks of none."""
        return round_id_in(self.signed, self.code)

    @property
    def author(self) -> bytes:
        """The address that signed the message; RlpError if it cannot be recovered."""
        return author_of(self.signed, self.code)

    def message(self, known: Known = anybody) -> Message:
        """The message; RlpError if it is none, or somebody not `known` signed a part of it."""
        return _decoder(self.code)(self.item, known)


def decode_message(code: int, data: bytes, known: Known = anybody) -> Message:
    """The message of this code and these bytes; RlpError if it is none, or somebody not `known` signed a part of it."""
    return Envelope.open(code, data).message(known)


def decode_envelope(code: int, data: bytes) -> tuple[RoundId, bytes]:
    """Which height and round a message speaks of, and who signed it."""
    envelope = Envelope.open(code, data)
    return envelope.round_id, envelope.author


def _decoder(code: int) -> Callable[[RlpItem, Known], Message]:
    decoder = _DECODERS.get(code)
    if decoder is None:
        raise RlpError(f"message code 0 to 3 was expected, found {code}")
    return decoder


def round_id_of(message: Message) -> RoundId:
    """The height and round that `message` speaks of."""
    return message.signed.payload.round_id


def certificate_fields(certificate: RoundChangeCertificate | None) -> RlpValue:
    """A certificate, or the lack of one, as a proposal carries it."""
    return b"" if certificate is None else [[round_change.fields() for round_change in certificate]]


def certificate_of(item: RlpItem, known: Known = anybody) -> RoundChangeCertificate | None:
    """What `certificate_fields` made; RlpError if it did not."""
    if item == b"":
        return None
    fields = RlpFields(rlp.as_list(item, "roundChangeCertificate"), "roundChangeCertificate")
    once = each_once(known)
    payloads = tuple(signed_round_change(payload, known, once) for payload in signed_list(fields, "payloads"))
    fields.end()
    return payloads
