"""Boxes that a recipient keeps for the other recipients of a payload, so that each of them can have it back from any
other, the sender gone.

Orion sends a recipient its own box and no more: it cannot make another's, which would have to prove the sender. So the
sender itself gives every recipient, with the payload, the boxes of the others, sealed between the two, and the receiver
files them under their owners' keys. No box is opened but by whom it is for. Must not tell of a recipient that the sender's
client did not name.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import nacl.bindings
import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.manager.encrypted_payload import BOX_SIZE, MAX_BOXES, NONCE_BYTES
from lacnode.privacy.transaction_manager import EnclaveError

PUSH_WITH_BOXES_PATH = "/lacnode/push"
BOX_ENTRY_BYTES = KEY_BYTES + BOX_SIZE


@dataclass(frozen=True, slots=True)
class PushWithBoxes:
    """A payload as it came, encoded, and the boxes (public key, box) of other recipients that its sender gives with it."""

    payload: bytes
    key: bytes
    sender: bytes
    boxes: Mapping[bytes, bytes]


def encode_push_with_boxes(payload: bytes, key: bytes, boxes: Mapping[bytes, bytes], own: KeyPair, to: bytes) -> bytes:
    """The message that gives `to` an encoded payload of `own`, whose key is `key`, and `boxes`."""
    inner = encode_map({"key": key, "boxes": encode_boxes(boxes)})
    nonce = secrets.token_bytes(NONCE_BYTES)
    box = nacl.bindings.crypto_box(inner, nonce, to, own.private)
    return encode_map({"payload": payload, "from": own.public, "to": to, "nonce": nonce, "box": box})


def decode_push_with_boxes(body: bytes, keys: KeyRing) -> PushWithBoxes:
    """What a message says that is for one of `keys`. CborError; EnclaveError `EnclaveNoMatchingPrivateKey` if it is for
    another, `EnclaveKeysCannotDecryptPayload` if it is not from whom it says."""
    fields = decode_map(body, "push")
    payload = fields.bytes("payload")
    sender, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
    nonce, box = fields.bytes("nonce", NONCE_BYTES), fields.bytes("box")
    fields.end()
    own = keys.find_pair(to)
    if own is None:
        raise EnclaveError("EnclaveNoMatchingPrivateKey")
    try:
        opened = nacl.bindings.crypto_box_open(box, nonce, sender, own.private)
    except (nacl.exceptions.CryptoError, ValueError, RuntimeError):
        raise EnclaveError("EnclaveKeysCannotDecryptPayload") from None
    inner = decode_map(opened, "spare boxes")
    key, boxes = inner.bytes("key", KEY_BYTES), decode_boxes(inner.bytes("boxes"))
    inner.end()
    return PushWithBoxes(payload, key, sender, boxes)


def encode_boxes(boxes: Mapping[bytes, bytes]) -> bytes:
    """Each key and its box, one after the other."""
    return b"".join(party + box for party, box in boxes.items())


def decode_boxes(data: bytes) -> dict[bytes, bytes]:
    """The keys and boxes that `data` is; CborError."""
    if len(data) % BOX_ENTRY_BYTES or len(data) > MAX_BOXES * BOX_ENTRY_BYTES:
        raise CborError(
            f"spare boxes: up to {MAX_BOXES} entries of {BOX_ENTRY_BYTES} bytes were expected, found {len(data)} bytes"
        )
    entries = [data[start : start + BOX_ENTRY_BYTES] for start in range(0, len(data), BOX_ENTRY_BYTES)]
    return {entry[:KEY_BYTES]: entry[KEY_BYTES:] for entry in entries}
