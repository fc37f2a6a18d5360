"""The signatures of consensus messages: their form, and who made them. What is signed is a matter of the protocol."""

from collections.abc import Callable
from functools import lru_cache

from lacnode.crypto.secp256k1 import SignatureError, is_low_s, recover_address
from lacnode.primitives.rlp import RlpError

SignatureCheck = Callable[[bytes], bytes]
"""Returns the signature that it is given. Raises RlpError if its form is wrong."""


class HighSError(RlpError):
    """The s of a signature is in the upper half of the curve's order."""


def check_justifying_signature_form(signature: bytes) -> bytes:
    """Return `signature`, of a message that is shown to justify a proposal. A high s is accepted. Raises RlpError if it
    does not have 65 bytes that end in 0 or 1."""
    if len(signature) != 65 or signature[64] > 1:
        # Besu and GoQuorum write v as 0 or 1. Another form would be another message with the same meaning.
        raise RlpError("signature: 65 bytes ending in 0 or 1 were expected")
    # A high s is legal here. Besu before 25.11 and GoQuorum accept such a message of a faulty validator and show it. Each of
    # their proposals in later rounds would be lost.
    return signature


def check_signature_form(signature: bytes) -> bytes:
    """Return `signature`, of a message or of the seal in a commit. Raises RlpError if it does not have 65 bytes that end
    in 0 or 1, and HighSError if its s is high."""
    if not is_low_s(check_justifying_signature_form(signature)):
        # Besu since 25.11 refuses it, also as a seal of a commit. All known nodes sign with a low s. The seals of a header
        # that is final may have a high one (`extra_data.decode_seal`).
        raise HighSError("signature: s in the lower half of the curve's order was expected")
    return signature


@lru_cache(maxsize=4096)
def recover_signer(digest: bytes, signature: bytes) -> bytes:
    """The address (20 bytes) that signed `digest` (32 bytes). `signature` has 65 bytes, `r || s || v`. Raises RlpError if
    no address can be recovered. The answer is cached, because the certificates and justifications of messages repeat
    signatures.
    """
    try:
        return recover_address(digest, signature)
    except SignatureError as error:
        raise RlpError(f"signature: {error}") from None
