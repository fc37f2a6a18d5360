"""Queries on stored blocks, receipts and logs, by number and by hash. Safe from any thread.

Every answer comes from one snapshot. This file must not write.
"""

from collections.abc import Callable, Iterator

from lacnode.chain.chain_store import StoredChain, TransactionLocation
from lacnode.chain.log_filter import BloomTest, LogFilter
from lacnode.chain.receipt_record import LogWithMetadata, ReceiptRecord, logs_with_metadata
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.primitives.block import Block, BlockOutline
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.storage.database import Database


def stored_hash_at(database: Database, number: int) -> bytes | None:
    """The on-chain hash (32 bytes) of block `number` of the chain in `database`. None below 0 and above the head.
    Raises DamagedValueError if the index has lost it."""
    with database.read() as snapshot:
        return StoredChain(snapshot).hash_at(number)


class ChainHistory:
    """The stored blocks of one chain. Hashes are on-chain hashes of 32 bytes. A single block that is asked for by an
    unknown hash, or by a number below 0 or above the head, gives None.

    `protocols` are those of the chain: they give the hash and the extra data of each header. Unless a method says
    otherwise, it raises DamagedValueError if a stored value is damaged or missing. Every method raises StorageError if
    the database cannot be read.
    """

    def __init__(self, database: Database, genesis: Block, protocols: ProtocolSchedule) -> None:
        self._database = database
        self.protocols = protocols
        self.genesis = genesis

    @property
    def database(self) -> Database:
        """The database of the chain. Other packages store their tables in it, too."""
        return self._database

    def hash_at(self, number: int) -> bytes | None:
        """The on-chain hash (32 bytes) of block `number`. None below 0 and above the head."""
        return stored_hash_at(self._database, number)

    def header_at(self, number: int) -> BlockHeader | None:
        """The header of block `number`. None below 0 and above the head."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).header_at(number)

    def header_of(self, hash_: bytes) -> BlockHeader | None:
        """The header of the block with this on-chain hash (32 bytes). None if it is unknown."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).header_of(hash_)

    def block_at(self, number: int) -> Block | None:
        """Block `number`, with its transactions. None below 0 and above the head."""
        with self._database.read() as snapshot:
            chain = StoredChain(snapshot)
            # One snapshot for hash and block: the index and the block it names always fit.
            hash_ = chain.hash_at(number)
            return None if hash_ is None else chain.require_block(hash_)

    def block_of(self, hash_: bytes) -> Block | None:
        """The block with this on-chain hash (32 bytes), with its transactions. None if it is unknown."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).block_of(hash_)

    def outline_of(self, hash_: bytes) -> BlockOutline | None:
        """Return the outline of the block with this on-chain hash (32 bytes): its header, the hashes of its
        transactions, and its size. The transactions are not decoded. None if the hash is unknown, or if the body is
        missing in the database."""
        with self._database.read() as snapshot:
            stored = StoredChain(snapshot)
            header, body = stored.header_of(hash_), stored.body_bytes_of(hash_)
            return None if header is None or body is None else BlockOutline.from_stored_body(header, body)

    def body_and_receipts_length_of(self, hash_: bytes) -> int:
        """Return the number of bytes of the stored body and the stored receipts of the block with this on-chain hash
        (32 bytes) together. A missing one counts 0 bytes, so an unknown hash gives 0."""
        with self._database.read() as snapshot:
            stored = StoredChain(snapshot)
            return len(stored.body_bytes_of(hash_) or b"") + stored.receipt_records_length_of(hash_)

    def has_block(self, hash_: bytes) -> bool:
        """Whether the block with this on-chain hash (32 bytes) is a part of the chain."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).has(hash_)

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...] | None:
        """One record for each transaction of the block with this on-chain hash (32 bytes), in order: sender, receipt,
        used gas, created contract, revert reason. None if the hash is unknown."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).receipt_records_of(hash_)

    def encoded_receipts_of(self, hash_: bytes) -> tuple[bytes, ...] | None:
        """The receipts of the block with this on-chain hash (32 bytes), one for each transaction, in order, each as
        `Receipt.encode` made it. None if the hash is unknown."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).encoded_receipts_of(hash_)

    def transaction_location(self, transaction_hash: bytes) -> TransactionLocation | None:
        """The block and the index of the transaction with this hash (32 bytes). None if no block of the chain has
        it."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).location_of(transaction_hash)

    def numbers_with_votes(self, first_number: int, last_number: int) -> tuple[int, ...]:
        """The numbers of the blocks from `first_number` (at least 0) to `last_number`, both included, whose headers
        have a vote, ascending."""
        with self._database.read() as snapshot:
            return tuple(StoredChain(snapshot).numbers_with_votes(first_number, last_number))

    def epoch_validators_not_in_header(self, number: int) -> tuple[bytes, ...] | None:
        """The stored validators (20-byte addresses, ascending) of the epoch block `number` (at least 0), if its header
        lists other ones. None otherwise."""
        with self._database.read() as snapshot:
            return StoredChain(snapshot).epoch_validators_not_in_header(number)

    def total_difficulty_of(self, header: BlockHeader) -> int:
        """The sum of the difficulties up to `header`. Every block after the genesis has difficulty 1."""
        return self.genesis.header.difficulty + header.number

    def logs(
        self,
        from_number: int,
        to_number: int,
        wanted: LogFilter,
        check: Callable[[], None] = lambda: None,
        check_block: Callable[[bytes], None] = lambda hash_: None,
    ) -> Iterator[LogWithMetadata]:
        """Yield the matching logs of the blocks from `from_number` to `to_number`, both included, in order. The blocks
        above the head have none.

        `check` is called for every block with logs, and `check_block` with the hash (32 bytes) of each block that is
        decoded. They may raise an error to end the search, which reaches the caller. The iterator keeps its snapshot
        until it is exhausted or closed.
        """
        test = wanted.to_bloom_test()
        with self._database.read() as snapshot:
            chain = StoredChain(snapshot)
            for number, bloom in chain.blooms_of_blocks_with_logs(max(0, from_number), to_number):
                # For every block, and not only for matching ones: a search without matches must end in time, too.
                check()
                if test.passes(bloom):
                    yield from _logs_of(chain, chain.hash_at(number) or b"", wanted, test, check_block)

    def logs_of_block(
        self, hash_: bytes, wanted: LogFilter, check_block: Callable[[bytes], None] = lambda hash_: None
    ) -> tuple[LogWithMetadata, ...]:
        """The logs of the block with this on-chain hash (32 bytes) that `wanted` matches by address and topics, in
        order. Empty for an unknown hash. `check_block` is called with the hash before the block is decoded. It may
        raise an error, which reaches the caller. Raises DamagedValueError if a part of the block is damaged or
        missing."""
        with self._database.read() as snapshot:
            return tuple(_logs_of(StoredChain(snapshot), hash_, wanted, wanted.to_bloom_test(), check_block))


def _logs_of(
    chain: StoredChain, hash_: bytes, wanted: LogFilter, test: BloomTest, check_block: Callable[[bytes], None]
) -> Iterator[LogWithMetadata]:
    header = chain.header_of(hash_)
    # The bloom of the header first: most blocks have no matching log, and their receipts are not decoded then.
    if header is None or header.logs_bloom == EMPTY_BLOOM or not test.passes(header.logs_bloom):
        return
    check_block(hash_)
    body, receipt_records = chain.body_of(hash_), chain.receipt_records_of(hash_)
    if body is None or receipt_records is None:
        return
    for found in logs_with_metadata(header.number, hash_, header.timestamp, body.transactions, receipt_records):
        if wanted.matches(found.log):
            yield found
