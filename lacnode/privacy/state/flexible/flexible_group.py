"""A flexible group as its contract describes it. This module must not ask the contract."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlexibleGroup:
    """The id of a group (32 bytes) and the public keys of its members, in the contract's order. The contract may name
    keys of any length, or none."""

    id: bytes
    members: tuple[bytes, ...]
