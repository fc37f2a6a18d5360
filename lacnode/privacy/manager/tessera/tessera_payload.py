"""A payload as Tessera writes it: with a nonce for the cipher text beside the one for the boxes, and whose each box is.

Ours have a cipher text nonce too, of zeros, since Orion has none: so Tessera opens ours, and ours keep Tessera's. The key is
the same on both sides in Tessera's orion mode (SHA-512/256 of the cipher text). Follows Tessera's PayloadEncoderImpl.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lacnode.privacy.keys import KEY_BYTES
from lacnode.privacy.manager.encrypted_payload import BOX_SIZE, MAC_BYTES, MAX_BOXES, NONCE_BYTES, EncryptedPayload
from lacnode.privacy.manager.tessera.tessera_encoding import (
    BinaryFields,
    TesseraError,
    encode_array_field,
    encode_field,
)

STANDARD_PRIVATE = b"\0"
"""The only privacy mode that nodes with an Orion-style manager use."""

NO_GROUP = b""


@dataclass(frozen=True, slots=True)
class TesseraPayload:
    """A payload with the key that each of its boxes is for, which may be missing. `payload.group_id` is empty where Tessera
    names no group, as when it asks for a proof."""

    payload: EncryptedPayload
    recipients: tuple[bytes, ...]


def encode_payload(payload: EncryptedPayload, recipients: Sequence[bytes]) -> bytes:
    """Tessera's form; `recipients` in the order of the payload's boxes."""
    parts = [
        encode_field(payload.sender),
        encode_field(payload.cipher_text),
        encode_field(payload.cipher_nonce),
        encode_array_field(payload.boxes),
        encode_field(payload.nonce),
        encode_array_field(recipients),
        encode_field(STANDARD_PRIVATE),
        encode_array_field(()),
        encode_field(payload.group_id) if payload.group_id != NO_GROUP else b"",
    ]
    return b"".join(parts)


def decode_payload(data: bytes) -> TesseraPayload:
    """The payload that `data` is; TesseraError, for one of enhanced privacy too."""
    fields = BinaryFields(data, "payload")
    sender, cipher_text = fields.data("sender", KEY_BYTES), fields.data("cipherText")
    if len(cipher_text) < MAC_BYTES:
        raise TesseraError(f"payload.cipherText: at least {MAC_BYTES} bytes were expected, found {len(cipher_text)}")
    cipher_nonce = fields.data("cipherTextNonce", NONCE_BYTES)
    boxes = tuple(fields.items("recipientBoxes", MAX_BOXES, lambda: fields.data("recipientBoxes", BOX_SIZE)))
    nonce = fields.data("recipientNonce", NONCE_BYTES)
    recipients = tuple(fields.items("recipientKeys", MAX_BOXES, lambda: fields.data("recipientKeys", KEY_BYTES)))
    if not boxes or len(recipients) not in (0, len(boxes)):
        raise TesseraError("payload: a box, and a key for each box or none, were expected")
    payload = EncryptedPayload(sender, nonce, boxes, cipher_text, _group_id(fields), cipher_nonce)
    return TesseraPayload(payload, recipients)


def _group_id(fields: BinaryFields) -> bytes:
    if fields.is_at_end:
        return NO_GROUP
    if fields.data("privacyMode") != STANDARD_PRIVATE or fields.number("affectedContractTransactions", 1) != 0:
        raise TesseraError("payload.privacyMode: standard private was expected, and no affected contracts")
    group_id = NO_GROUP if fields.is_at_end else fields.data("privacyGroupId", KEY_BYTES)
    fields.end()
    return group_id
