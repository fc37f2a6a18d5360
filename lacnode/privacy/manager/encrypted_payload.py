"""A payload as it is stored and sent: NaCl boxes, and Orion's CBOR around them.

A random master key seals the payload. Each recipient has a box with the master key, in the order of the recipients, and the
sender has the last box. The key of a payload is SHA-512/256 of its cipher text. It is the payload's name everywhere. This
module must not store or send anything.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import nacl.bindings
import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing, from_base64, to_base64
from lacnode.privacy.manager.cbor_records import CborError, CborFields, decode_map, encode_array, encode_map

NONCE_BYTES, MAC_BYTES = 24, 16
ZERO_NONCE = bytes(NONCE_BYTES)
BOX_SIZE = MAC_BYTES + KEY_BYTES
MAX_PAYLOAD_BYTES = 15_728_640
"""The largest payload in bytes. Other managers accept a request of this size with its boxes and no larger one."""

MAX_BOXES = 4096


@dataclass(frozen=True, slots=True)
class EncryptedPayload:
    """A sealed payload. `sender` is a public key (32 bytes). `nonce` (24 bytes) belongs to the boxes, of `BOX_SIZE`
    bytes each. `group_id` has 32 bytes. It is empty in a payload from a Tessera that does not name groups."""

    sender: bytes
    nonce: bytes
    boxes: tuple[bytes, ...]
    """The master key, sealed once for each party."""
    cipher_text: bytes
    group_id: bytes
    cipher_nonce: bytes = ZERO_NONCE
    """Zeros in a payload of Orion or lacnode, whose master key seals one text alone. A Tessera uses another nonce."""

    @property
    def key(self) -> bytes:
        """The key of the payload (32 bytes): SHA-512/256 of the cipher text."""
        return payload_key(self.cipher_text)

    def with_boxes_at(self, positions: Sequence[int]) -> "EncryptedPayload":
        """Return a copy of the payload with the boxes at `positions` (from 0) alone, in that order. A recipient must
        not learn the number of the others. IndexError if there is no such box."""
        return replace(self, boxes=tuple(self.boxes[position] for position in positions))


def payload_key(cipher_text: bytes) -> bytes:
    """Return SHA-512/256 of the cipher text (32 bytes). It is not a truncated SHA-512: its initial values differ."""
    return hashlib.new("sha512_256", cipher_text).digest()


def encrypt_payload(
    payload: bytes,
    sender: KeyPair,
    recipients: Sequence[bytes],
    group_id: bytes,
    master_key: bytes | None = None,
    nonce: bytes | None = None,
) -> EncryptedPayload:
    """Seal `payload` for `recipients` (public keys) and the sender, as a payload of the group `group_id` (32 bytes). The
    boxes are in the order of the recipients, and the sender's is the last. ValueError or RuntimeError if a key is not
    valid. The size of `payload` is not checked.

    The master key (32 bytes) is random. The nonce (24 bytes) is computed from the private key of the sender, so that
    `is_sealed_by` can recognise the payload later. Tests can give other ones.
    """
    master_key = secrets.token_bytes(KEY_BYTES) if master_key is None else master_key
    # A nonce of zeros is safe here: the master key is new and seals this one text. Orion expects exactly this nonce.
    cipher_text = nacl.bindings.crypto_secretbox_easy(payload, ZERO_NONCE, master_key)
    nonce = _sender_nonce(sender, payload_key(cipher_text), group_id) if nonce is None else nonce
    # The boxes share one nonce. That is safe too, as each box has another pair of keys.
    boxes = tuple(sender.seal_box(master_key, nonce, recipient) for recipient in (*recipients, sender.public))
    return EncryptedPayload(sender.public, nonce, boxes, cipher_text, group_id)


def _sender_nonce(sender: KeyPair, key: bytes, group_id: bytes) -> bytes:
    """Return the nonce that `sender` gives to the boxes of the payload `key` (32 bytes) of a group."""
    # For all others it is random, as Orion's is. The key of a payload is new each time, so no nonce comes twice.
    return hashlib.blake2b(
        key + group_id, digest_size=NONCE_BYTES, key=sender.private, person=b"payload nonce"
    ).digest()


def is_sealed_by(payload: EncryptedPayload, own: KeyPair) -> bool:
    """Return True if the nonce of `payload` proves that the holder of `own` sealed this cipher text for this group.
    False for a payload of an earlier version, whose nonce is random."""
    # A box does not prove it: the other side of a NaCl box can make one too, in the name of `own`.
    return payload.sender == own.public and hmac.compare_digest(
        payload.nonce, _sender_nonce(own, payload.key, payload.group_id)
    )


def _find_own_box(payload: EncryptedPayload, other: bytes, own: KeyPair) -> tuple[int, bytes] | None:
    """Return the position and the master key of the first box between `other` and `own`. None if there is none."""
    try:
        # The secret that the two keys share is computed once. To compute it for each box takes forty times as long.
        shared = own.shared_secret(other)
    except (nacl.exceptions.CryptoError, ValueError):
        return None
    # A box does not say whose it is. All boxes are tried, as in Orion. MAX_BOXES bounds the work.
    for position, box in enumerate(payload.boxes):
        with suppress(nacl.exceptions.CryptoError):
            return position, nacl.bindings.crypto_box_open_afternm(box, payload.nonce, shared)
    return None


def open_box_at(payload: EncryptedPayload, position: int, other: bytes, own: KeyPair) -> bytes | None:
    """Return the master key (32 bytes) in the box at `position`, between the public key `other` (32 bytes) and `own`.
    None if the box does not open. IndexError if there is no such box. The cipher text is not opened: see
    `opens_cipher_text`."""
    found = _find_own_box(payload.with_boxes_at([position]), other, own)
    return None if found is None else found[1]


def opens_cipher_text(payload: EncryptedPayload, master_key: bytes) -> bool:
    """Return True if `master_key` (32 bytes) opens the cipher text of `payload`."""
    return _open_cipher_text(payload, master_key) is not None


def decrypt_payload(payload: EncryptedPayload, own: KeyPair) -> tuple[int, bytes] | None:
    """Return the position of the box for `own`, and the plaintext. None if no box opens, or if the first box that opens
    does not open the cipher text."""
    found = _find_own_box(payload, payload.sender, own)
    # Only the first box that opens is used on the cipher text. Its sender made it: no other key can. A sender could
    # otherwise make thousands of boxes with false master keys, each of which reads the whole cipher text.
    plaintext = None if found is None else _open_cipher_text(payload, found[1])
    return None if found is None or plaintext is None else (found[0], plaintext)


def _open_cipher_text(payload: EncryptedPayload, master_key: bytes) -> bytes | None:
    try:
        # libsodium's older form of this call, without `easy`, needs one more copy of the cipher text.
        opened: bytes = nacl.bindings.crypto_secretbox_open_easy(payload.cipher_text, payload.cipher_nonce, master_key)
    except (nacl.exceptions.CryptoError, ValueError):
        return None
    return opened


def restore_sender_box(payload: EncryptedPayload, recipient: bytes, own: KeyPair) -> EncryptedPayload | None:
    """Return a copy of `payload` whose only box is a new one for the sender `own`. The master key comes from the box of
    `recipient` (a public key of 32 bytes): a NaCl box opens from both sides.

    None if `own` is not the sender of the payload, if no box is between `own` and `recipient`, or if the master key in
    it does not open the cipher text.
    """
    found = _find_own_box(payload, recipient, own) if payload.sender == own.public else None
    # The master key must open the cipher text too. A recipient could otherwise return another payload's box.
    if found is None or _open_cipher_text(payload, found[1]) is None:
        return None
    mine = own.seal_box(found[1], payload.nonce, own.public)
    return replace(payload, boxes=(mine,))


def find_own_boxes(payload: EncryptedPayload, keys: KeyRing) -> dict[bytes, int]:
    """Return each own public key (32 bytes) that opens the payload, with the position of its box. Empty if no own key
    opens it.

    A payload does not name its recipients, so every own key is tried on every box.
    """
    found: dict[bytes, int] = {}
    for public in keys.public_keys:
        pair = keys.find_pair(public)
        opened = None if pair is None else decrypt_payload(payload, pair)
        if opened is not None:
            found[public] = opened[0]
    return found


def encode_orion_payload(payload: EncryptedPayload) -> bytes:
    """Encode a payload in Orion's CBOR, as it is stored, and as it is sent to an Orion or a lacnode.

    A payload that came from a Tessera has one more field, its cipher nonce. No Orion receives such a payload.
    """
    boxes = [encode_map({"encoded": box}) for box in payload.boxes]
    # The names and their order are Orion's.
    fields: dict[str, object] = {
        "sender": to_base64(payload.sender),
        "nonce": payload.nonce,
        "encryptedKeys": encode_array(boxes),
        "cipherText": payload.cipher_text,
        "privacyGroupId": payload.group_id,
    }
    # Orion does not know this field. It is left out wherever its value is Orion's.
    if payload.cipher_nonce != ZERO_NONCE:
        fields["cipherNonce"] = payload.cipher_nonce
    return encode_map(fields)


def decode_orion_payload(data: bytes) -> EncryptedPayload:
    """Decode a payload from Orion's CBOR. No box is opened. CborError if it is malformed or above a bound."""
    fields = decode_map(data, "payload", {"encryptedKeys": _decode_box})
    try:
        sender = from_base64(fields.read_field("sender", str), KEY_BYTES)
    except CborError:
        raise
    except ValueError as error:
        raise CborError(f"payload.sender: {error}") from None
    nonce = fields.bytes("nonce", NONCE_BYTES)
    boxes = fields.read_field("encryptedKeys", list)
    if not 1 <= len(boxes) <= MAX_BOXES:
        raise CborError(f"payload.encryptedKeys: from 1 to {MAX_BOXES} were expected, found {len(boxes)}")
    cipher_text = fields.bytes("cipherText")
    # The cipher text begins with its MAC. A shorter one can belong to no plaintext.
    if len(cipher_text) < MAC_BYTES:
        raise CborError(f"payload.cipherText: at least {MAC_BYTES} bytes were expected, found {len(cipher_text)}")
    group_id = fields.bytes("privacyGroupId", KEY_BYTES)
    cipher_nonce = fields.read_field("cipherNonce", bytes, True) or ZERO_NONCE
    if len(cipher_nonce) != NONCE_BYTES:
        raise CborError(f"payload.cipherNonce: {NONCE_BYTES} bytes were expected, found {len(cipher_nonce)}")
    fields.check_no_fields_left()
    return EncryptedPayload(sender, nonce, tuple(boxes), cipher_text, group_id, cipher_nonce)


def _decode_box(value: object) -> bytes:
    fields = CborFields(value, "payload.encryptedKeys")
    box: bytes = fields.bytes("encoded", BOX_SIZE)
    fields.check_no_fields_left()
    return box
