"""What the network needs to know of the chain: enough to introduce itself and to answer requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lacnode.chainspec.forks import ForkId
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """What this node says of itself in Status. `accepts` judges a peer's fork id."""

    network_id: int
    genesis_hash: bytes
    genesis_difficulty: int
    head_hash: bytes
    head_number: int
    total_difficulty: int
    fork_id: ForkId
    accepts: Callable[[ForkId], bool]


class ChainReader(Protocol):
    """Blocks by number and hash, None where there is none. Called from worker threads."""

    def hash_at(self, number: int) -> bytes | None: ...
    def header_at(self, number: int) -> BlockHeader | None: ...
    def header_of(self, hash_: bytes) -> BlockHeader | None: ...
    def block_of(self, hash_: bytes) -> Block | None: ...
    def receipts_of(self, hash_: bytes) -> Sequence[Receipt] | None: ...


class PoolReader(Protocol):
    """Pooled transactions by hash."""

    def transaction(self, hash_: bytes) -> Transaction | None: ...


class NoTransactions:
    """The pool of a node that hands no transactions on, as its peers see it."""

    def transaction(self, hash_: bytes) -> Transaction | None:
        """None, whatever is asked for."""
        return None
