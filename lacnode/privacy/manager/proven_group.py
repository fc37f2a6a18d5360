"""A group record that a manager sends, in a NaCl box between a key of its own and the receiver's key.

The box proves the sender. Orion and Tessera have no such message. A box that is sent again has the same content, so it
changes nothing. This module must not judge the record.
"""

import secrets
from dataclasses import dataclass

import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import decode_map, encode_map
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group, encode_orion_group
from lacnode.privacy.transaction_manager import EnclaveError

PUSH_PROVEN_GROUP_PATH = "/lacnode/group"
NONCE_BYTES = 24


@dataclass(frozen=True, slots=True)
class ToldGroup:
    """A group record and the public key (32 bytes) that has proven to send it. Neither the record nor whether the key
    is a member is checked yet."""

    record: GroupRecord
    proven_teller: bytes


def encode_proven_group(record: GroupRecord, own: KeyPair, to: bytes) -> bytes | None:
    """Encode the message (CBOR) of `own` to the key `to` (32 bytes) about a group. None if `to` is not a valid key."""
    # The receiver gets a proof, but cannot show it to others: it could have made the box itself. That is enough, as the
    # receiver decides for itself alone.
    nonce = secrets.token_bytes(NONCE_BYTES)
    try:
        box = own.seal_box(encode_map({"group": encode_orion_group(record)}), nonce, to)
    except (nacl.exceptions.CryptoError, ValueError, RuntimeError):
        return None
    return encode_map({"from": own.public, "to": to, "nonce": nonce, "box": box})


def decode_proven_group(body: bytes, keys: KeyRing) -> ToldGroup:
    """Decode a message (CBOR) about a group for one of `keys`, and check that its sender sealed it. Whether the sender
    is a member is not checked.

    CborError if it is malformed. EnclaveError `EnclaveNoMatchingPrivateKey` if it is for another key. EnclaveError
    `EnclaveNotPayloadOwner` if `from` did not seal it.
    """
    fields = decode_map(body, "group push")
    teller, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
    nonce, box = fields.bytes("nonce", NONCE_BYTES), fields.bytes("box")
    fields.check_no_fields_left()
    own = keys.find_pair(to)
    if own is None:
        raise EnclaveError("EnclaveNoMatchingPrivateKey")
    try:
        opened = own.open_box(box, nonce, teller)
    except (nacl.exceptions.CryptoError, ValueError, RuntimeError):
        raise EnclaveError("EnclaveNotPayloadOwner") from None
    inner = decode_map(opened, "group push")
    record = decode_orion_group(inner.bytes("group"))
    inner.check_no_fields_left()
    return ToldGroup(record, teller)
