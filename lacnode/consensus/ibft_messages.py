"""The four messages of the `IBF` sub-protocol, byte for byte as Besu sends them (its `messagewrappers`)."""

from collections.abc import Callable
from dataclasses import dataclass

from lacnode.consensus.ibft_payloads import (
    COMMIT,
    PREPARE,
    PROPOSAL,
    ROUND_CHANGE,
    AuthorFilter,
    CommitPayload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
    allow_any_author,
    allow_each_once,
    decode_round_id,
    decode_signed_commit,
    decode_signed_list,
    decode_signed_prepare,
    decode_signed_proposal,
    decode_signed_round_change,
    recover_author,
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
    def from_item(cls, item: RlpItem, known: AuthorFilter) -> "Proposal":
        fields = RlpFields(rlp.as_list(item, "proposal"), "proposal")
        signed, block = decode_signed_proposal(fields.item("payload"), known), Block.from_item(fields.item("block"))
        certificate = decode_certificate(fields.item("roundChangeCertificate"), known)
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
    def from_item(cls, item: RlpItem, known: AuthorFilter) -> "Prepare":
        return cls(decode_signed_prepare(item, known))


@dataclass(frozen=True, slots=True)
class Commit:
    """The author seals a prepared block."""

    signed: SignedPayload[CommitPayload]

    code = COMMIT

    def encode(self) -> bytes:
        return rlp.encode(self.signed.fields())

    @classmethod
    def from_item(cls, item: RlpItem, known: AuthorFilter) -> "Commit":
        return cls(decode_signed_commit(item, known))


@dataclass(frozen=True, slots=True)
class RoundChange:
    """The author wants a later round; `block` is the prepared block exactly when a certificate is in the payload."""

    signed: SignedPayload[RoundChangePayload]
    block: Block | None = None

    code = ROUND_CHANGE

    def encode(self) -> bytes:
        return rlp.encode([self.signed.fields(), b"" if self.block is None else self.block.fields()])

    @classmethod
    def from_item(cls, item: RlpItem, known: AuthorFilter) -> "RoundChange":
        fields = RlpFields(rlp.as_list(item, "roundChange"), "roundChange")
        signed, block = decode_signed_round_change(fields.item("payload"), known), fields.item("block")
        fields.end()
        if block != b"" and signed.payload.certificate is None:
            raise RlpError("roundChange: a block without a certificate for it")  # before a large block is read
        return cls(signed, None if block == b"" else Block.from_item(block))


Message = Proposal | Prepare | Commit | RoundChange

_DECODERS: dict[int, Callable[[RlpItem, AuthorFilter], Message]] = {
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
        signed = RlpFields(items, "message").item("payload") if code in (PROPOSAL, ROUND_CHANGE) else items
        return cls(code, items, signed)

    @property
    def round_id(self) -> RoundId:
        """The height and round that the message speaks of; RlpError if it speaks of none."""
        return decode_round_id(self.signed, self.code)

    @property
    def author(self) -> bytes:
        """The address that signed the message; RlpError if it cannot be recovered."""
        return recover_author(self.signed, self.code)

    def message(self, known: AuthorFilter = allow_any_author) -> Message:
        """The message; RlpError if it is none, or somebody not `known` signed a part of it."""
        return _decoder(self.code)(self.item, known)


def decode_message(code: int, data: bytes, known: AuthorFilter = allow_any_author) -> Message:
    """The message of this code and these bytes; RlpError if it is none, or somebody not `known` signed a part of it."""
    return Envelope.open(code, data).message(known)


def decode_envelope(code: int, data: bytes) -> tuple[RoundId, bytes]:
    """Which height and round a message speaks of, and who signed it."""
    envelope = Envelope.open(code, data)
    return envelope.round_id, envelope.author


def _decoder(code: int) -> Callable[[RlpItem, AuthorFilter], Message]:
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


def decode_certificate(item: RlpItem, known: AuthorFilter = allow_any_author) -> RoundChangeCertificate | None:
    """What `certificate_fields` made; RlpError if it did not."""
    if item == b"":
        return None
    fields = RlpFields(rlp.as_list(item, "roundChangeCertificate"), "roundChangeCertificate")
    once = allow_each_once(known)
    payloads = tuple(
        decode_signed_round_change(payload, known, once) for payload in decode_signed_list(fields, "payloads")
    )
    fields.end()
    return payloads
