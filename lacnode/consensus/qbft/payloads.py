"""The signed parts of QBFT messages as bytes, and their signatures (Besu's `qbft.core.payload` package).

A payload is signed over `keccak256(rlp([code, payload]))`. The author is not sent: it is the address that the signature
recovers to. Sequence and round are RLP scalars. A proposal signs its whole block. A round change signs only the round and
the digest of the block prepared last. The prepares that prove it are not signed.
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
from lacnode.consensus.qbft.extra_data import check_round_number
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

CODES = {
    MessageKind.PROPOSAL: 0x12,
    MessageKind.PREPARE: 0x13,
    MessageKind.COMMIT: 0x14,
    MessageKind.ROUND_CHANGE: 0x15,
}
"""The codes of the messages in the `istanbul` sub-protocol. The code is also a part of what is signed."""

MAX_SEQUENCE = 2**63 - 1
"""The largest block number that fits into the signed 64-bit number of Besu."""

_NAMES = {
    MessageKind.PROPOSAL: "proposalPayload",
    MessageKind.PREPARE: "preparePayload",
    MessageKind.COMMIT: "commitPayload",
    MessageKind.ROUND_CHANGE: "roundChangePayload",
}


# -- encoding ------------------------------------------------------------------------------------------------------


def encode_payload(payload: Payload) -> bytes:
    """Encode a payload as RLP, without its code. The signature covers the code too (`signature_hash`). Raises
    ValueError for a commit without its seal, and for a proposal without its block."""
    return rlp.list_of_encoded(*_encode_round_id(payload.round_id), *_encode_content(payload))


def signature_hash(payload: Payload) -> bytes:
    """The hash (32 bytes) that the author signs. Raises ValueError for a commit without its seal, and for a proposal
    without its block.
    """
    return signature_hash_of_encoded(payload.kind, encode_payload(payload))


def encode_signed(signed: SignedPayload[Payload]) -> bytes:
    """Encode the RLP list of a payload and its signature. Raises ValueError for a commit without its seal, and for a
    proposal without its block.
    """
    return rlp.list_of_encoded(encode_payload(signed.payload), rlp.encode(signed.signature))


def _encode_round_id(round_id: RoundId) -> list[bytes]:
    return [rlp.encode(rlp.encode_scalar(round_id.sequence)), rlp.encode(rlp.encode_scalar(round_id.round))]


def _encode_content(payload: Payload) -> list[bytes]:
    match payload:
        case ProposalPayload():
            if payload.block is None:
                raise ValueError("a proposal is encoded with its block")
            return [payload.block.encode()]
        case PreparePayload():
            return [rlp.encode(payload.digest)]
        case CommitPayload():
            if payload.seal is None:
                raise ValueError("a commit is encoded with its seal")
            return [rlp.encode(payload.digest), rlp.encode(payload.seal)]
        case RoundChangePayload():
            return [rlp.encode(prepared_fields(payload.certificate))]


def prepared_fields(certificate: PreparedCertificate | None) -> list[RlpValue]:
    """The signed part of a certificate: the prepared round (an RLP scalar) and the digest (32 bytes). Empty if there is
    no certificate.
    """
    return [] if certificate is None else [rlp.encode_scalar(certificate.round), certificate.digest]


def signature_hash_of_encoded(kind: MessageKind, encoded_payload: bytes) -> bytes:
    """The hash (32 bytes) that the author of an encoded payload signs."""
    # The code is signed, too. Without it, a prepare of one round could be used as another message with the same fields.
    return keccak256(rlp.list_of_encoded(bytes([CODES[kind]]), encoded_payload))


# -- decoding ------------------------------------------------------------------------------------------------------
# Each function recovers the author before it decodes the rest of the payload. A part that a foreign key has signed costs
# one recovery, and its content is not looked at.


def decode_signed_prepare(
    item: RlpItem, known: AuthorFilter = allow_any_author, check_form: SignatureCheck = check_signature_form
) -> SignedPayload[PreparePayload]:
    """Decode a signed prepare payload. Raises RlpError if it is malformed or not signed by a `known` author.
    `check_form` refuses a signature of a wrong form.
    """
    fields, signature, author = _decode_signed(item, MessageKind.PREPARE, known, check_form)
    payload = PreparePayload(decode_round_id(fields), fields.bytes("digest", 32))
    fields.check_no_fields_left()
    return SignedPayload(payload, signature, author)


def decode_signed_commit(item: RlpItem, known: AuthorFilter = allow_any_author) -> SignedPayload[CommitPayload]:
    """Decode a signed commit payload. Raises RlpError if it is malformed or not signed by a `known` author."""
    fields, signature, author = _decode_signed(item, MessageKind.COMMIT, known)
    round_id, digest, seal = decode_round_id(fields), fields.bytes("digest", 32), fields.bytes("commitSeal")
    fields.check_no_fields_left()
    return SignedPayload(CommitPayload(round_id, digest, check_signature_form(seal)), signature, author)


def decode_signed_round_change(
    item: RlpItem, known: AuthorFilter = allow_any_author, check_form: SignatureCheck = check_signature_form
) -> SignedPayload[RoundChangePayload]:
    """Decode a signed round change payload. Raises RlpError if it is malformed or not signed by a `known` author.

    Its certificate has no prepares: the author did not sign them. `check_form` refuses a signature of a wrong form.
    """
    fields, signature, author = _decode_signed(item, MessageKind.ROUND_CHANGE, known, check_form)
    payload = RoundChangePayload(decode_round_id(fields), decode_prepared_fields(fields.list("prepared")))
    fields.check_no_fields_left()
    return SignedPayload(payload, signature, author)


def decode_prepared_fields(items: list[RlpItem]) -> PreparedCertificate | None:
    """Decode what `prepared_fields` made. None for an empty list. Raises RlpError if it is malformed."""
    if not items:
        return None
    fields = RlpFields(items, "prepared")
    certificate = PreparedCertificate(check_round_number(fields.scalar("round", 4)), fields.bytes("digest", 32))
    fields.check_no_fields_left()
    return certificate


def decode_prepares(
    fields: RlpFields, known: AuthorFilter, check_form: SignatureCheck = check_signature_form
) -> tuple[SignedPayload[PreparePayload], ...]:
    """Decode the next item of `fields`: a list of signed prepares.

    Raises RlpError if there are more than `MAX_VALIDATORS`, if one is malformed, if its author is not `known`, or if an
    author has signed two of them. `check_form` refuses signatures of a wrong form.
    """
    # Each author once: a list of one prepare repeated would cost a recovery for each copy.
    once = allow_each_once(known)
    return tuple(decode_signed_prepare(item, once, check_form) for item in decode_signed_list(fields, "prepares"))


def decode_round_changes(
    fields: RlpFields, known: AuthorFilter, check_form: SignatureCheck = check_signature_form
) -> tuple[SignedPayload[RoundChangePayload], ...]:
    """Decode the next item of `fields`: a list of signed round changes.

    Raises RlpError if there are more than `MAX_VALIDATORS`, if one is malformed, if its author is not `known`, or if an
    author has signed two of them. `check_form` refuses signatures of a wrong form.
    """
    once = allow_each_once(known)
    return tuple(
        decode_signed_round_change(item, once, check_form) for item in decode_signed_list(fields, "roundChanges")
    )


def decode_round_id(fields: RlpFields) -> RoundId:
    """Decode the next two items of `fields`. Raises RlpError if they are not a sequence up to `MAX_SEQUENCE` and a
    round.
    """
    sequence, round_ = fields.scalar("sequence", 8), fields.scalar("round", 4)
    if sequence > MAX_SEQUENCE:
        raise RlpError(f"sequence: {sequence} is larger than {MAX_SEQUENCE}")
    return RoundId(sequence, check_round_number(round_))


def round_id_of_signed(item: RlpItem, kind: MessageKind) -> RoundId:
    """The height and the round of a signed payload. The signature is not checked. Raises RlpError if the item is
    malformed."""
    # The items after sequence and round are not looked at: a message of another height is dropped without them.
    signed = RlpFields(rlp.as_list(item, f"signed {_NAMES[kind]}"), f"signed {_NAMES[kind]}")
    return decode_round_id(RlpFields(signed.list("payload"), _NAMES[kind]))


def recover_author(item: RlpItem, kind: MessageKind) -> bytes:
    """The address (20 bytes) that signed a payload. Raises RlpError if the item is malformed, or if no address can be
    recovered. It costs one recovery of a signature."""
    return _decode_signed(item, kind, allow_any_author)[2]


def _decode_signed(
    item: RlpItem, kind: MessageKind, known: AuthorFilter, check_form: SignatureCheck = check_signature_form
) -> tuple[RlpFields, bytes, bytes]:
    """The fields of a signed payload, its signature and its author."""
    return decode_signed_payload(
        item, _NAMES[kind], lambda encoded: signature_hash_of_encoded(kind, encoded), known, check_form
    )
