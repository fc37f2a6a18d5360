"""Ids of privacy groups, computed from the members as Orion and Besu do.

Do not compute the id of a group that a manager has answered: Tessera's ids of large groups differ (see `tessera_group_id`).
"""

from collections.abc import Iterable
from functools import lru_cache

from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import encode

LOOKUP_SEED = bytes.fromhex("5375ba871e5c3d0f1d055b5da0ac02ea035bed38")
"""The seed of the id that finds all groups of one set of members."""


MAX_KEY_HASHES = 4096
"""The largest number of keys whose hash is kept. Strangers may send any number of keys."""

MAX_KEY_BYTES = 91
"""The largest size of a key in a private transaction, and of a key whose hash is kept."""


def java_array_hash(key: bytes) -> int:
    """Return Java's `Arrays.hashCode` of the bytes, a signed number of 32 bits. Orion sorts keys by it."""
    # A hash is kept with its key. Thousands of keys of megabytes would fill the memory.
    return _kept_hash(key) if len(key) <= MAX_KEY_BYTES else _compute_hash(key)


def _compute_hash(key: bytes) -> int:
    # Java's bytes are signed, and its integers overflow at 32 bits. Another result would sort the keys in another order
    # and give every group another id.
    value = 1
    for byte in key:
        value = (31 * value + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


# An id is computed several times for each payload, from the same keys. The loop above took most of the time of an id.
_kept_hash = lru_cache(MAX_KEY_HASHES)(_compute_hash)


def sort_keys_by_java_hash(members: Iterable[bytes]) -> list[bytes]:
    """Return the distinct keys of `members` (public keys of 32 bytes), ascending by `java_array_hash`. Keys with equal
    hashes keep the order of `members`."""
    # `sorted` is stable, as Java's sort is. The order of equal hashes is a part of the id.
    return sorted(dict.fromkeys(members), key=java_array_hash)


def group_id(members: Iterable[bytes], seed: bytes | None = None) -> bytes:
    """Return the id of a group (32 bytes): Keccak-256 of the RLP list of the keys, as `sort_keys_by_java_hash` sorts
    them, and of the seed after them. `seed` may have any length. None adds nothing to the list.

    `members` are public keys. Their order and repetitions do not count. A LEGACY group has no seed.
    """
    return keccak256(encode([*sort_keys_by_java_hash(members), *([] if seed is None else [seed])]))


def members_lookup_id(members: Iterable[bytes]) -> bytes:
    """Return the key (32 bytes) under which groups of exactly these members are searched, of any type. It is no group's
    own id. The order of `members` and repetitions do not count."""
    return group_id(members, LOOKUP_SEED)


def tessera_group_id(members: Iterable[bytes], seed: bytes | None = None) -> bytes:
    """Return Tessera's id of the group with the public keys `members`, in any order, and the `seed` (32 bytes). A
    LEGACY group has no seed.

    It differs from `group_id` if a length takes more than one byte: Tessera writes it little-endian.
    """
    items = [*sort_keys_by_java_hash(members), *([] if seed is None else [seed])]
    payload = b"".join(_tessera_header(item, 0x80) + item for item in items)
    return keccak256(_tessera_header(payload, 0xC0) + payload)


def _tessera_header(data: bytes, base: int) -> bytes:
    # This is RLP's rule for a length, with the one difference in the last line. Shorter lists have the same id.
    if base == 0x80 and len(data) == 1 and data[0] < 0x80:
        return b""
    if len(data) < 56:
        return bytes([base + len(data)])
    width = (len(data).bit_length() + 7) // 8
    return bytes([base + 55 + width]) + len(data).to_bytes(width, "little")
