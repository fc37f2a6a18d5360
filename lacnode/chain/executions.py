"""Executions kept between proposal and import, so that a block is executed once.

Under the on-chain hash, which leaves out round and seals: a block proposed again in another round, or sealed, is the
same block. Few are kept: they hold every trie node that the block wrote. Must not reach the database.
"""

from collections import OrderedDict

from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction

KEPT = 4


class KeptExecutions:
    """The last few executions. Not for several threads at once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[tuple[Transaction, ...], ExecutedBlock]] = OrderedDict()

    def get(self, hash_: bytes, block: Block) -> ExecutedBlock | None:
        """The execution of `block`, if exactly its transactions were executed under `hash_`."""
        kept = self._kept.get(hash_)
        if kept is None or kept[0] != block.transactions:
            return None
        return kept[1]

    def keep(self, hash_: bytes, block: Block, executed: ExecutedBlock) -> None:
        self._kept[hash_] = (block.transactions, executed)
        self._kept.move_to_end(hash_)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """A block was imported: whatever was executed on the old head is of no use any more."""
        self._kept.clear()
