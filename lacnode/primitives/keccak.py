"""Keccak-256, the hash of Ethereum.

It uses the C implementation directly. `eth-hash` would choose a backend by the environment at run time, and its slow one
needs five times as long. This file must not hash anything but bytes.
"""

import sha3 as _sha3  # safe-pysha3

EMPTY_KECCAK = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""`keccak256(b"")`, the code hash of an account without code."""

EMPTY_TRIE_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""The root of a trie without entries: `keccak256(rlp(b""))`."""

EMPTY_OMMERS_HASH = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
"""The ommers hash of every IBFT 2.0 block: `keccak256(rlp([]))`."""

_keccak_256 = _sha3.keccak_256


def keccak256(data: bytes) -> bytes:
    """The Keccak-256 digest of `data` (32 bytes). It has the padding from before NIST's SHA-3."""
    # Not `hashlib.sha3_256`: the padding differs, and so does every digest.
    digest: bytes = _keccak_256(data).digest()
    return digest
