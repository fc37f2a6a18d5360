"""The bytes of the signed parts of IBFT 2.0 messages, and their signatures (Besu's `payload` package).

A payload is signed over `keccak256(code || rlp(payload))`. Sequence and round are signed numbers of a fixed width (8 and 4
bytes).
"""

from lacnode.consensus.bft.message_signatures import SignatureCheck, check_signature_form
from lacnode.consensus.bft.payloads import (
    AuthorFilter,
    CommitPayload,
    MessageKind,
    Payload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
    allow_any_author,
    allow_each_once,
)
from lacnode.consensus.bft.signed_payloads import decode_signed_list, decode_signed_payload
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpFields, RlpItem, RlpValue

PROPOSAL, PREPARE, COMMIT, ROUND_CHANGE = 0, 1, 2, 3
"""Message codes of the `IBF` sub-protocol. The code is also the first byte that is signed."""

CODES = {
    MessageKind.PROPOSAL: PROPOSAL,
    MessageKind.PREPARE: PREPARE,
    MessageKind.COMMIT: COMMIT,
    MessageKind.ROUND_CHANGE: ROUND_CHANGE,
}


def payload_fields(payload: Payload) -> list[RlpValue]:
    """The RLP items of a payload: sequence, round, and its content. Raises ValueError if it is a commit that has no
    seal yet.
    """
    match payload:
        case ProposalPayload() | PreparePayload():
            return [*payload.round_id.fixed_size_fields(), payload.digest]
        case CommitPayload():
            if payload.seal is None:
                raise ValueError("a commit is encoded with its seal")
            return [*payload.round_id.fixed_size_fields(), payload.digest, payload.seal]
        case RoundChangePayload(round_id, certificate):
            return [*round_id.fixed_size_fields(), b"" if certificate is None else certificate_fields(certificate)]


def signed_fields(signed: SignedPayload[Payload]) -> list[RlpValue]:
    """The RLP items of a signed payload: the payload, and the signature (65 bytes). Raises ValueError if it is a commit
    that has no seal yet.
    """
    return [payload_fields(signed.payload), signed.signature]


def encode_payload(payload: Payload) -> bytes:
    """Encode a payload as RLP, without its code. The signature covers the code too (`signature_hash`). Raises
    ValueError for a commit without its seal."""
    return rlp.encode(payload_fields(payload))


def signature_hash(payload: Payload) -> bytes:
    """The hash (32 bytes) that the author signs. Raises ValueError for a commit without its seal."""
    # The code is signed, too. Without it, a prepare would be a valid proposal: both have the same fields.
    return keccak256(bytes([CODES[payload.kind]]) + encode_payload(payload))


def prepared_certificate(
    proposal: SignedPayload[ProposalPayload], prepares: tuple[SignedPayload[PreparePayload], ...]
) -> PreparedCertificate:
    """The certificate with this signed proposal and the prepares for it. Nothing is checked."""
    payload = proposal.payload
    return PreparedCertificate(payload.round_id.round, payload.digest, prepares, proposal)


def signed_proposal(certificate: PreparedCertificate) -> SignedPayload[ProposalPayload]:
    """The signed proposal of a certificate. Every certificate of IBFT 2.0 has one."""
    assert certificate.proposal is not None
    return certificate.proposal


def certificate_fields(certificate: PreparedCertificate) -> RlpValue:
    """The RLP items of a certificate: its signed proposal and its signed prepares."""
    proposal, prepares = signed_proposal(certificate), certificate.prepares
    return [signed_fields(proposal), [signed_fields(prepare) for prepare in prepares]]


def decode_prepared_certificate(
    item: RlpItem, known: AuthorFilter = allow_any_author, check_form: SignatureCheck = check_signature_form
) -> PreparedCertificate:
    """Decode an RLP item. Raises RlpError if it is not a certificate signed by `known` authors, or if two of its prepares
    have the same author.

    `message_validation` checks what the certificate proves. `check_form` refuses signatures of a wrong form.
    """
    fields = RlpFields(rlp.as_list(item, "preparedCertificate"), "preparedCertificate")
    proposal = decode_signed_proposal(fields.item("proposal"), known, check_form)
    # One filter for all prepares: a list of one prepare repeated would cost a recovery for each copy.
    once = allow_each_once(known)
    prepares = tuple(
        decode_signed_prepare(prepare, once, check_form) for prepare in decode_signed_list(fields, "prepares")
    )
    fields.check_no_fields_left()
    return prepared_certificate(proposal, prepares)


def decode_signed_proposal(
    item: RlpItem, known: AuthorFilter = allow_any_author, check_form: SignatureCheck = check_signature_form
) -> SignedPayload[ProposalPayload]:
    """Decode a signed proposal payload. Raises RlpError if it is malformed or not signed by a `known` author.
    `check_form` refuses a signature of a wrong form.
    """
    fields, signature, author = _decode_signed(item, PROPOSAL, known, check_form)
    payload = ProposalPayload(RoundId.from_fixed_size_fields(fields), fields.bytes("digest", 32))
    fields.check_no_fields_left()
    return SignedPayload(payload, signature, author)


def decode_signed_prepare(
    item: RlpItem, known: AuthorFilter = allow_any_author, check_form: SignatureCheck = check_signature_form
) -> SignedPayload[PreparePayload]:
    """Decode a signed prepare payload. Raises RlpError if it is malformed or not signed by a `known` author.
    `check_form` refuses a signature of a wrong form.
    """
    fields, signature, author = _decode_signed(item, PREPARE, known, check_form)
    payload = PreparePayload(RoundId.from_fixed_size_fields(fields), fields.bytes("digest", 32))
    fields.check_no_fields_left()
    return SignedPayload(payload, signature, author)


def decode_signed_commit(item: RlpItem, known: AuthorFilter = allow_any_author) -> SignedPayload[CommitPayload]:
    """Decode a signed commit payload. Raises RlpError if it is malformed or not signed by a `known` author."""
    fields, signature, author = _decode_signed(item, COMMIT, known)
    payload = CommitPayload(
        RoundId.from_fixed_size_fields(fields),
        fields.bytes("digest", 32),
        check_signature_form(fields.bytes("commitSeal")),
    )
    fields.check_no_fields_left()
    return SignedPayload(payload, signature, author)


def decode_signed_round_change(
    item: RlpItem,
    known: AuthorFilter = allow_any_author,
    may_ask: AuthorFilter | None = None,
    check_form: SignatureCheck = check_signature_form,
) -> SignedPayload[RoundChangePayload]:
    """Decode a signed round change payload. Raises RlpError if it is malformed, if `may_ask` refuses its author, or if
    an author in its certificate is not `known`. `may_ask` is `known` if it is None. `check_form` refuses signatures of
    a wrong form.
    """
    # The author is recovered before its certificate is decoded. A certificate costs up to a quorum of recoveries.
    fields, signature, author = _decode_signed(item, ROUND_CHANGE, may_ask or known, check_form)
    round_id, shown = RoundId.from_fixed_size_fields(fields), fields.item("preparedCertificate")
    fields.check_no_fields_left()
    certificate = None if shown == b"" else decode_prepared_certificate(shown, known, check_form)
    return SignedPayload(RoundChangePayload(round_id, certificate), signature, author)


def decode_round_id(item: RlpItem, code: int) -> RoundId:
    """The height and the round of a signed payload of this code. The signature is not checked. Raises RlpError if the item
    is malformed."""
    # The items after sequence and round are not looked at: a message of another height is dropped without them.
    signed = RlpFields(rlp.as_list(item, f"signed {_NAMES[code]}"), f"signed {_NAMES[code]}")
    return RoundId.from_fixed_size_fields(RlpFields(signed.list("payload"), _NAMES[code]))


def recover_author(item: RlpItem, code: int) -> bytes:
    """The address (20 bytes) that signed a payload of this code. Raises RlpError if the item is malformed, or if no address
    can be recovered. It costs one recovery of a signature."""
    return _decode_signed(item, code, allow_any_author)[2]


_NAMES = {
    PROPOSAL: "proposalPayload",
    PREPARE: "preparePayload",
    COMMIT: "commitPayload",
    ROUND_CHANGE: "roundChangePayload",
}


def _decode_signed(
    item: RlpItem, code: int, known: AuthorFilter, check_form: SignatureCheck = check_signature_form
) -> tuple[RlpFields, bytes, bytes]:
    """The fields of a signed payload, its signature and its author."""
    return decode_signed_payload(
        item, _NAMES[code], lambda encoded: keccak256(bytes([code]) + encoded), known, check_form
    )
