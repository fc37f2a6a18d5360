"""Recovery boxes: boxes of other recipients that a recipient keeps, so that each recipient can recover from any other.

Orion sends to a recipient its own box alone. A recipient cannot make the box of another recipient, because the box proves
its sender. So the sender gives the boxes of the other recipients to each recipient, together with the payload. They are
sealed between the two. The receiver stores them under the keys of their owners. Only the owner can open a box.

The box of a payload has the master key, which all recipients know, and no hint of the cipher text. With such a box of
another recipient, a recipient could seal a text of its own and give it to that one as the sender's. So a recovery box has
the master key under a mask that only its sender and its owner can compute, for one cipher text in one group. This module
must not reveal a recipient that the sender's client did not name.
"""

import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import nacl.bindings
import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.manager.encrypted_payload import (
    BOX_SIZE,
    MAX_BOXES,
    NONCE_BYTES,
    EncryptedPayload,
    open_box_at,
    opens_cipher_text,
)
from lacnode.privacy.transaction_manager import EnclaveError

PUSH_WITH_BOXES_PATH = "/lacnode/push"
BOX_ENTRY_BYTES = KEY_BYTES + BOX_SIZE


@dataclass(frozen=True, slots=True)
class PushWithBoxes:
    """A received payload (encoded in Orion's CBOR, not decoded yet) and the recovery boxes that its sender gives with
    it, by the public key of their owner.

    `key` is the key of the payload, `sender` the public key that sealed the boxes (32 bytes each).
    """

    payload: bytes
    key: bytes
    sender: bytes
    boxes: Mapping[bytes, bytes]


def make_recovery_box(payload: EncryptedPayload, position: int, sender: KeyPair, owner: bytes) -> bytes:
    """Return the recovery box of the recipient `owner` (a public key of 32 bytes), made from the box at `position` in
    `payload`, which `sender` sealed. A box that does not open as a box between `sender` and `owner` is a recovery box
    already: it is returned unchanged. IndexError if there is no such box."""
    master_key = open_box_at(payload, position, owner, sender)
    if master_key is None:
        return payload.boxes[position]
    secret = sender.shared_secret(owner)
    return nacl.bindings.crypto_box_afternm(_masked(master_key, payload, secret), _recovery_nonce(payload), secret)


def open_recovery_box(payload: EncryptedPayload, own: KeyPair) -> EncryptedPayload | None:
    """Return `payload` with the box of `own` alone, made from the first of its boxes that is a recovery box of `own`.
    None if there is none, or if it does not open the cipher text."""
    with suppress(nacl.exceptions.CryptoError, ValueError, RuntimeError):
        secret, nonce = own.shared_secret(payload.sender), _recovery_nonce(payload)
        for box in payload.boxes:
            with suppress(nacl.exceptions.CryptoError):
                master_key = _masked(nacl.bindings.crypto_box_open_afternm(box, nonce, secret), payload, secret)
                # Only the first box that opens is used, as with the boxes of a payload.
                if not opens_cipher_text(payload, master_key):
                    return None
                return replace(payload, boxes=(own.seal_box(master_key, payload.nonce, payload.sender),))
    return None


def _recovery_nonce(payload: EncryptedPayload) -> bytes:
    # The payload's own nonce has sealed another text for the same two keys already.
    said = payload.nonce + payload.key
    return hashlib.blake2b(said, digest_size=NONCE_BYTES, person=b"recovery nonce").digest()


def _masked(master_key: bytes, payload: EncryptedPayload, secret: bytes) -> bytes:
    """Return the master key under the mask, or without it. `secret` is that of the sender's and the owner's keys."""
    said = payload.key + payload.group_id
    mask = hashlib.blake2b(said, digest_size=KEY_BYTES, key=secret, person=b"recovery mask").digest()
    return bytes(one ^ other for one, other in zip(master_key, mask, strict=True))


def encode_push_with_boxes(payload: bytes, key: bytes, boxes: Mapping[bytes, bytes], own: KeyPair, to: bytes) -> bytes:
    """Encode the message (CBOR) that gives to `to` a payload of `own` and the recovery boxes `boxes`, which are by
    public key.

    `payload` is encoded, `key` is its key (32 bytes), `to` is a public key (32 bytes). ValueError or RuntimeError if
    `to` is no valid key.
    """
    # The key of the payload is inside the sealed part. A third party could otherwise put the boxes of one payload
    # together with another payload.
    inner = encode_map({"key": key, "boxes": encode_recovery_boxes(boxes)})
    nonce = secrets.token_bytes(NONCE_BYTES)
    box = own.seal_box(inner, nonce, to)
    return encode_map({"payload": payload, "from": own.public, "to": to, "nonce": nonce, "box": box})


def decode_push_with_boxes(body: bytes, keys: KeyRing) -> PushWithBoxes:
    """Decode a message (CBOR) with a payload and recovery boxes for one of `keys`. Whether the boxes belong to the
    payload is not checked: the caller compares `key` and `sender`.

    CborError if it is malformed. EnclaveError `EnclaveNoMatchingPrivateKey` if it is for another key. EnclaveError
    `EnclaveKeysCannotDecryptPayload` if `from` did not seal it.
    """
    fields = decode_map(body, "push")
    payload = fields.bytes("payload")
    sender, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
    nonce, box = fields.bytes("nonce", NONCE_BYTES), fields.bytes("box")
    fields.check_no_fields_left()
    # The receiver's key is named, so that a manager with many keys tries one box only.
    own = keys.find_pair(to)
    if own is None:
        raise EnclaveError("EnclaveNoMatchingPrivateKey")
    try:
        opened = own.open_box(box, nonce, sender)
    except (nacl.exceptions.CryptoError, ValueError, RuntimeError):
        raise EnclaveError("EnclaveKeysCannotDecryptPayload") from None
    inner = decode_map(opened, "spare boxes")
    key, boxes = inner.bytes("key", KEY_BYTES), decode_recovery_boxes(inner.bytes("boxes"))
    inner.check_no_fields_left()
    return PushWithBoxes(payload, key, sender, boxes)


def encode_recovery_boxes(boxes: Mapping[bytes, bytes]) -> bytes:
    """Return each public key (32 bytes) and its box (`BOX_SIZE` bytes), one after the other."""
    return b"".join(party + box for party, box in boxes.items())


def decode_recovery_boxes(data: bytes) -> dict[bytes, bytes]:
    """Decode what `encode_recovery_boxes` encoded: boxes by public key. CborError if the length does not fit, or if
    there are more than `MAX_BOXES`."""
    if len(data) % BOX_ENTRY_BYTES or len(data) > MAX_BOXES * BOX_ENTRY_BYTES:
        raise CborError(
            f"spare boxes: up to {MAX_BOXES} entries of {BOX_ENTRY_BYTES} bytes were expected, found {len(data)} bytes"
        )
    # The entries have a fixed size. There is no need for CBOR, whose overhead would be half of their size.
    entries = [data[start : start + BOX_ENTRY_BYTES] for start in range(0, len(data), BOX_ENTRY_BYTES)]
    return {entry[:KEY_BYTES]: entry[KEY_BYTES:] for entry in entries}
