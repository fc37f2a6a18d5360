"""The four messages as values: a signed payload, and the parts that its author does not sign."""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from lacnode.consensus.bft.payloads import (
    AuthorFilter,
    CommitPayload,
    MessageKind,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
    allow_any_author,
)
from lacnode.primitives.block import Block


@dataclass(frozen=True, slots=True)
class Justification:
    """What justifies a proposal in a later round: a quorum of signed round changes, without their blocks.

    `round_changes` is None if the message has no list at all. `prepares` are those of the block that is proposed again, if
    the protocol sends them beside the round changes.
    """

    round_changes: tuple[SignedPayload[RoundChangePayload], ...] | None = None
    prepares: tuple[SignedPayload[PreparePayload], ...] = ()


NO_JUSTIFICATION = Justification()
"""That of a proposal in round 0."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block for a round, with what justifies it in a later round. Its signed payload names the digest of `block`."""

    kind: ClassVar[MessageKind] = MessageKind.PROPOSAL
    signed: SignedPayload[ProposalPayload]
    block: Block
    justification: Justification = NO_JUSTIFICATION


@dataclass(frozen=True, slots=True)
class Prepare:
    """The author accepts the proposal of this round."""

    kind: ClassVar[MessageKind] = MessageKind.PREPARE
    signed: SignedPayload[PreparePayload]


@dataclass(frozen=True, slots=True)
class Commit:
    """The author saw a quorum prepare the block of this round. The payload has its seal for the block."""

    kind: ClassVar[MessageKind] = MessageKind.COMMIT
    signed: SignedPayload[CommitPayload]


@dataclass(frozen=True, slots=True)
class RoundChange:
    """The author asks for a later round. There is a `block`, the prepared one, exactly if the payload has a certificate.

    `prepares` are those of the block, if the protocol does not sign them with the payload.
    """

    kind: ClassVar[MessageKind] = MessageKind.ROUND_CHANGE
    signed: SignedPayload[RoundChangePayload]
    block: Block | None = None
    prepares: tuple[SignedPayload[PreparePayload], ...] = ()


Message = Proposal | Prepare | Commit | RoundChange


def round_id_of(message: Message) -> RoundId:
    """The height and the round of `message`."""
    return message.signed.payload.round_id


def has_block(message: Message) -> bool:
    """Whether `message` carries a block."""
    return isinstance(message, Proposal | RoundChange) and message.block is not None


def with_block(message: Message, block: Block) -> Message:
    """`message` with `block` instead of its own, which has the same header. A prepare and a commit are returned as they
    are.
    """
    match message:
        case Proposal(signed) if signed.payload.block is not None:
            return replace(message, block=block, signed=replace(signed, payload=replace(signed.payload, block=block)))
        case Proposal() | RoundChange():
            return replace(message, block=block)
    return message


class MessageEnvelope(Protocol):
    """A message of which only the RLP of the signed payload is decoded. Its signature is not looked at yet. Each further
    step costs more.

    `round_id` costs nothing more. `author` costs one recovery of a signature. `decode_without_body` costs those of the
    certificates, and `add_decoded_body` the decoding of megabytes of transactions (`decode_whole` does both). A caller
    drops a message of another height, or of an address that is not a validator, or one that proves nothing, before it
    pays for the next step.
    """

    @property
    def kind(self) -> MessageKind:
        """The kind of the message, which follows from its code."""

    @property
    def round_id(self) -> RoundId:
        """The height and the round of the message. Raises RlpError if it has none."""

    @property
    def author(self) -> bytes:
        """The address (20 bytes) that signed the message. Raises RlpError if it cannot be recovered."""

    def decode_without_body(self, known: AuthorFilter = allow_any_author) -> Message:
        """Decode all but the body of the block, which is empty in the result. Raises RlpError if what is decoded is
        malformed, or if an author not `known` signed a part."""

    def add_decoded_body(self, outline: Message) -> Message:
        """Decode the body of the block, and return a copy of `outline` with the body. `outline` is what
        `decode_without_body` returned. A message without a block is returned as it is. Raises RlpError if the body is
        malformed. In a QBFT proposal, whose author signs the body too, also if the body does not fit the header. In
        other messages body and header are not compared."""


def decode_whole(envelope: MessageEnvelope, known: AuthorFilter = allow_any_author) -> Message:
    """Decode the whole message. Raises RlpError if it is malformed, if an author not `known` signed a part, or if the
    author signed the body of the block (a QBFT proposal) and it does not fit the header."""
    return envelope.add_decoded_body(envelope.decode_without_body(known))
