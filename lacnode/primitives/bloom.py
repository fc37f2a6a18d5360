"""The 2048-bit log bloom filter of headers and receipts (yellow paper, section 4.3.1)."""

from collections.abc import Iterable

from lacnode.primitives.keccak import keccak256

BLOOM_BYTES = 256
"""Bytes of a bloom filter."""

EMPTY_BLOOM = bytes(BLOOM_BYTES)


def bloom_bits(item: bytes) -> int:
    """The three bits of `item` (an address of 20 bytes or a topic of 32 bytes, not hashed) as an integer of 2048 bits.
    Two or three of the bits may be the same one."""
    digest = keccak256(item)
    bits = 0
    # Three pairs of bytes of the digest, 11 bits of each pair.
    for index in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[index : index + 2]) & 0x7FF)
    return bits


def bloom_of(items: Iterable[bytes]) -> bytes:
    """The filter (256 bytes) of `items`: addresses and topics, not hashed. All bits are 0 without items."""
    bits = 0
    for item in items:
        bits |= bloom_bits(item)
    return bits.to_bytes(BLOOM_BYTES)


def union_of_blooms(blooms: Iterable[bytes]) -> bytes:
    """The filter (256 bytes) with all the items that are in any of `blooms` (256 bytes each). All bits are 0 without
    blooms."""
    bits = 0
    for bloom in blooms:
        bits |= int.from_bytes(bloom)
    return bits.to_bytes(BLOOM_BYTES)


def bloom_may_contain(bloom: bytes, item: bytes) -> bool:
    """Whether `item` (an address or a topic, not hashed) may be in `bloom` (256 bytes). False means that it certainly
    is not."""
    # All three bits must be set. Each of them may have been set by another item.
    bits = bloom_bits(item)
    return int.from_bytes(bloom) & bits == bits
