"""ECIES as RLPx uses it: one message sealed to a node's public key (devp2p rlpx.md, "ECIES Encryption").

Body: `04 || R 64 || iv 16 || ciphertext || tag 32`, AES-128-CTR and HMAC-SHA-256, keys by the NIST SP 800-56
concatenation over SHA-256. Only handshakes use it. Bulk data must not.
"""

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.crypto.node_key import NodeKey

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes that cannot be guessed: `secrets.token_bytes`, or recorded bytes in tests."""

ECIES_OVERHEAD_BYTES = 113
"""The number of bytes by which a sealed message is longer than its plaintext."""

_UNCOMPRESSED_POINT = 4
_KEY_END, _TAG_BYTES = 65, 32


class EciesError(ValueError):
    """A sealed message that is malformed, altered, or sealed to another key."""


def seal(plaintext: bytes, public_key: bytes, associated: bytes, random_bytes: RandomBytes) -> bytes:
    """Seal `plaintext` for the holder of the 64-byte `public_key`. The result is `ECIES_OVERHEAD_BYTES` bytes longer.

    `associated` is authenticated and is not part of the result: it is the size prefix of an EIP-8 packet, or empty in the
    old form. ValueError if `public_key` is no point of the curve.
    """
    # A key for this message alone: with it, the same plaintext is sealed to other bytes each time.
    fresh = random_key(random_bytes)
    encryption_key, mac_key = _derive_keys(fresh.agree(public_key))
    iv = random_bytes(16)
    sealed = iv + _crypt(encryption_key, iv, plaintext)
    return bytes([_UNCOMPRESSED_POINT]) + fresh.public_key + sealed + _tag(mac_key, sealed, associated)


def open_sealed(body: bytes, key: NodeIdentity, associated: bytes) -> bytes:
    """Return the plaintext of a sealed `body`. `associated` must be that of `seal`. EciesError if it is malformed,
    altered, or sealed to another key.
    """
    if len(body) < ECIES_OVERHEAD_BYTES or body[0] != _UNCOMPRESSED_POINT:
        raise EciesError(f"a sealed message of at least {ECIES_OVERHEAD_BYTES} bytes starting with 04 was expected")
    try:
        shared = key.agree(body[1:_KEY_END])
    except ValueError:
        raise EciesError("the sealed message's key is no point of the curve") from None
    encryption_key, mac_key = _derive_keys(shared)
    sealed, tag = body[_KEY_END:-_TAG_BYTES], body[-_TAG_BYTES:]
    # The tag is checked before anything is decrypted: counter mode itself accepts every ciphertext.
    if not hmac.compare_digest(_tag(mac_key, sealed, associated), tag):
        raise EciesError("the sealed message is for another key, or was altered")
    return _crypt(encryption_key, sealed[:16], sealed[16:])


def random_key(random_bytes: RandomBytes) -> NodeKey:
    """Return a private key made of `random_bytes(32)`. A second draw is needed once in about 2^128 cases."""
    while True:
        try:
            return NodeKey.from_private_key(random_bytes(32))
        except ValueError:
            continue


def _derive_keys(shared: bytes) -> tuple[bytes, bytes]:
    material = hashlib.sha256(b"\0\0\0\1" + shared).digest()
    return material[:16], hashlib.sha256(material[16:]).digest()


def _crypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt `data`. In counter mode both are the same operation."""
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def _tag(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    return hmac.new(key, sealed + associated, hashlib.sha256).digest()
