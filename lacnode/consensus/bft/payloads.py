"""The signed parts of messages as values. A protocol says how their bytes look and what is signed (`protocol`).

The author of a payload is not sent: it is the address that the signature recovers to.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Generic, TypeVar

from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpFields, RlpValue

MAX_VALIDATORS = 256
"""Signed payloads in one certificate. No known network of this kind has a tenth of it."""


class MessageKind(IntEnum):
    """The four messages. The number stands in the journal. It is not the code on the wire: that belongs to a protocol."""

    PROPOSAL = 0
    PREPARE = 1
    COMMIT = 2
    ROUND_CHANGE = 3


@dataclass(frozen=True, slots=True, order=True)
class RoundId:
    """The block number and the round that a message belongs to."""

    sequence: int
    round: int

    def fixed_size_fields(self) -> list[RlpValue]:
        """The RLP items of the journal and of IBFT 2.0: the height as a signed number of 8 bytes, then the round as one
        of 4 bytes, big-endian. QBFT writes both as RLP scalars instead (`qbft.payloads`)."""
        return [self.sequence.to_bytes(8, signed=True), self.round.to_bytes(4, signed=True)]

    @classmethod
    def from_fixed_size_fields(cls, fields: RlpFields) -> "RoundId":
        """Decode the next two items of `fields`, in the form of `fixed_size_fields`. Raises RlpError if they have another
        form or are missing. Negative numbers are accepted."""
        sequence, round_ = fields.bytes("sequence", 8), fields.bytes("round", 4)
        return cls(int.from_bytes(sequence, signed=True), int.from_bytes(round_, signed=True))

    def __str__(self) -> str:
        return f"height {self.sequence}, round {self.round}"


@dataclass(frozen=True, slots=True)
class ProposalPayload:
    """The proposer of `round_id` proposes the block with this digest (its committed-seal hash, 32 bytes).

    `block` is there only if the signature covers the whole block. Two payloads are equal also if their blocks are not,
    because the digest names the block.
    """

    kind: ClassVar[MessageKind] = MessageKind.PROPOSAL
    round_id: RoundId
    digest: bytes
    block: Block | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PreparePayload:
    """The author has accepted the proposal with this digest (32 bytes)."""

    kind: ClassVar[MessageKind] = MessageKind.PREPARE
    round_id: RoundId
    digest: bytes


@dataclass(frozen=True, slots=True)
class CommitPayload:
    """The author has seen a quorum prepare the block, and seals it.

    `digest` has 32 bytes. `seal` (65 bytes, `r || s || v`) goes into the block. It is None until
    `payload_signing.sign_payload` signs seal and payload together. The seal signs `seal_digest`, or `digest` if that is
    None. `seal_digest` is not sent.
    """

    kind: ClassVar[MessageKind] = MessageKind.COMMIT
    round_id: RoundId
    digest: bytes
    seal: bytes | None = None
    seal_digest: bytes | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RoundChangePayload:
    """The author asks for the round `round_id`. `certificate` shows the block prepared last at this height, if any was."""

    kind: ClassVar[MessageKind] = MessageKind.ROUND_CHANGE
    round_id: RoundId
    certificate: "PreparedCertificate | None" = None


Payload = ProposalPayload | PreparePayload | CommitPayload | RoundChangePayload
P_co = TypeVar("P_co", bound=Payload, covariant=True)


@dataclass(frozen=True, slots=True)
class SignedPayload(Generic[P_co]):
    """A payload with its 65-byte signature and the 20-byte address of its author."""

    payload: P_co
    signature: bytes
    author: bytes


@dataclass(frozen=True, slots=True)
class PreparedCertificate:
    """The proof that a quorum prepared the block with this digest (32 bytes) in this round.

    `proposal` is the signed proposal, if the protocol shows it. A protocol may sign only round and digest, and send the
    prepares beside the payload (`messages.RoundChange.prepares`).
    """

    round: int
    digest: bytes
    prepares: tuple[SignedPayload[PreparePayload], ...] = ()
    proposal: SignedPayload[ProposalPayload] | None = None


AuthorFilter = Callable[[bytes], bool]
"""Says whether an address may have signed here. Decoding stops at the first address that may not. A message full of foreign
signatures then costs one recovery and not thousands."""


def allow_any_author(author: bytes) -> bool:
    """The `AuthorFilter` that accepts every address (20 bytes): always True."""
    return True


def allow_each_once(known: AuthorFilter) -> AuthorFilter:
    """Return a filter that accepts each address that is `known`, but only once.

    It is for lists in which a second signature of one author is refused in any case. So one list costs at most as many
    recoveries as there are validators.
    """
    seen: set[bytes] = set()

    def known_and_new(author: bytes) -> bool:
        if author in seen or not known(author):
            return False
        seen.add(author)
        return True

    return known_and_new
