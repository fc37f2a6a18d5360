"""The identity of a node: the uses of its key.

A file holds the key today (`crypto.node_key.NodeKey`). An HSM or a remote signer can hold it instead, because no other
module reads the private key. Must not decide what may be signed: for consensus the journal decides before.
"""

from typing import Protocol


class SignerUnavailableError(Exception):
    """The holder of the key did not answer. The message that needed the signature is not sent, and the node goes on."""


class Signer(Protocol):
    """The part of a node's key that consensus uses: it signs digests. The key may be in another device."""

    @property
    def address(self) -> bytes:
        """The 20-byte address of the key."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """The 65-byte low-s signature `r || s || v` of a 32-byte digest, v 0 or 1.

        It may block. The validator calls it in a worker thread. Raises SignerUnavailableError if the key does not answer.
        """
        ...


class NodeIdentity(Signer, Protocol):
    """The key of a node for devp2p and consensus. It is one key, as in Besu (`NodeKey`)."""

    @property
    def public_key(self) -> bytes:
        """The 64-byte public key (X || Y), which is the node id."""
        ...

    def agree(self, public_key: bytes) -> bytes:
        """The 32-byte ECDH secret with a 64-byte `public_key`: the X coordinate of the shared point, not hashed.

        Raises ValueError if `public_key` is not a point of the curve, and SignerUnavailableError if the key does not
        answer.
        """
        ...
