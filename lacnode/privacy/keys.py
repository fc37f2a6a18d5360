"""Keys of the transaction manager: X25519 key pairs, written as base64 text.

This module must not read files. A private key must not appear in `repr`, in errors or in logs.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import nacl.bindings

from lacnode.privacy.transaction_manager import EnclaveError

KEY_BYTES = 32
"""The size of a private key, a public key, a group id and a payload key."""

MAX_SHARED_SECRETS = 1024
"""The largest number of secrets of two keys that are kept. Strangers may send any number of keys."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One X25519 key pair. Both keys have 32 bytes. `repr` does not show the private key."""

    # A private key must not reach a log by the `repr` of an object that has this pair.
    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def from_private_bytes(cls, private: bytes) -> "KeyPair":
        """Return the pair of a private key of 32 bytes. ValueError for any other size."""
        if len(private) != KEY_BYTES:
            raise ValueError(f"a private key of {KEY_BYTES} bytes was expected, found {len(private)}")
        return cls(private, nacl.bindings.crypto_scalarmult_base(private))

    @classmethod
    def generate(cls) -> "KeyPair":
        """Return a new random pair."""
        return cls.from_private_bytes(secrets.token_bytes(KEY_BYTES))

    def seal_box(self, message: bytes, nonce: bytes, to: bytes) -> bytes:
        """Return a NaCl box with `message` under `nonce` (24 bytes) from this pair to the public key `to` (32 bytes).
        ValueError or RuntimeError if `to` is no valid key."""
        sealed: bytes = nacl.bindings.crypto_box_afternm(message, nonce, self.shared_secret(to))
        return sealed

    def open_box(self, box: bytes, nonce: bytes, other: bytes) -> bytes:
        """Return the message in the NaCl box `box` under `nonce` (24 bytes), between this pair and the public key
        `other` (32 bytes).

        nacl.exceptions.CryptoError if the box was not sealed between these two keys, ValueError or RuntimeError if
        `other` is no valid key.
        """
        opened: bytes = nacl.bindings.crypto_box_open_afternm(box, nonce, self.shared_secret(other))
        return opened

    def shared_secret(self, other: bytes) -> bytes:
        """Return the secret (32 bytes) of this pair and the public key `other`. ValueError or RuntimeError if `other` is
        no valid key."""
        return _shared_secret(other, self.private)


# The multiplication on the curve takes most of the time of a box, and the same managers send to each other all the time.
@lru_cache(MAX_SHARED_SECRETS)
def _shared_secret(public: bytes, private: bytes) -> bytes:
    secret: bytes = nacl.bindings.crypto_box_beforenm(public, private)
    return secret


class KeyRing:
    """The key pairs of one manager in the order of its configuration. The first one is the default sender. There may be
    none."""

    def __init__(self, pairs: Sequence[KeyPair]) -> None:
        self._pairs = tuple(pairs)

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """The public keys (32 bytes each) in the order of the configuration. Empty without a pair."""
        return tuple(pair.public for pair in self._pairs)

    def find_pair(self, public: bytes) -> KeyPair | None:
        """Return the own pair with this public key (32 bytes). None if it is no own key. The time is the same for any
        key."""
        # All pairs are compared, also after a match. The duration does not show a stranger which keys are here.
        found = None
        for pair in self._pairs:
            if hmac.compare_digest(pair.public, public):
                found = pair
        return found

    def sender_pair(self, public: bytes | None) -> KeyPair:
        """Return the pair of the own key `public` (32 bytes) to send with, the first pair if `public` is None.

        EnclaveError `NoSenderKey` if there is no pair, `EnclaveNoMatchingPrivateKey` if `public` is not an own key.
        """
        if public is None:
            if not self._pairs:
                raise EnclaveError("NoSenderKey")
            return self._pairs[0]
        pair = self.find_pair(public)
        if pair is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        return pair


def to_base64(data: bytes) -> str:
    """Encode `data` in standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: object, size: int | None = None) -> bytes:
    """Decode standard base64 with padding. ValueError for anything else, also for a value that is not text, and for
    another size than `size` in bytes. None accepts any size."""
    if not isinstance(text, str):
        raise ValueError(f"base64 text was expected, found {type(text).__name__}")
    try:
        # `validate` refuses characters outside the alphabet. Without it Python skips them, and two texts would be one
        # key.
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("base64 text was expected") from None
    if size is not None and len(data) != size:
        raise ValueError(f"base64 of {size} bytes was expected, found {len(data)} bytes")
    return data


def decode_public_key(text: object) -> bytes:
    """Decode the public key (32 bytes) in the base64 text `text`. EnclaveError `EnclaveDecodePublicKey` for anything
    else."""
    try:
        return from_base64(text, KEY_BYTES)
    except ValueError:
        raise EnclaveError("EnclaveDecodePublicKey") from None
