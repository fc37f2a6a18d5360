"""Whose key it is, as Tesseras ask each other: a random UUID is sealed to the key, and whoever has it answers the UUID.

Follows Tessera's PartyInfoResource. Weaker than our own proof: it does not say at which URL the key is, so a manager in
between can hand it on. Must not open anything for a stranger but a UUID.
"""

import hmac
import uuid

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.encrypted_payload import decrypt_with, encrypt
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, decode_payload, encode_payload


class TesseraKeyChallenge:
    """One question of `own` to whoever says to have `key`; ValueError or RuntimeError if `key` is no key."""

    def __init__(self, own: KeyPair, key: bytes) -> None:
        self._expected = str(uuid.uuid4()).encode()
        self.body = encode_payload(encrypt(self._expected, own, [key], NO_GROUP).only([0]), [key])

    def is_answered_by(self, answer: bytes | None) -> bool:
        """Whether `answer` proves the key."""
        return answer is not None and hmac.compare_digest(answer, self._expected)


def proof(body: bytes, keys: KeyRing) -> bytes:
    """The answer to another's challenge; TesseraError if it is none, or for none of `keys`."""
    payload = decode_payload(body).payload
    for public in keys.public_keys:
        opened = decrypt_with(payload, keys.sender(public))
        if opened is not None and _is_uuid(opened[1]):
            return opened[1]
    raise TesseraError("challenge: a UUID for an own key was expected")


def _is_uuid(text: bytes) -> bool:
    try:
        return str(uuid.UUID(text.decode())).encode() == text.lower()
    except ValueError:
        return False
