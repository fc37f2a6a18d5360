"""Keys of the transaction manager: X25519 pairs, written as base64 text.

Must not read files; and no private key appears in `repr`, errors or logs.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import nacl.bindings

from lacnode.privacy.transaction_manager import EnclaveError

KEY_BYTES = 32
"""Bytes of a key, public or private, and of a group id and a payload key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One pair; 32 bytes each."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, private: bytes) -> "KeyPair":
        """The pair of 32 private bytes; ValueError for any other size."""
        if len(private) != KEY_BYTES:
            raise ValueError(f"a private key of {KEY_BYTES} bytes was expected, found {len(private)}")
        return cls(private, nacl.bindings.crypto_scalarmult_base(private))

    @classmethod
    def generate(cls) -> "KeyPair":
        """A new random pair."""
        return cls.of(secrets.token_bytes(KEY_BYTES))


class KeyRing:
    """The pairs of one manager, in order: the first is the sender where none is named."""

    def __init__(self, pairs: Sequence[KeyPair]) -> None:
        self._pairs = tuple(pairs)

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """In the order of the configuration."""
        return tuple(pair.public for pair in self._pairs)

    def find_pair(self, public: bytes) -> KeyPair | None:
        """The own pair with this public key, None if it is somebody else's. Takes the same time for any key."""
        found = None
        for pair in self._pairs:
            if hmac.compare_digest(pair.public, public):
                found = pair
        return found

    def sender(self, public: bytes | None) -> KeyPair:
        """The pair to send with. EnclaveError `NoSenderKey` or `EnclaveNoMatchingPrivateKey`."""
        if public is None:
            if not self._pairs:
                raise EnclaveError("NoSenderKey")
            return self._pairs[0]
        pair = self.find_pair(public)
        if pair is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        return pair


def to_base64(data: bytes) -> str:
    """Standard padded base64."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: object, size: int | None = None) -> bytes:
    """The bytes of standard padded base64; ValueError for anything else, or for another size than `size`."""
    if not isinstance(text, str):
        raise ValueError(f"base64 text was expected, found {type(text).__name__}")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("base64 text was expected") from None
    if size is not None and len(data) != size:
        raise ValueError(f"base64 of {size} bytes was expected, found {len(data)} bytes")
    return data


def public_key_of(text: object) -> bytes:
    """The public key written as `text`; EnclaveError `EnclaveDecodePublicKey`."""
    try:
        return from_base64(text, KEY_BYTES)
    except ValueError:
        raise EnclaveError("EnclaveDecodePublicKey") from None
