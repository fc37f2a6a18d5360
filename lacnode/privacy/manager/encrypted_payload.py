"""A payload as it is stored and sent: NaCl boxes and Orion's CBOR around them.

One random master key seals the payload; one box per recipient, in the recipients' order and the sender last, seals the
master key. The payload's key, its name to everyone, is SHA-512/256 of the cipher text. Must not store or send.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import nacl.bindings
import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing, from_base64, to_base64
from lacnode.privacy.manager.cbor_records import CborError, CborFields, decode_map, encode_array, encode_map

NONCE_BYTES, MAC_BYTES = 24, 16
ZERO_NONCE = bytes(NONCE_BYTES)
BOX_SIZE = MAC_BYTES + KEY_BYTES
MAX_BOXES = 4096


@dataclass(frozen=True, slots=True)
class EncryptedPayload:
    """What is stored under `key`."""

    sender: bytes
    nonce: bytes
    boxes: tuple[bytes, ...]
    """The master key, once for each who may read."""
    cipher_text: bytes
    group_id: bytes
    cipher_nonce: bytes = ZERO_NONCE
    """Of zeros as in Orion, whose master key seals but once; a Tessera's is another."""

    @property
    def key(self) -> bytes:
        """32 bytes: SHA-512/256 of the cipher text."""
        return payload_key(self.cipher_text)

    def only(self, positions: Sequence[int]) -> "EncryptedPayload":
        """The same with the boxes at `positions` alone: nobody is told who else may read."""
        return replace(self, boxes=tuple(self.boxes[position] for position in positions))


def payload_key(cipher_text: bytes) -> bytes:
    """SHA-512/256, the variant with initial values of its own."""
    return hashlib.new("sha512_256", cipher_text).digest()


def encrypt(
    payload: bytes,
    sender: KeyPair,
    recipients: Sequence[bytes],
    group_id: bytes,
    master_key: bytes | None = None,
    nonce: bytes | None = None,
) -> EncryptedPayload:
    """Seal `payload` for `recipients` and the sender. Master key and nonce are random unless a test gives them."""
    master_key = secrets.token_bytes(KEY_BYTES) if master_key is None else master_key
    nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
    cipher_text = nacl.bindings.crypto_secretbox(payload, ZERO_NONCE, master_key)
    boxes = tuple(
        nacl.bindings.crypto_box(master_key, nonce, recipient, sender.private)
        for recipient in (*recipients, sender.public)
    )
    return EncryptedPayload(sender.public, nonce, boxes, cipher_text, group_id)


def open_box(payload: EncryptedPayload, box: bytes, other: bytes, own: KeyPair) -> bytes | None:
    """The master key in `box`, None if it was not sealed between these two."""
    try:
        opened: bytes = nacl.bindings.crypto_box_open(box, payload.nonce, other, own.private)
    except (nacl.exceptions.CryptoError, ValueError):
        return None
    return opened


def decrypt_with(payload: EncryptedPayload, own: KeyPair) -> tuple[int, bytes] | None:
    """The position of the box that is for `own`, and the plaintext; None if there is none, or it does not fit."""
    for position, box in enumerate(payload.boxes):
        master_key = open_box(payload, box, payload.sender, own)
        if master_key is None:
            continue
        plaintext = _unsealed(payload, master_key)
        if plaintext is not None:
            return position, plaintext
    return None


def _unsealed(payload: EncryptedPayload, master_key: bytes) -> bytes | None:
    try:
        opened: bytes = nacl.bindings.crypto_secretbox_open(payload.cipher_text, payload.cipher_nonce, master_key)
    except (nacl.exceptions.CryptoError, ValueError):
        return None
    return opened


def restore_own_box(payload: EncryptedPayload, recipient: bytes, own: KeyPair) -> EncryptedPayload | None:
    """A payload that `own` sent, with a box for itself again, from the copy its `recipient` keeps: a box opens from both
    sides. None if `own` did not send it, or the copy does not fit."""
    if payload.sender != own.public:
        return None
    for box in payload.boxes:
        master_key = open_box(payload, box, recipient, own)
        if master_key is not None and _unsealed(payload, master_key) is not None:
            mine = nacl.bindings.crypto_box(master_key, payload.nonce, own.public, own.private)
            return replace(payload, boxes=(mine,))
    return None


def find_own_boxes(payload: EncryptedPayload, keys: KeyRing) -> dict[bytes, int]:
    """Own public keys that open the payload, and the position of their box."""
    found: dict[bytes, int] = {}
    for public in keys.public_keys:
        pair = keys.find_pair(public)
        opened = None if pair is None else decrypt_with(payload, pair)
        if opened is not None:
            found[public] = opened[0]
    return found


def encode_payload(payload: EncryptedPayload) -> bytes:
    """Orion's CBOR; with one field more, which no Orion is sent, for what a Tessera sealed."""
    boxes = [encode_map({"encoded": box}) for box in payload.boxes]
    fields: dict[str, object] = {
        "sender": to_base64(payload.sender),
        "nonce": payload.nonce,
        "encryptedKeys": encode_array(boxes),
        "cipherText": payload.cipher_text,
        "privacyGroupId": payload.group_id,
    }
    if payload.cipher_nonce != ZERO_NONCE:
        fields["cipherNonce"] = payload.cipher_nonce
    return encode_map(fields)


def decode_payload(data: bytes) -> EncryptedPayload:
    """The payload that `data` is; CborError."""
    fields = decode_map(data, "payload")
    try:
        sender = from_base64(fields.take("sender", str), KEY_BYTES)
    except CborError:
        raise
    except ValueError as error:
        raise CborError(f"payload.sender: {error}") from None
    nonce = fields.bytes("nonce", NONCE_BYTES)
    boxes = fields.take("encryptedKeys", list)
    if not 1 <= len(boxes) <= MAX_BOXES:
        raise CborError(f"payload.encryptedKeys: from 1 to {MAX_BOXES} were expected, found {len(boxes)}")
    cipher_text = fields.bytes("cipherText")
    if len(cipher_text) < MAC_BYTES:
        raise CborError(f"payload.cipherText: at least {MAC_BYTES} bytes were expected, found {len(cipher_text)}")
    group_id = fields.bytes("privacyGroupId", KEY_BYTES)
    cipher_nonce = fields.take("cipherNonce", bytes, True) or ZERO_NONCE
    if len(cipher_nonce) != NONCE_BYTES:
        raise CborError(f"payload.cipherNonce: {NONCE_BYTES} bytes were expected, found {len(cipher_nonce)}")
    fields.end()
    return EncryptedPayload(sender, nonce, tuple(map(_box, boxes)), cipher_text, group_id, cipher_nonce)


def _box(value: object) -> bytes:
    fields = CborFields(value, "payload.encryptedKeys")
    box = fields.bytes("encoded", BOX_SIZE)
    fields.end()
    return box
