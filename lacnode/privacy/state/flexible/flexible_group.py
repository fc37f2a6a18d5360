"""A flexible group as its contract describes it. This module must not ask the contract."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlexibleGroup:
    """The id of a group (32 bytes) and the keys of its members, in the contract's order."""

    id: bytes
    members: tuple[bytes, ...]
