"""The four messages of QBFT in the `istanbul` sub-protocol, byte for byte as Besu and GoQuorum send them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lacnode.consensus.bft.message_parts import decode_unsigned_items, split_into_items, with_body_of_block
from lacnode.consensus.bft.message_signatures import check_justifying_signature_form
from lacnode.consensus.bft.messages import (
    Commit,
    Justification,
    Message,
    MessageEnvelope,
    Prepare,
    Proposal,
    RoundChange,
    with_block,
)
from lacnode.consensus.bft.payloads import AuthorFilter, MessageKind, Payload, RoundId, SignedPayload, allow_any_author
from lacnode.consensus.qbft.encoded_proposal import EncodedProposal
from lacnode.consensus.qbft.payloads import (
    CODES,
    decode_prepares,
    decode_round_changes,
    decode_signed_commit,
    decode_signed_prepare,
    decode_signed_round_change,
    encode_signed,
    recover_author,
    round_id_of_signed,
)
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem

_KINDS = {code: kind for kind, code in CODES.items()}


def encode_message(message: Message) -> bytes:
    """Encode a message without its code. Raises ValueError for a commit without its seal, and for a proposal whose
    payload has no block.
    """
    signed = encode_signed(message.signed)
    match message:
        case Proposal():
            return rlp.list_of_encoded(signed, encode_justification(message.justification))
        case RoundChange():
            block = rlp.encode([]) if message.block is None else message.block.encode()
            return rlp.list_of_encoded(signed, block, encode_signed_list(message.prepares))
        case Prepare() | Commit():
            return signed


def encode_justification(justification: Justification) -> bytes:
    """Encode the round changes and the prepares that justify a proposal. Both lists are empty in round 0."""
    return rlp.list_of_encoded(
        encode_signed_list(justification.round_changes or ()), encode_signed_list(justification.prepares)
    )


def encode_signed_list(signed: Sequence[SignedPayload[Payload]]) -> bytes:
    """Encode the RLP list of signed payloads. Raises ValueError for a commit without its seal."""
    return rlp.list_of_encoded(*[encode_signed(payload) for payload in signed])


def decode_justification(items: list[RlpItem], known: AuthorFilter = allow_any_author) -> Justification:
    """Decode the items of what `encode_justification` made. Raises RlpError if they are malformed, if an author not `known`
    signed a part, or if two of the round changes or two of the prepares have the same author. A high s is accepted."""
    fields = RlpFields(items, "justification")
    shown = check_justifying_signature_form
    justification = Justification(decode_round_changes(fields, known, shown), decode_prepares(fields, known, shown))
    fields.check_no_fields_left()
    return justification


def open_message(code: int, data: bytes) -> MessageEnvelope:
    """Take a message apart: its code, and its bytes without the code. As little as possible is decoded, and who signed
    the message is not looked at. Raises RlpError if the bytes cannot be a message of this code.
    """
    # The code comes from the peer. IBFT 1 has a message with code 0x11 in the same sub-protocol.
    kind = _KINDS.get(code)
    if kind is None:
        raise RlpError(f"message code 0x12 to 0x15 was expected, found {code:#x}")
    # A proposal and a round change wrap the signed payload, because their justification is not signed.
    if kind not in (MessageKind.PROPOSAL, MessageKind.ROUND_CHANGE):
        return QbftEnvelope(kind, rlp.decode_list(data, "message"), ())
    signed, *rest = split_into_items(data, "message") or [b""]
    if kind is MessageKind.PROPOSAL:
        return QbftProposalEnvelope(EncodedProposal.split(signed), tuple(rest))
    return QbftEnvelope(kind, rlp.decode(signed), tuple(rest))


@dataclass(frozen=True, slots=True)
class QbftEnvelope:
    """A message, not a proposal, of which only the RLP of the signed payload is decoded (`bft.messages.MessageEnvelope`)."""

    kind: MessageKind
    signed: RlpItem
    """The signed payload."""
    rest: tuple[bytes, ...]
    """The encoded items after the payload of a round change: the block and the prepares."""

    @property
    def round_id(self) -> RoundId:
        """The height and the round of the message. Raises RlpError if it has none."""
        return round_id_of_signed(self.signed, self.kind)

    @property
    def author(self) -> bytes:
        """The address (20 bytes) that signed the message. Raises RlpError if it cannot be recovered."""
        return recover_author(self.signed, self.kind)

    def decode_without_body(self, known: AuthorFilter = allow_any_author) -> Message:
        """Decode all but the body of the block. Raises RlpError if what is decoded is malformed, or if an author not `known`
        signed a part.
        """
        if self.kind is MessageKind.PREPARE:
            return Prepare(decode_signed_prepare(self.signed, known))
        if self.kind is MessageKind.COMMIT:
            return Commit(decode_signed_commit(self.signed, known))
        return _decode_round_change([self.signed, *decode_unsigned_items(self.rest)], known)

    def add_decoded_body(self, outline: Message) -> Message:
        """Return `outline` with the body of its block. Raises RlpError if the body is malformed."""
        return with_body_of_block(outline, self.rest)


@dataclass(frozen=True, slots=True)
class QbftProposalEnvelope:
    """A proposal of which nothing is decoded yet (`bft.messages.MessageEnvelope`)."""

    signed: EncodedProposal
    rest: tuple[bytes, ...]
    """The encoded items after the payload: the justification."""

    @property
    def kind(self) -> MessageKind:
        """The kind of the message, which is always PROPOSAL."""
        return MessageKind.PROPOSAL

    @property
    def round_id(self) -> RoundId:
        """The height and the round of the message. Raises RlpError if it has none."""
        return self.signed.round_id

    @property
    def author(self) -> bytes:
        """The address (20 bytes) that signed the message. Raises RlpError if it cannot be recovered."""
        return self.signed.author

    def decode_without_body(self, known: AuthorFilter = allow_any_author) -> Message:
        """Decode all but the body of the block. Raises RlpError if what is decoded is malformed, if an author not
        `known` signed a part, or if the block has seals already."""
        signed = self.signed.decode_without_body(known)
        fields = RlpFields([rlp.decode(item) for item in self.rest], "proposal")
        justification = decode_justification(fields.list("justification"), known)
        fields.check_no_fields_left()
        assert signed.payload.block is not None
        return Proposal(signed, signed.payload.block, justification)

    def add_decoded_body(self, outline: Message) -> Message:
        """Return `outline` with the body of its block. Raises RlpError if the body is malformed or does not fit the header:
        the author has signed both."""
        return (
            with_block(outline, self.signed.add_decoded_body(outline.block))
            if isinstance(outline, Proposal)
            else outline
        )


def _decode_round_change(items: list[RlpItem], known: AuthorFilter) -> RoundChange:
    fields = RlpFields(items, "roundChange")
    signed, block = decode_signed_round_change(fields.item("payload"), known), fields.list("block")
    # Before the prepares are decoded: the author did not sign them, and each costs a recovery.
    if bool(block) != (signed.payload.certificate is not None):
        raise RlpError("roundChange: a prepared round and its block come together or not at all")
    prepares = decode_prepares(fields, known)
    fields.check_no_fields_left()
    if prepares and not block:
        raise RlpError("roundChange: prepares without a prepared round")
    return RoundChange(signed, Block.from_item_without_body(block) if block else None, prepares)
