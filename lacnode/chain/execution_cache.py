"""Executions that are kept from the proposal to the import, so that a block is executed once.

The key is the on-chain hash. It does not cover round and seals: a block that is proposed in another round, or sealed, is the
same block. Few executions are kept, because each holds every trie node and log of its block. This file must not use the
database.
"""

from collections import OrderedDict
from typing import NamedTuple

from lacnode.evm.block_limits import estimated_log_bytes
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction

MAX_EXECUTIONS = 4

MAX_EXECUTION_BYTES = 16 * 2**20
"""The bytes of all kept executions. The last one is kept with any size: without it its block would be executed twice."""

NODE_OVERHEAD_BYTES = 200
"""The approximate memory of a trie node in addition to its content."""


class _CachedExecution(NamedTuple):
    transactions: tuple[Transaction, ...]
    executed: ExecutedBlock
    bytes: int


class ExecutionCache:
    """The last executions of blocks on the head, at most `MAX_EXECUTIONS` with `MAX_EXECUTION_BYTES` together. The last
    one is kept with any size. Do not use the cache from several threads at once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _CachedExecution] = OrderedDict()

    def get(self, hash_: bytes, block: Block) -> ExecutedBlock | None:
        """The execution of `block`, if exactly its transactions were executed under the on-chain hash `hash_` (32
        bytes). None otherwise."""
        kept = self._kept.get(hash_)
        # Compared in full: a faulty proposer could send other transactions under the header of a known block.
        if kept is None or kept.transactions != block.transactions:
            return None
        return kept.executed

    def put(self, hash_: bytes, block: Block, executed: ExecutedBlock) -> None:
        """Keep the execution of `block` under its on-chain hash (32 bytes). The oldest ones are removed beyond the
        bounds."""
        self._kept[hash_] = _CachedExecution(block.transactions, executed, _bytes_of(block, executed))
        self._kept.move_to_end(hash_)
        # Two bounds: many small executions cost entries, and few large ones cost bytes.
        while len(self._kept) > MAX_EXECUTIONS or (len(self._kept) > 1 and self._bytes() > MAX_EXECUTION_BYTES):
            self._kept.popitem(last=False)

    def _bytes(self) -> int:
        return sum(kept.bytes for kept in self._kept.values())

    def clear_after_import(self) -> None:
        """Remove all executions. After an import none of them can be used: they are on the old head."""
        self._kept.clear()


def _bytes_of(block: Block, executed: ExecutedBlock) -> int:
    nodes = sum(NODE_OVERHEAD_BYTES + len(node) for node in executed.nodes.values())
    logs = sum(estimated_log_bytes(len(log.topics), log.data) for receipt in executed.receipts for log in receipt.logs)
    return nodes + logs + sum(len(transaction.raw) for transaction in block.transactions)
