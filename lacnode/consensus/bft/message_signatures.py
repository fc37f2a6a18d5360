"""The signatures of consensus messages: their form, and who made them. What is signed is a matter of the protocol."""

from functools import lru_cache

from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives.rlp import RlpError


def check_signature_form(signature: bytes) -> bytes:
    """Return `signature`. Raises RlpError if it does not have 65 bytes that end in 0 or 1."""
    if len(signature) != 65 or signature[64] > 1:
        # Besu and GoQuorum write v as 0 or 1. Another form would be another message with the same meaning.
        raise RlpError("signature: 65 bytes ending in 0 or 1 were expected")
    return signature


@lru_cache(maxsize=4096)
def recover_signer(digest: bytes, signature: bytes) -> bytes:
    """The address (20 bytes) that signed `digest`. RlpError if there is none. It is cached, because the certificates and
    justifications of messages repeat signatures."""
    try:
        return recover_address(digest, signature)
    except SignatureError as error:
        raise RlpError(f"signature: {error}") from None
