"""The four messages of the `IBF` sub-protocol, byte for byte as Besu sends them (Besu's `messagewrappers`)."""

from collections.abc import Callable
from dataclasses import dataclass

from lacnode.consensus.ibft2.payloads import (
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
"""The justification of a proposal in a later round: a quorum of signed round changes, without their blocks."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block for a round. `certificate` is None in round 0 and required in later rounds."""

    signed: SignedPayload[ProposalPayload]
    block: Block
    certificate: RoundChangeCertificate | None = None

    code = PROPOSAL

    def encode(self) -> bytes:
        certificate = rlp.encode(certificate_fields(self.certificate))
        return rlp.list_of_encoded(rlp.encode(self.signed.fields()), self.block.encode(), certificate)

    @classmethod
    def from_item(cls, item: RlpItem, known: AuthorFilter) -> "Proposal":
        """Decode an RLP item. Raises RlpError if it is not a proposal, or if an author that is not `known` signed a part."""
        fields = RlpFields(rlp.as_list(item, "proposal"), "proposal")
        # The signature of the proposer is recovered first: a block can have megabytes.
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
        """Decode an RLP item. Raises RlpError if it is not a prepare of a `known` author."""
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
        """Decode an RLP item. Raises RlpError if it is not a commit of a `known` author."""
        return cls(decode_signed_commit(item, known))


@dataclass(frozen=True, slots=True)
class RoundChange:
    """The author asks for a later round. There is a `block`, the prepared one, exactly if the payload has a certificate."""

    signed: SignedPayload[RoundChangePayload]
    block: Block | None = None

    code = ROUND_CHANGE

    def encode(self) -> bytes:
        block = rlp.encode(b"") if self.block is None else self.block.encode()
        return rlp.list_of_encoded(rlp.encode(self.signed.fields()), block)

    @classmethod
    def from_item(cls, item: RlpItem, known: AuthorFilter) -> "RoundChange":
        """Decode an RLP item. Raises RlpError if it is not a round change, or if an author that is not `known` signed a
        part."""
        fields = RlpFields(rlp.as_list(item, "roundChange"), "roundChange")
        signed, block = decode_signed_round_change(fields.item("payload"), known), fields.item("block")
        fields.end()
        # Before the block is decoded: it may have megabytes.
        if block != b"" and signed.payload.certificate is None:
            raise RlpError("roundChange: a block without a certificate for it")
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
    """A message of which only the outer list is decoded. Each further step costs more.

    `round_id` costs nothing more. `author` costs one recovery of a signature. `message` costs all the rest. A caller drops
    a message of another height, or of an address that is not a validator, before it pays for the next step.
    """

    code: int
    item: RlpItem
    signed: RlpItem
    """The signed payload within `item`."""

    @classmethod
    def open(cls, code: int, data: bytes) -> "Envelope":
        """Decode the outer list of a message. Raises RlpError if the bytes cannot be a message of this code."""
        _decoder(code)
        items = rlp.decode_list(data, "message")
        # A proposal and a round change wrap the signed payload, because their block is not signed.
        signed = RlpFields(items, "message").item("payload") if code in (PROPOSAL, ROUND_CHANGE) else items
        return cls(code, items, signed)

    @property
    def round_id(self) -> RoundId:
        """The height and the round of the message. Raises RlpError if it has none."""
        return decode_round_id(self.signed, self.code)

    @property
    def author(self) -> bytes:
        """The address (20 bytes) that signed the message. Raises RlpError if it cannot be recovered."""
        return recover_author(self.signed, self.code)

    def message(self, known: AuthorFilter = allow_any_author) -> Message:
        """Decode the whole message. Raises RlpError if it is malformed, or if an author not `known` signed a part."""
        return _decoder(self.code)(self.item, known)


def decode_message(code: int, data: bytes, known: AuthorFilter = allow_any_author) -> Message:
    """Decode a message of this code. Raises RlpError if it is malformed, or if an author that is not `known` signed a
    part."""
    return Envelope.open(code, data).message(known)


def decode_envelope(code: int, data: bytes) -> tuple[RoundId, bytes]:
    """The height and round of a message, and the address (20 bytes) of its author. Raises RlpError if it is malformed."""
    envelope = Envelope.open(code, data)
    return envelope.round_id, envelope.author


def _decoder(code: int) -> Callable[[RlpItem, AuthorFilter], Message]:
    # The code comes from the peer. The peer may send a code that no message has.
    decoder = _DECODERS.get(code)
    if decoder is None:
        raise RlpError(f"message code 0 to 3 was expected, found {code}")
    return decoder


def round_id_of(message: Message) -> RoundId:
    """The height and the round of `message`."""
    return message.signed.payload.round_id


def certificate_fields(certificate: RoundChangeCertificate | None) -> RlpValue:
    """A certificate, or an empty string for none, as a proposal carries it."""
    return b"" if certificate is None else [[round_change.fields() for round_change in certificate]]


def decode_certificate(item: RlpItem, known: AuthorFilter = allow_any_author) -> RoundChangeCertificate | None:
    """Decode what `certificate_fields` made. Raises RlpError if the item is malformed."""
    if item == b"":
        return None
    fields = RlpFields(rlp.as_list(item, "roundChangeCertificate"), "roundChangeCertificate")
    # Two filters: each author may ask once, but the same validators sign the prepares in every certificate.
    once = allow_each_once(known)
    payloads = tuple(
        decode_signed_round_change(payload, known, once) for payload in decode_signed_list(fields, "payloads")
    )
    fields.end()
    return payloads
