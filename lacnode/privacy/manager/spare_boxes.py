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

from lacnode.privacy.keys import KEY_SIZE, KeyPair, KeyRing
from lacnode.privacy.manager.cbor import CborError, decode_map, encode_map
from lacnode.privacy.manager.payload import BOX_SIZE, MAX_BOXES, NONCE_SIZE
from lacnode.privacy.transaction_manager import ManagerError

PUSH_WITH_SPARES = "/lacnode/push"
ENTRY = KEY_SIZE + BOX_SIZE


@dataclass(frozen=True, slots=True)
class Push:
    """A payload as it came, encoded, and the boxes (public key, box) of other recipients that its sender gives with it."""

    payload: bytes
    key: bytes
    sender: bytes
    boxes: Mapping[bytes, bytes]


def encode_push(payload: bytes, key: bytes, boxes: Mapping[bytes, bytes], own: KeyPair, to: bytes) -> bytes:
    """The message that gives `to` an encoded payload of `own`, whose key is `key`, and `boxes`."""
    inner = encode_map({"key": key, "boxes": encode_boxes(boxes)})
    nonce = secrets.token_bytes(NONCE_SIZE)
    box = nacl.bindings.crypto_box(inner, nonce, to, own.private)
    return encode_map({"payload": payload, "from": own.public, "to": to, "nonce": nonce, "box": box})


def decode_push(body: bytes, keys: KeyRing) -> Push:
    """What a message says that is for one of `keys`. CborError; ManagerError `EnclaveNoMatchingPrivateKey` if it is for
    another, `EnclaveKeysCannotDecryptPayload` if it is not from whom it says."""
    fields = decode_map(body, "push")
    payload = fields.bytes("payload")
    sender, to = fields.bytes("from", KEY_SIZE), fields.bytes("to", KEY_SIZE)
    nonce, box = fields.bytes("nonce", NONCE_SIZE), fields.bytes("box")
    fields.end()
    own = keys.pair_of(to)
    if own is None:
        raise ManagerError("EnclaveNoMatchingPrivateKey")
    try:
        opened = nacl.bindings.crypto_box_open(box, nonce, sender, own.private)
    except (nacl.exceptions.CryptoError, ValueError, RuntimeError):
        raise ManagerError("EnclaveKeysCannotDecryptPayload") from None
    inner = decode_map(opened, "spare boxes")
    key, boxes = inner.bytes("key", KEY_SIZE), decode_boxes(inner.bytes("boxes"))
    inner.end()
    return Push(payload, key, sender, boxes)


def encode_boxes(boxes: Mapping[bytes, bytes]) -> bytes:
    """Each key and its box, one after the other."""
    return b"".join(party + box for party, box in boxes.items())


def decode_boxes(data: bytes) -> dict[bytes, bytes]:
    """The keys and boxes that `data` is; CborError."""
    if len(data) % ENTRY or len(data) > MAX_BOXES * ENTRY:
        raise CborError(
            f"spare boxes: up to {MAX_BOXES} entries of {ENTRY} bytes were expected, found {len(data)} bytes"
        )
    entries = [data[start : start + ENTRY] for start in range(0, len(data), ENTRY)]
    return {entry[:KEY_SIZE]: entry[KEY_SIZE:] for entry in entries}
