"""The head of a chain. It is not in `blockchain`, so that a process that only reads need not load the code for building."""

from dataclasses import dataclass

from lacnode.primitives.header import BlockHeader


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of the chain at one moment. `hash` has 32 bytes."""

    header: BlockHeader
    hash: bytes
    total_difficulty: int
