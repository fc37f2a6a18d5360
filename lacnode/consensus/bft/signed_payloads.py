"""The form of signed payloads that IBFT 2.0 and QBFT have in common: `[payload, signature]`, and lists of them.

A protocol says what is signed. This file must not know the fields of a payload.
"""

from collections.abc import Callable

from lacnode.consensus.bft.message_signatures import SignatureCheck, check_signature_form, recover_signer
from lacnode.consensus.bft.payloads import MAX_VALIDATORS, AuthorFilter
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem


def decode_signed_payload(
    item: RlpItem,
    name: str,
    signature_hash: Callable[[bytes], bytes],
    known: AuthorFilter,
    check_form: SignatureCheck = check_signature_form,
) -> tuple[RlpFields, bytes, bytes]:
    """The fields of a signed payload, its signature (65 bytes) and its author (20 bytes).

    `name` is that of the payload in error texts. `signature_hash` returns the signed hash (32 bytes) of the payload's
    RLP. `check_form` refuses signatures of a wrong form. Raises RlpError if the item is malformed, or if an author that
    is not `known` signed it.
    """
    signed = RlpFields(rlp.as_list(item, f"signed {name}"), f"signed {name}")
    payload, signature = signed.list("payload"), check_form(signed.bytes("signature"))
    signed.check_no_fields_left()
    author = recover_signer(signature_hash(rlp.encode(payload)), signature)
    # Before the fields are decoded: a certificate in them costs further recoveries, and a proposal of QBFT has a block of
    # megabytes.
    if not known(author):
        raise RlpError(f"{name}: signed by 0x{author.hex()}, no validator here or one that signed before")
    return RlpFields(payload, name), signature, author


def decode_signed_list(fields: RlpFields, name: str) -> list[RlpItem]:
    """The next item of `fields`, a list of signed payloads. The payloads are not decoded. Raises RlpError if the item
    is missing, is no list, or has more than `MAX_VALIDATORS`.
    """
    items = fields.list(name)
    # Before the first recovery: a list of a megabyte may have thousands of signatures.
    if len(items) > MAX_VALIDATORS:
        raise RlpError(f"{name}: {len(items)} signed payloads, more than {MAX_VALIDATORS}")
    return items
