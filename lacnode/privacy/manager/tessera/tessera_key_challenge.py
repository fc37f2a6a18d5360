"""The proof of a key between Tesseras: a random UUID is sealed to the key. The holder of the private key answers the UUID.

Follows Tessera's `PartyInfoResource`. It is weaker than lacnode's proof. It does not name the URL of the key, so a manager
in between can pass it on. This module must not open anything for a stranger but a UUID.
"""

import hmac
import uuid

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.encrypted_payload import decrypt_payload, encrypt_payload
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, decode_tessera_payload, encode_tessera_payload


class TesseraKeyChallenge:
    """One question of `own` to the manager that claims `key` (32 bytes). `body` is to be sent. ValueError or
    RuntimeError if `key` is not a valid key."""

    def __init__(self, own: KeyPair, key: bytes) -> None:
        self._expected = str(uuid.uuid4()).encode()
        # The challenge is sealed like a payload, with the receiver's box alone and no group.
        self.body = encode_tessera_payload(
            encrypt_payload(self._expected, own, [key], NO_GROUP).with_boxes_at([0]), [key]
        )

    def is_answered_by(self, answer: bytes | None) -> bool:
        """Return True if the body `answer` proves the key. False also for None, which stands for no answer."""
        return answer is not None and hmac.compare_digest(answer, self._expected)


def answer_key_challenge(body: bytes, keys: KeyRing) -> bytes:
    """Return the answer to the challenge in `body` of another manager: the UUID that was sealed for an own key, as
    ASCII bytes. TesseraError if it is malformed or has no UUID for one of `keys`."""
    # The challenge has the form of a payload. If any plaintext were returned, a stranger could send a recorded payload here
    # and read it. So the plaintext must be a UUID.
    payload = decode_tessera_payload(body).payload
    for public in keys.public_keys:
        opened = decrypt_payload(payload, keys.sender_pair(public))
        if opened is not None and _is_uuid(opened[1]):
            return opened[1]
    raise TesseraError("challenge: a UUID for an own key was expected")


def _is_uuid(text: bytes) -> bool:
    try:
        return str(uuid.UUID(text.decode())).encode() == text.lower()
    except ValueError:
        return False
