"""The logs of the private transactions of a group, as the database has them.

This module must not wait for private execution. It must not know who asks.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from lacnode.chain.log_filter import LogFilter
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.primitives.block import Block
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.storage.database import Database


class PublicBlocks(Protocol):
    """The public chain, as far as logs need it: the blocks that have the markers."""

    def hash_at(self, number: int) -> bytes | None:
        """The on-chain hash (32 bytes) of block `number`. None above the head."""

    def block_of(self, hash_: bytes) -> Block | None:
        """The block with this on-chain hash (32 bytes). None for an unknown hash."""


class PrivateLogs:
    """The logs of private transactions in `database`. Their markers are in the blocks of `chain`. A call does not wait
    for private execution.

    `check_block` is called with the hash (32 bytes) of each block before it is decoded. It may raise an error: the
    search then ends, and the error reaches the caller.
    """

    def __init__(
        self, chain: PublicBlocks, database: Database, check_block: Callable[[bytes], None] = lambda hash_: None
    ) -> None:
        self._chain = chain
        self._database = database
        self._check_block = check_block

    def in_range(
        self, group_id: bytes, first_number: int, last_number: int, wanted: LogFilter
    ) -> Iterator[LogWithMetadata]:
        """Yield the logs of the group `group_id` (32 bytes) that `wanted` matches, from block `first_number` to block
        `last_number`, both included, in the order of the chain. Blocks that are not executed privately yet have none.
        """
        with self._database.read() as snapshot:
            # Only blocks that changed the group can have logs. The range may have millions of others.
            changed = PrivateStoreReader(snapshot).changed_blocks_down_to(group_id, first_number)
            numbers = [number for number in changed if number <= last_number]
        for number in reversed(numbers):
            yield from self.of_block(group_id, self._chain.hash_at(number) or b"", wanted)

    def of_block(self, group_id: bytes, block_hash: bytes, wanted: LogFilter) -> Iterator[LogWithMetadata]:
        """Yield the logs of the group `group_id` that `wanted` matches in the block with the hash `block_hash` (32
        bytes each), in order. There are none for an unknown hash. The index of a log counts all logs of the group in
        the block."""
        # For every block, and not only for one with a match: a search without matches must end in time, too.
        self._check_block(block_hash)
        block = self._chain.block_of(block_hash)
        if block is None:
            return
        # The receipts are stored by the hash of the marker. Their indexes in the block are found here.
        index_of = {transaction.hash: index for index, transaction in enumerate(block.transactions)}
        with self._database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            receipts = [
                (marker_hash, stored.receipt(block_hash, marker_hash, group_id))
                for marker_hash, _ in stored.roots_in_block(block_hash, group_id)
            ]
        position = 0
        for marker_hash, receipt in receipts:
            for log in () if receipt is None else receipt.logs:
                if wanted.matches(log):
                    time, index = block.header.timestamp, index_of[marker_hash]
                    yield LogWithMetadata(log, position, block_hash, block.number, time, marker_hash, index)
                # The index of a log counts all logs of the group in the block, also those that do not match.
                position += 1
