"""Importing verified blocks in slices, so that consensus is not kept from the thread that writes state.

Must not verify blocks, and must not wait for a peer: the blocks are here with their bodies.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.evm.budget import ExecutionBudget, ExecutionInterruptedError
from lacnode.primitives.block import Block
from lacnode.workers.worker import Worker

MIN_SYNC_BLOCKS = 3
"""Blocks behind from which the node asks at once. Consensus pauses for an import of more blocks than this."""

SLICE_SECONDS = 0.2
"""How long verified blocks are imported before the thread that writes state is free for consensus again."""


class SlicedImport:
    """Imports verified blocks into `chain`, within `budget`.

    `on_importing` is called with True before the import of more than `MIN_SYNC_BLOCKS` blocks, and with False after it.
    Consensus does not need the heads in between: a quorum has decided the blocks above them.
    """

    def __init__(self, chain: Blockchain, budget: ExecutionBudget, on_importing: Callable[[bool], None]) -> None:
        self._chain = chain
        self._budget = budget
        self._on_importing = on_importing

    async def run(self, blocks: Sequence[Block], worker: Worker) -> None:
        """Import verified `blocks` in slices of `SLICE_SECONDS`, in `worker`. Return when all are imported. Blocks up
        to the head are passed over. Between two slices, consensus may use the thread first. Nothing here waits for a
        peer.

        Raises BlockRefusedError if the import refuses a block, and StorageError if the disk is full or fails. After
        `budget` (of the constructor) was cancelled this does not return: it waits to be cancelled.
        """
        many = len(blocks) - self._skip_imported(blocks, 0) > MIN_SYNC_BLOCKS
        if many:
            self._on_importing(True)
        try:
            done = 0
            while done < len(blocks):
                done = await worker.run(partial(self._import_slice, blocks, done))
        except ExecutionInterruptedError:
            await trio.sleep_forever()  # The node stops, so this task is cancelled already.
        finally:
            if many:
                self._on_importing(False)

    def _import_slice(self, blocks: Sequence[Block], start: int) -> int:
        """Import from index `start` on for `SLICE_SECONDS`. Return the index of the first block that is left."""
        ends = time.monotonic() + SLICE_SECONDS
        # Without a new block nothing may begin: `bulk_import` ends the building and the checking of the next block. A peer
        # that delivers blocks when consensus has them already would cost the validator its round.
        start = self._skip_imported(blocks, start)
        if start == len(blocks):
            return start
        with self._chain.bulk_import():
            for index in range(start, len(blocks)):
                # Consensus may have imported this block in the meantime.
                if blocks[index].number > self._chain.head.header.number:
                    self._chain.import_block(blocks[index], self._budget)
                if time.monotonic() >= ends:
                    return index + 1
        return len(blocks)

    def _skip_imported(self, blocks: Sequence[Block], start: int) -> int:
        """Return the index of the first block from `start` on that is above the head, or the number of blocks."""
        head = self._chain.head.header.number
        return next((index for index in range(start, len(blocks)) if blocks[index].number > head), len(blocks))
