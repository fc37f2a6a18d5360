"""The bytes of the four messages of the `IBF` sub-protocol, as Besu sends them (Besu's `messagewrappers`)."""

from collections.abc import Callable
from dataclasses import dataclass

from lacnode.consensus.bft.message_parts import decode_unsigned_items, split_into_items, with_body_of_block
from lacnode.consensus.bft.message_signatures import check_justifying_signature_form
from lacnode.consensus.bft.messages import (
    Commit,
    Justification,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    decode_whole,
)
from lacnode.consensus.bft.payloads import (
    AuthorFilter,
    MessageKind,
    RoundId,
    allow_any_author,
    allow_each_once,
)
from lacnode.consensus.bft.signed_payloads import decode_signed_list
from lacnode.consensus.ibft2.payloads import (
    CODES,
    PROPOSAL,
    ROUND_CHANGE,
    decode_round_id,
    decode_signed_commit,
    decode_signed_prepare,
    decode_signed_proposal,
    decode_signed_round_change,
    recover_author,
    signed_fields,
)
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue


def encode_message(message: Message) -> bytes:
    """Encode a message without its code. Raises ValueError for a commit without its seal."""
    signed = rlp.encode(signed_fields(message.signed))
    match message:
        case Proposal():
            certificate = rlp.encode(round_change_certificate_fields(message.justification))
            return rlp.list_of_encoded(signed, message.block.encode(), certificate)
        case RoundChange():
            return rlp.list_of_encoded(signed, rlp.encode(b"") if message.block is None else message.block.encode())
    return signed


@dataclass(frozen=True, slots=True)
class Ibft2Envelope:
    """A message of which only the RLP of the signed payload is decoded (`bft.messages.MessageEnvelope`)."""

    kind: MessageKind
    signed: RlpItem
    """The signed payload."""
    rest: tuple[bytes, ...]
    """The encoded items after the payload, in a proposal and a round change: the block, and what justifies it."""

    @classmethod
    def split(cls, code: int, data: bytes) -> "Ibft2Envelope":
        """Take a message apart: its code, and its bytes without the code. Only the RLP list of the signed payload is
        decoded. The signature is not looked at: `author` does that. Raises RlpError for an unknown code or malformed RLP.
        """
        kind = _kind(code)
        if code not in (PROPOSAL, ROUND_CHANGE):
            return cls(kind, rlp.decode_list(data, "message"), ())
        # They wrap the signed payload, because their block is not signed.
        parts = split_into_items(data, "message") or [b""]
        return cls(kind, rlp.decode(parts[0]), tuple(parts[1:]))

    @property
    def round_id(self) -> RoundId:
        """The height and the round of the message. Raises RlpError if it has none."""
        return decode_round_id(self.signed, CODES[self.kind])

    @property
    def author(self) -> bytes:
        """The address (20 bytes) that signed the message. Raises RlpError if it cannot be recovered."""
        return recover_author(self.signed, CODES[self.kind])

    def decode_without_body(self, known: AuthorFilter = allow_any_author) -> Message:
        """Decode all but the body of the block (`bft.messages.MessageEnvelope`). Raises RlpError if what is decoded is
        malformed, or if an author not `known` signed a part.
        """
        if self.kind not in (MessageKind.PROPOSAL, MessageKind.ROUND_CHANGE):
            return _DECODERS[self.kind](self.signed, known)
        return _DECODERS[self.kind]([self.signed, *decode_unsigned_items(self.rest)], known)

    def add_decoded_body(self, outline: Message) -> Message:
        """Return `outline` with the body of its block. Raises RlpError if the body is malformed."""
        return with_body_of_block(outline, self.rest)


def decode_message(code: int, data: bytes, known: AuthorFilter = allow_any_author) -> Message:
    """Decode a message of this code, from its bytes without the code. Raises RlpError if it is malformed, or if an
    author that is not `known` signed a part.
    """
    return decode_whole(Ibft2Envelope.split(code, data), known)


def round_change_certificate_fields(justification: Justification) -> RlpValue:
    """The round changes of a justification, or an empty string for none, as a proposal carries them."""
    round_changes = justification.round_changes
    return b"" if round_changes is None else [[signed_fields(round_change) for round_change in round_changes]]


def decode_round_change_certificate(item: RlpItem, known: AuthorFilter = allow_any_author) -> Justification:
    """Decode what `round_change_certificate_fields` made. Raises RlpError if the item is malformed, if an author not
    `known` signed a part, or if two of the round changes have one author. A high s of a signature is accepted."""
    if item == b"":
        return Justification()
    fields = RlpFields(rlp.as_list(item, "roundChangeCertificate"), "roundChangeCertificate")
    # Two filters: each author may ask once, but the same validators sign the prepares in every certificate.
    once = allow_each_once(known)
    payloads = tuple(
        decode_signed_round_change(payload, known, once, check_justifying_signature_form)
        for payload in decode_signed_list(fields, "payloads")
    )
    fields.check_no_fields_left()
    return Justification(payloads)


def _proposal(item: RlpItem, known: AuthorFilter) -> Proposal:
    fields = RlpFields(rlp.as_list(item, "proposal"), "proposal")
    signed, block = (
        decode_signed_proposal(fields.item("payload"), known),
        Block.from_item_without_body(fields.item("block")),
    )
    justification = decode_round_change_certificate(fields.item("roundChangeCertificate"), known)
    fields.check_no_fields_left()
    return Proposal(signed, block, justification)


def _prepare(item: RlpItem, known: AuthorFilter) -> Prepare:
    return Prepare(decode_signed_prepare(item, known))


def _commit(item: RlpItem, known: AuthorFilter) -> Commit:
    return Commit(decode_signed_commit(item, known))


def _round_change(item: RlpItem, known: AuthorFilter) -> RoundChange:
    fields = RlpFields(rlp.as_list(item, "roundChange"), "roundChange")
    signed, block = decode_signed_round_change(fields.item("payload"), known), fields.item("block")
    fields.check_no_fields_left()
    if block != b"" and signed.payload.certificate is None:
        raise RlpError("roundChange: a block without a certificate for it")
    return RoundChange(signed, None if block == b"" else Block.from_item_without_body(block))


_DECODERS: dict[MessageKind, Callable[[RlpItem, AuthorFilter], Message]] = {
    MessageKind.PROPOSAL: _proposal,
    MessageKind.PREPARE: _prepare,
    MessageKind.COMMIT: _commit,
    MessageKind.ROUND_CHANGE: _round_change,
}


def _kind(code: int) -> MessageKind:
    # The code comes from the peer. The peer may send a code that no message has.
    for kind, known in CODES.items():
        if known == code:
            return kind
    raise RlpError(f"message code 0 to 3 was expected, found {code}")
