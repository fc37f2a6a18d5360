"""Recovery boxes: boxes of other recipients that a recipient keeps, so that each recipient can recover from any other.

Orion sends to a recipient its own box alone. A recipient cannot make the box of another recipient, because the box proves
its sender. So the sender gives the boxes of the other recipients to each recipient, together with the payload. They are
sealed between the two. The receiver stores them under the keys of their owners. Only the owner can open a box. This module
must not reveal a recipient that the sender's client did not name.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.manager.encrypted_payload import BOX_SIZE, MAX_BOXES, NONCE_BYTES
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


def encode_push_with_boxes(payload: bytes, key: bytes, boxes: Mapping[bytes, bytes], own: KeyPair, to: bytes) -> bytes:
    """Encode the message (CBOR) that gives to `to` a payload of `own` and the recovery boxes `boxes`, which are by
    public key.

    `payload` is encoded, `key` is its key (32 bytes), `to` is a public key (32 bytes). CryptoError of PyNaCl if `to` is
    not a valid key.
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
