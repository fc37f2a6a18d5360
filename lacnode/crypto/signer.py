"""The `Signer` seam: who holds the validator's key. A file today; an HSM or a remote signer later.

A signer signs 32-byte digests and nothing else. It does not decide whether a message may be signed: that is the
consensus journal's, which stands in front of it.
"""

from typing import Protocol

from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign


class SignerUnavailableError(Exception):
    """The key's keeper did not answer. The message is not sent; the state machine goes on."""


class Signer(Protocol):
    """Signs digests with one validator's key."""

    @property
    def address(self) -> bytes:
        """The validator's 20-byte address."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """The 65-byte low-s signature `r || s || v` of a 32-byte digest; SignerUnavailableError if it cannot be had."""
        ...


class KeySigner:
    """A signer whose key is in this process."""

    def __init__(self, key: NodeKey) -> None:
        self._key = key

    @property
    def address(self) -> bytes:
        return self._key.address

    def sign(self, digest: bytes) -> bytes:
        return sign(digest, self._key.private_key)
