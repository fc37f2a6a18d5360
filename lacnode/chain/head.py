"""The head of a chain. Apart from `blockchain`, so that a process that only reads need not load what builds blocks."""

from dataclasses import dataclass

from lacnode.primitives.header import BlockHeader


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of the chain at one moment."""

    header: BlockHeader
    hash: bytes
    total_difficulty: int
