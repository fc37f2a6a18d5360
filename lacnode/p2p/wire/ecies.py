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
"""Gives that many bytes nobody can guess: `secrets.token_bytes`, or a recording in tests."""

ECIES_OVERHEAD_BYTES = 113
"""Bytes a sealed message is longer than its plaintext."""

_UNCOMPRESSED_POINT = 4
_KEY_END, _TAG_BYTES = 65, 32


class EciesError(ValueError):
    """A sealed message that is not for this key, or not intact."""


def seal(plaintext: bytes, public_key: bytes, associated: bytes, random_bytes: RandomBytes) -> bytes:
    """`plaintext` for the holder of the 64-byte `public_key`, `ECIES_OVERHEAD_BYTES` bytes longer.

    `associated` is authenticated but not contained: the size prefix of an EIP-8 packet, nothing in the old form.
    ValueError if `public_key` is no point of the curve.
    """
    fresh = random_key(random_bytes)
    encryption_key, mac_key = _derive_keys(fresh.agree(public_key))
    iv = random_bytes(16)
    sealed = iv + _crypt(encryption_key, iv, plaintext)
    return bytes([_UNCOMPRESSED_POINT]) + fresh.public_key + sealed + _tag(mac_key, sealed, associated)


def open_sealed(body: bytes, key: NodeIdentity, associated: bytes) -> bytes:
    """The plaintext of a sealed `body`. EciesError if it is malformed, for another key, or altered."""
    if len(body) < ECIES_OVERHEAD_BYTES or body[0] != _UNCOMPRESSED_POINT:
        raise EciesError(f"a sealed message of at least {ECIES_OVERHEAD_BYTES} bytes starting with 04 was expected")
    try:
        shared = key.agree(body[1:_KEY_END])
    except ValueError:
        raise EciesError("the sealed message's key is no point of the curve") from None
    encryption_key, mac_key = _derive_keys(shared)
    sealed, tag = body[_KEY_END:-_TAG_BYTES], body[-_TAG_BYTES:]
    if not hmac.compare_digest(_tag(mac_key, sealed, associated), tag):
        raise EciesError("the sealed message is for another key, or was altered")
    return _crypt(encryption_key, sealed[:16], sealed[16:])


def random_key(random_bytes: RandomBytes) -> NodeKey:
    """A key made of `random_bytes`. The odds of needing a second draw are 1 in 2^128."""
    while True:
        try:
            return NodeKey.from_private_key(random_bytes(32))
        except ValueError:
            continue


def _derive_keys(shared: bytes) -> tuple[bytes, bytes]:
    material = hashlib.sha256(b"\0\0\0\1" + shared).digest()
    return material[:16], hashlib.sha256(material[16:]).digest()


def _crypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Counter mode: the same to encrypt and to decrypt."""
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def _tag(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    return hmac.new(key, sealed + associated, hashlib.sha256).digest()
