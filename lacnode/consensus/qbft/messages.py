"""The four messages of QBFT in the `istanbul` sub-protocol, byte for byte as Besu and GoQuorum send them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lacnode.consensus.bft.messages import Commit, Justification, Message, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payloads import AuthorFilter, MessageKind, Payload, RoundId, SignedPayload, allow_any_author
from lacnode.consensus.qbft.payloads import (
    CODES,
    decode_prepares,
    decode_round_changes,
    decode_signed_commit,
    decode_signed_prepare,
    decode_signed_proposal,
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
    """Encode a message without its code."""
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
    """Encode a list of signed payloads."""
    return rlp.list_of_encoded(*[encode_signed(payload) for payload in signed])


def decode_justification(items: list[RlpItem], known: AuthorFilter = allow_any_author) -> Justification:
    """Decode what `encode_justification` made. Raises RlpError if it is malformed, or if an author not `known` signed a
    part."""
    fields = RlpFields(items, "justification")
    justification = Justification(decode_round_changes(fields, known), decode_prepares(fields, known))
    fields.end()
    return justification


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message of which only the outer list is decoded. Each further step costs more.

    `round_id` costs nothing more. `author` costs one recovery of a signature. `message` costs all the rest. A caller drops
    a message of another height, or of an address that is not a validator, before it pays for the next step.
    """

    kind: MessageKind
    item: list[RlpItem]
    signed: RlpItem
    """The signed payload within `item`."""

    @classmethod
    def open(cls, code: int, data: bytes) -> "Envelope":
        """Decode the outer list of a message. Raises RlpError if the bytes cannot be a message of this code."""
        # The code comes from the peer. IBFT 1 has a message with code 0x11 in the same sub-protocol.
        kind = _KINDS.get(code)
        if kind is None:
            raise RlpError(f"message code 0x12 to 0x15 was expected, found {code:#x}")
        items = rlp.decode_list(data, "message")
        # A proposal and a round change wrap the signed payload, because their justification is not signed.
        is_wrapped = kind in (MessageKind.PROPOSAL, MessageKind.ROUND_CHANGE)
        return cls(kind, items, RlpFields(items, "message").item("payload") if is_wrapped else items)

    @property
    def round_id(self) -> RoundId:
        """The height and the round of the message. Raises RlpError if it has none."""
        return round_id_of_signed(self.signed, self.kind)

    @property
    def author(self) -> bytes:
        """The address (20 bytes) that signed the message. Raises RlpError if it cannot be recovered."""
        return recover_author(self.signed, self.kind)

    def message(self, known: AuthorFilter = allow_any_author) -> Message:
        """Decode the whole message. Raises RlpError if it is malformed, or if an author not `known` signed a part."""
        return _DECODERS[self.kind](self.item, known)


def _decode_proposal(items: list[RlpItem], known: AuthorFilter) -> Proposal:
    fields = RlpFields(items, "proposal")
    signed_item, justification_items = fields.item("payload"), fields.list("justification")
    fields.end()
    # The proposer is recovered before its block is decoded: a block can have megabytes.
    signed = decode_signed_proposal(signed_item, known)
    assert signed.payload.block is not None
    return Proposal(signed, signed.payload.block, decode_justification(justification_items, known))


def _decode_round_change(items: list[RlpItem], known: AuthorFilter) -> RoundChange:
    fields = RlpFields(items, "roundChange")
    signed, block = decode_signed_round_change(fields.item("payload"), known), fields.list("block")
    # Before block and prepares are decoded: the author did not sign them, and a block may have megabytes.
    if bool(block) != (signed.payload.certificate is not None):
        raise RlpError("roundChange: a prepared round and its block come together or not at all")
    prepares = decode_prepares(fields, known)
    fields.end()
    if prepares and not block:
        raise RlpError("roundChange: prepares without a prepared round")
    return RoundChange(signed, Block.from_item(block) if block else None, prepares)


_DECODERS: dict[MessageKind, Callable[[list[RlpItem], AuthorFilter], Message]] = {
    MessageKind.PROPOSAL: _decode_proposal,
    MessageKind.PREPARE: lambda items, known: Prepare(decode_signed_prepare(items, known)),
    MessageKind.COMMIT: lambda items, known: Commit(decode_signed_commit(items, known)),
    MessageKind.ROUND_CHANGE: _decode_round_change,
}
