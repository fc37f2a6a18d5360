"""A payload in Tessera's form. It has a nonce for the cipher text and one for the boxes, and it names the key of each box.

lacnode's payloads have a cipher text nonce of zeros, because Orion has none. So a Tessera can open them, and lacnode can
store Tessera's payloads. In Tessera's orion mode both sides give a payload the same key (SHA-512/256 of the cipher text).
Follows Tessera's `PayloadEncoderImpl`.
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
"""The only privacy mode of nodes with a manager of Orion's kind."""

NO_GROUP = b""


@dataclass(frozen=True, slots=True)
class TesseraPayload:
    """A decoded payload of a Tessera: the payload, and the public keys of its boxes in the order of the boxes.
    `recipients` is empty if the payload came without these keys.

    `payload.group_id` is empty if the Tessera named no group, as in the question for a proof of a key.
    """

    payload: EncryptedPayload
    recipients: tuple[bytes, ...]


def encode_tessera_payload(payload: EncryptedPayload, recipients: Sequence[bytes]) -> bytes:
    """Encode a payload in Tessera's form. `recipients` are the public keys of its boxes, in the same order."""
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


def decode_tessera_payload(data: bytes) -> TesseraPayload:
    """Decode a payload in Tessera's form. No box is opened. TesseraError if it is malformed, above a bound, or of
    enhanced privacy."""
    fields = BinaryFields(data, "payload")
    sender, cipher_text = fields.next_bytes("sender", KEY_BYTES), fields.next_bytes("cipherText")
    if len(cipher_text) < MAC_BYTES:
        raise TesseraError(f"payload.cipherText: at least {MAC_BYTES} bytes were expected, found {len(cipher_text)}")
    cipher_nonce = fields.next_bytes("cipherTextNonce", NONCE_BYTES)
    boxes = tuple(fields.next_items("recipientBoxes", MAX_BOXES, lambda: fields.next_bytes("recipientBoxes", BOX_SIZE)))
    nonce = fields.next_bytes("recipientNonce", NONCE_BYTES)
    recipients = tuple(
        fields.next_items("recipientKeys", MAX_BOXES, lambda: fields.next_bytes("recipientKeys", KEY_BYTES))
    )
    if not boxes or len(recipients) not in (0, len(boxes)):
        raise TesseraError("payload: a box, and a key for each box or none, were expected")
    payload = EncryptedPayload(sender, nonce, boxes, cipher_text, _group_id(fields), cipher_nonce)
    return TesseraPayload(payload, recipients)


def _group_id(fields: BinaryFields) -> bytes:
    # A payload may end before the privacy mode, and a payload without a group ends before the group id.
    if fields.is_at_end:
        return NO_GROUP
    if (
        fields.next_bytes("privacyMode") != STANDARD_PRIVATE
        or fields.next_count("affectedContractTransactions", 1) != 0
    ):
        raise TesseraError("payload.privacyMode: standard private was expected, and no affected contracts")
    group_id = NO_GROUP if fields.is_at_end else fields.next_bytes("privacyGroupId", KEY_BYTES)
    fields.check_no_bytes_left()
    return group_id
