"""Executions kept between proposal and import, so that a block is executed once.

Under the on-chain hash, which leaves out round and seals: a block proposed again in another round, or sealed, is the
same block. Few are kept: they hold every trie node and every log that the block wrote. Must not reach the database.
"""

from collections import OrderedDict
from typing import NamedTuple

from lacnode.evm.block_limits import log_bytes
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction

MAX_EXECUTIONS = 4

MAX_EXECUTION_BYTES = 16 * 2**20
"""Bytes of all that is kept. The last execution is kept whatever its size: without it a block would be executed twice."""

NODE_OVERHEAD_BYTES = 200
"""About how much memory a trie node takes beside its content."""


class _CachedExecution(NamedTuple):
    transactions: tuple[Transaction, ...]
    executed: ExecutedBlock
    bytes: int


class ExecutionCache:
    """The last few executions. Not for several threads at once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _CachedExecution] = OrderedDict()

    def get(self, hash_: bytes, block: Block) -> ExecutedBlock | None:
        """The execution of `block`, if exactly its transactions were executed under `hash_`."""
        kept = self._kept.get(hash_)
        if kept is None or kept.transactions != block.transactions:
            return None
        return kept.executed

    def put(self, hash_: bytes, block: Block, executed: ExecutedBlock) -> None:
        self._kept[hash_] = _CachedExecution(block.transactions, executed, _bytes_of(block, executed))
        self._kept.move_to_end(hash_)
        while len(self._kept) > MAX_EXECUTIONS or (len(self._kept) > 1 and self._bytes() > MAX_EXECUTION_BYTES):
            self._kept.popitem(last=False)

    def _bytes(self) -> int:
        return sum(kept.bytes for kept in self._kept.values())

    def clear(self) -> None:
        """A block was imported: whatever was executed on the old head is of no use any more."""
        self._kept.clear()


def _bytes_of(block: Block, executed: ExecutedBlock) -> int:
    nodes = sum(NODE_OVERHEAD_BYTES + len(node) for node in executed.nodes.values())
    logs = sum(log_bytes(len(log.topics), log.data) for receipt in executed.receipts for log in receipt.logs)
    return nodes + logs + sum(len(transaction.raw) for transaction in block.transactions)
