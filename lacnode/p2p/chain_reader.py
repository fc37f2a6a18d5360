"""The parts of the chain that the network reads: its Status, and the data with which it answers requests.

Must not change the chain. The network sees the chain and the pool only through these protocols.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lacnode.chainspec.forks import ForkId
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """The contents of this node's Status message (devp2p caps/eth.md). Hashes have 32 bytes. `accepts_fork_id` returns
    True if a peer's fork id is compatible with this node's forks (EIP-2124)."""

    network_id: int
    genesis_hash: bytes
    genesis_difficulty: int
    head_hash: bytes
    head_number: int
    total_difficulty: int
    fork_id: ForkId
    accepts_fork_id: Callable[[ForkId], bool]


class ChainReader(Protocol):
    """Reads blocks by number and by 32-byte hash. Each method returns None if this node has no such block. Worker threads
    call it, several at a time."""

    def hash_at(self, number: int) -> bytes | None:
        """The on-chain hash (32 bytes) of block `number`. None above the head."""

    def header_at(self, number: int) -> BlockHeader | None:
        """The header of block `number`. None above the head."""

    def header_of(self, hash_: bytes) -> BlockHeader | None:
        """The header of the block with this hash (32 bytes). None for an unknown hash."""

    def block_of(self, hash_: bytes) -> Block | None:
        """The block with this hash (32 bytes). None for an unknown hash."""

    def encoded_receipts_of(self, hash_: bytes) -> Sequence[bytes] | None:
        """The receipts of the block with this hash (32 bytes), in the order of its transactions, each as
        `Receipt.encode` makes it. None for an unknown hash.
        """


class PoolReader(Protocol):
    """Reads pooled transactions by 32-byte hash. Worker threads call it."""

    def transaction(self, hash_: bytes) -> Transaction | None:
        """The pooled transaction with this hash (32 bytes). None if the pool does not have it."""


class NoTransactions:
    """A `PoolReader` without transactions. Peers see it if this node does not relay transactions."""

    def transaction(self, hash_: bytes) -> Transaction | None:
        """Return None for every hash."""
        return None
