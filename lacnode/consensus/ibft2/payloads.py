"""The signed parts of IBFT 2.0 messages, and their signatures (Besu's `payload` package).

A payload is signed over `keccak256(code || rlp(payload))`. The author is not sent: it is the address that the signature
recovers to. Sequence and round are signed numbers of a fixed width (8 and 4 bytes).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Generic, TypeVar

from lacnode.crypto.node_identity import Signer
from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

PROPOSAL, PREPARE, COMMIT, ROUND_CHANGE = 0, 1, 2, 3
"""Message codes of the `IBF` sub-protocol. The code is also the first byte that is signed."""

MAX_VALIDATORS = 256
"""Signed payloads in one certificate. No known network of this kind has a tenth of it."""


@dataclass(frozen=True, slots=True, order=True)
class RoundId:
    """The block number and the round that a message belongs to."""

    sequence: int
    round: int

    def fields(self) -> list[RlpValue]:
        return [self.sequence.to_bytes(8, signed=True), self.round.to_bytes(4, signed=True)]

    @classmethod
    def from_fields(cls, fields: RlpFields) -> "RoundId":
        """Decode the next two items of `fields`. Raises RlpError if they are not a sequence and a round."""
        sequence, round_ = fields.bytes("sequence", 8), fields.bytes("round", 4)
        return cls(int.from_bytes(sequence, signed=True), int.from_bytes(round_, signed=True))

    def __str__(self) -> str:
        return f"height {self.sequence}, round {self.round}"


@dataclass(frozen=True, slots=True)
class ProposalPayload:
    """The proposer of `round_id` proposes the block with this digest (its committed-seal hash)."""

    code: ClassVar[int] = PROPOSAL
    round_id: RoundId
    digest: bytes

    def fields(self) -> list[RlpValue]:
        return [*self.round_id.fields(), self.digest]


@dataclass(frozen=True, slots=True)
class PreparePayload:
    """The author has accepted the proposal with this digest."""

    code: ClassVar[int] = PREPARE
    round_id: RoundId
    digest: bytes

    def fields(self) -> list[RlpValue]:
        return [*self.round_id.fields(), self.digest]


@dataclass(frozen=True, slots=True)
class CommitPayload:
    """The author has seen a quorum prepare the block, and seals it.

    `seal` signs the digest itself and goes into the block. It is None until `sign_payload` signs seal and payload together.
    """

    code: ClassVar[int] = COMMIT
    round_id: RoundId
    digest: bytes
    seal: bytes | None = None

    def fields(self) -> list[RlpValue]:
        """The items to sign and send. Raises ValueError if the commit has no seal yet."""
        if self.seal is None:
            raise ValueError("a commit is encoded with its seal")
        return [*self.round_id.fields(), self.digest, self.seal]


@dataclass(frozen=True, slots=True)
class RoundChangePayload:
    """The author asks for the round `round_id`. `certificate` proves the block prepared last at this height, if any was."""

    code: ClassVar[int] = ROUND_CHANGE
    round_id: RoundId
    certificate: "PreparedCertificate | None" = None

    def fields(self) -> list[RlpValue]:
        certificate: RlpValue = b"" if self.certificate is None else self.certificate.fields()
        return [*self.round_id.fields(), certificate]


Payload = ProposalPayload | PreparePayload | CommitPayload | RoundChangePayload
P_co = TypeVar("P_co", bound=Payload, covariant=True)


def encode_payload(payload: Payload) -> bytes:
    """Encode the RLP that is signed, without the code."""
    return rlp.encode(payload.fields())


def signature_hash(payload: Payload) -> bytes:
    """The hash (32 bytes) that the author signs."""
    # The code is signed, too. Without it, a prepare would be a valid proposal: both have the same fields.
    return keccak256(bytes([payload.code]) + encode_payload(payload))


@dataclass(frozen=True, slots=True)
class SignedPayload(Generic[P_co]):
    """A payload with its 65-byte signature and the 20-byte address of its author."""

    payload: P_co
    signature: bytes
    author: bytes

    def fields(self) -> list[RlpValue]:
        return [self.payload.fields(), self.signature]


@dataclass(frozen=True, slots=True)
class PreparedCertificate:
    """The proof that a quorum prepared a block: the signed proposal payload and the prepares for it."""

    proposal: SignedPayload[ProposalPayload]
    prepares: tuple[SignedPayload[PreparePayload], ...]

    @property
    def round(self) -> int:
        return self.proposal.payload.round_id.round

    def fields(self) -> list[RlpValue]:
        return [self.proposal.fields(), [prepare.fields() for prepare in self.prepares]]

    @classmethod
    def from_item(cls, item: RlpItem, known: "AuthorFilter | None" = None) -> "PreparedCertificate":
        """Decode an RLP item. Raises RlpError if it is not a certificate signed by `known` authors.

        `message_validation` checks what the certificate proves.
        """
        # One filter for all prepares: a list of one prepare repeated would cost a recovery for each copy.
        known = known or allow_any_author
        fields = RlpFields(rlp.as_list(item, "preparedCertificate"), "preparedCertificate")
        proposal = decode_signed_proposal(fields.item("proposal"), known)
        once = allow_each_once(known)
        prepares = tuple(decode_signed_prepare(prepare, once) for prepare in decode_signed_list(fields, "prepares"))
        fields.end()
        return cls(proposal, prepares)


def sign_payload(payload: Payload, signer: Signer) -> SignedPayload[Payload]:
    """Sign `payload`. A commit gets its seal first. Raises SignerUnavailableError if the key does not answer."""
    # The journal admits a commit without its seal: the seal may exist only after the record is on disk.
    if isinstance(payload, CommitPayload) and payload.seal is None:
        payload = replace(payload, seal=signer.sign(payload.digest))
    return SignedPayload(payload, signer.sign(signature_hash(payload)), signer.address)


AuthorFilter = Callable[[bytes], bool]
"""Says whether an address may have signed here. Decoding stops at the first address that may not. A message full of foreign
signatures then costs one recovery and not thousands."""


def allow_any_author(author: bytes) -> bool:
    """The `AuthorFilter` that accepts every address."""
    return True


def allow_each_once(known: AuthorFilter) -> AuthorFilter:
    """Like `known`, but accept each address once.

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


def decode_signed_proposal(item: RlpItem, known: AuthorFilter = allow_any_author) -> SignedPayload[ProposalPayload]:
    """Decode a signed proposal payload. Raises RlpError if it is malformed or not signed by a `known` author."""
    fields, signature, author = _decode_signed(item, PROPOSAL, known)
    payload = ProposalPayload(RoundId.from_fields(fields), fields.bytes("digest", 32))
    fields.end()
    return SignedPayload(payload, signature, author)


def decode_signed_prepare(item: RlpItem, known: AuthorFilter = allow_any_author) -> SignedPayload[PreparePayload]:
    """Like `decode_signed_proposal`, for a prepare."""
    fields, signature, author = _decode_signed(item, PREPARE, known)
    payload = PreparePayload(RoundId.from_fields(fields), fields.bytes("digest", 32))
    fields.end()
    return SignedPayload(payload, signature, author)


def decode_signed_commit(item: RlpItem, known: AuthorFilter = allow_any_author) -> SignedPayload[CommitPayload]:
    """Like `decode_signed_proposal`, for a commit."""
    fields, signature, author = _decode_signed(item, COMMIT, known)
    payload = CommitPayload(
        RoundId.from_fields(fields), fields.bytes("digest", 32), _signature(fields.bytes("commitSeal"))
    )
    fields.end()
    return SignedPayload(payload, signature, author)


def decode_signed_round_change(
    item: RlpItem, known: AuthorFilter = allow_any_author, may_ask: AuthorFilter | None = None
) -> SignedPayload[RoundChangePayload]:
    """Like `decode_signed_proposal`, for a round change. `may_ask` filters its author, and `known` filters the authors in
    its certificate."""
    # The author is recovered before its certificate is decoded. A certificate costs up to a quorum of recoveries.
    fields, signature, author = _decode_signed(item, ROUND_CHANGE, may_ask or known)
    round_id, shown = RoundId.from_fields(fields), fields.item("preparedCertificate")
    fields.end()
    certificate = None if shown == b"" else PreparedCertificate.from_item(shown, known)
    return SignedPayload(RoundChangePayload(round_id, certificate), signature, author)


def decode_signed_list(fields: RlpFields, name: str) -> list[RlpItem]:
    """Decode the next item of `fields`: a list of signed payloads. Raises RlpError if it has more than `MAX_VALIDATORS`."""
    items = fields.list(name)
    # Before the first recovery: a list of a megabyte may have thousands of signatures.
    if len(items) > MAX_VALIDATORS:
        raise RlpError(f"{name}: {len(items)} signed payloads, more than {MAX_VALIDATORS}")
    return items


def decode_round_id(item: RlpItem, code: int) -> RoundId:
    """The height and the round of a signed payload of this code. The signature is not checked. Raises RlpError if the item
    is malformed."""
    # The items after sequence and round are not looked at: a message of another height is dropped without them.
    signed = RlpFields(rlp.as_list(item, f"signed {_NAMES[code]}"), f"signed {_NAMES[code]}")
    return RoundId.from_fields(RlpFields(signed.list("payload"), _NAMES[code]))


def recover_author(item: RlpItem, code: int) -> bytes:
    """The address (20 bytes) that signed a payload of this code. Raises RlpError if the item is malformed. It costs one
    recovery of a signature."""
    return _decode_signed(item, code, allow_any_author)[2]


_NAMES = {
    PROPOSAL: "proposalPayload",
    PREPARE: "preparePayload",
    COMMIT: "commitPayload",
    ROUND_CHANGE: "roundChangePayload",
}


def _decode_signed(item: RlpItem, code: int, known: AuthorFilter) -> tuple[RlpFields, bytes, bytes]:
    """The fields of a signed payload, its signature and its author."""
    name = _NAMES[code]
    signed = RlpFields(rlp.as_list(item, f"signed {name}"), f"signed {name}")
    payload, signature = signed.list("payload"), _signature(signed.bytes("signature"))
    signed.end()
    author = _recover_cached(keccak256(bytes([code]) + rlp.encode(payload)), signature)
    # Before the fields are decoded: a certificate in them costs further recoveries.
    if not known(author):
        raise RlpError(f"{name}: signed by 0x{author.hex()}, no validator here or one that signed before")
    return RlpFields(payload, name), signature, author


def _signature(data: bytes) -> bytes:
    if len(data) != 65 or data[64] > 1:
        # Besu writes v as 0 or 1. Another form of the same signature would be another message with the same meaning.
        raise RlpError("signature: 65 bytes ending in 0 or 1 were expected")
    return data


@lru_cache(maxsize=4096)
def _recover_cached(digest: bytes, signature: bytes) -> bytes:
    """Recover an address. It is cached, because certificates repeat signatures."""
    try:
        return recover_address(digest, signature)
    except SignatureError as error:
        raise RlpError(f"signature: {error}") from None
