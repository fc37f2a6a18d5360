"""Ids of groups, as Orion and Besu derive them from the members.

Not to be used on a group that a manager has answered: Tessera's ids differ for large groups (see `tessera_group_id`).
"""

from collections.abc import Iterable

from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import encode

LOOKUP_SEED = bytes.fromhex("5375ba871e5c3d0f1d055b5da0ac02ea035bed38")
"""Seed of the id under which the groups of one set of members are found."""


def java_array_hash(key: bytes) -> int:
    """Java's `Arrays.hashCode` of the bytes, signed 32 bits: the order that Orion sorts keys by."""
    value = 1
    for byte in key:
        value = (31 * value + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def sort_keys(members: Iterable[bytes]) -> list[bytes]:
    """Distinct keys in the order of `java_array_hash`; equal hashes stay in the order given."""
    return sorted(dict.fromkeys(members), key=java_array_hash)


def group_id(members: Iterable[bytes], seed: bytes | None = None) -> bytes:
    """Keccak-256 of the RLP list of the ordered keys and, for a group made by name, its seed."""
    return keccak256(encode([*sort_keys(members), *([] if seed is None else [seed])]))


def legacy_lookup_id(members: Iterable[bytes]) -> bytes:
    """What the groups of exactly these members are filed under."""
    return group_id(members, LOOKUP_SEED)


def tessera_group_id(members: Iterable[bytes], seed: bytes | None = None) -> bytes:
    """The id Tessera gives: the same, except that lengths of more than one byte are written little-endian."""
    items = [*sort_keys(members), *([] if seed is None else [seed])]
    payload = b"".join(_tessera_header(item, 0x80) + item for item in items)
    return keccak256(_tessera_header(payload, 0xC0) + payload)


def _tessera_header(data: bytes, base: int) -> bytes:
    if base == 0x80 and len(data) == 1 and data[0] < 0x80:
        return b""
    if len(data) < 56:
        return bytes([base + len(data)])
    width = (len(data).bit_length() + 7) // 8
    return bytes([base + 55 + width]) + len(data).to_bytes(width, "little")
