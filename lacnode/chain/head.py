"""The head of a chain. It is not in `blockchain`, so that a process that only reads need not load the code for building."""

from dataclasses import dataclass

from lacnode.primitives.header import BlockHeader


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of the chain at one moment. `hash` is its on-chain hash (32 bytes). `total_difficulty` is the sum
    of the difficulties up to it."""

    header: BlockHeader
    hash: bytes
    total_difficulty: int
