"""The tables of the chain: which value is under which key.

Reads use one snapshot, and writes use one batch. So a block is stored with all its parts, or not at all. A missing part of a
stored block is damage and raises DamagedValueError. This file must not check a rule of the chain.
| Table | Key | Value |
|---|---|---|
| headers | block hash | header RLP, with the seals this node saw first |
| bodies | block hash | body RLP |
| outcomes | block hash | receipts with their metadata (`receipt_record`) |
| numbers | number (8) | block hash |
| transactions | transaction hash | number (8), index (4) |
| blooms | number (8) | logs bloom, if it is not empty |
| votes | number (8) | block hash, if the header has a vote |
| epochs | number (8) | validators of an epoch block (20 bytes each), if its header lists other ones |
| state | node or code hash | trie node or code |
| meta | `head`, `genesis` | block hash |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lacnode.chain.receipt_record import ReceiptRecord, decode_receipt_records, encode_receipt_records, encoded_receipts
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.storage.database import Batch, Database, Snapshot
from lacnode.storage.storage_errors import DamagedValueError

HEADERS, BODIES, OUTCOMES, NUMBERS = "headers", "bodies", "outcomes", "numbers"
TRANSACTIONS, BLOOMS, VOTES, STATE, META = "transactions", "blooms", "votes", "state", "meta"
EPOCHS = "epochs"
HEAD, GENESIS = b"head", b"genesis"

MAX_CACHED_NODES = 8_192
"""The trie nodes in each of the two generations of the cache."""

CACHED_NODE_BYTES = 1_024
"""The largest cached value. A branch has at most 532 bytes, so code is not cached."""

IS_MISSING = "is missing"

T = TypeVar("T")

_EMPTY_BODY = BlockBody()
_EMPTY_BODY_ENCODED = _EMPTY_BODY.encode()


@dataclass(frozen=True, slots=True)
class TransactionLocation:
    """The block of a transaction (on-chain hash of 32 bytes, and number), and its index in the block, from 0."""

    block_hash: bytes
    number: int
    index: int


class StoredChain:
    """The chain in one snapshot. Hashes are on-chain hashes of 32 bytes. Unknown numbers and hashes give None.

    Unless a method says otherwise, it raises DamagedValueError if a value that must exist is missing or damaged, and
    StorageError if the database cannot be read.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def head_hash(self) -> bytes | None:
        """The on-chain hash (32 bytes) of the last block. None in an empty database."""
        return self._snapshot.get(META, HEAD)

    def head_number(self) -> int:
        """The number of the last block. -1 in an empty database."""
        head = self.header_of(self.head_hash() or b"")
        return -1 if head is None else head.number

    def genesis_hash(self) -> bytes | None:
        """The on-chain hash (32 bytes) of block 0. None in an empty database."""
        return self._snapshot.get(META, GENESIS)

    def hash_at(self, number: int) -> bytes | None:
        """The on-chain hash (32 bytes) of the block with this number. None below 0 and above the head. Raises
        DamagedValueError if the index has lost it."""
        if not 0 <= number < 1 << 64:
            return None
        hash_ = self._snapshot.get(NUMBERS, _number_key(number))
        if hash_ is None and number <= self.head_number():
            # An index without a number up to the head has lost it. None would look like a block of the future.
            raise DamagedValueError(NUMBERS, _number_key(number), IS_MISSING)
        return hash_

    def header_at(self, number: int) -> BlockHeader | None:
        """The header of block `number`. None below 0 and above the head."""
        hash_ = self.hash_at(number)
        return None if hash_ is None else self._expected(self.header_of(hash_), HEADERS, hash_)

    def has(self, hash_: bytes) -> bool:
        """Whether the header of the block with this hash (32 bytes) is stored. False for an empty hash."""
        return self._snapshot.get(HEADERS, hash_) is not None if hash_ else False

    def header_of(self, hash_: bytes) -> BlockHeader | None:
        """The header of the block with this hash (32 bytes). None if it is unknown."""
        data = self._snapshot.get(HEADERS, hash_) if hash_ else None
        return None if data is None else BlockHeader.decode(data)

    def body_of(self, hash_: bytes) -> BlockBody | None:
        """The decoded body of the block with this on-chain hash (32 bytes). None if the block is unknown."""
        data = self._snapshot.get(BODIES, hash_) if hash_ else None
        # None is for an unknown block only. A known block without a body is damaged.
        if data is None:
            self._check_absent(BODIES, hash_)
            return None
        return _EMPTY_BODY if data == _EMPTY_BODY_ENCODED else BlockBody.decode(data)

    def body_bytes_of(self, hash_: bytes) -> bytes | None:
        """The body of the block with this hash (32 bytes) as it is stored, in RLP. None if there is none: a missing
        body of a known block is no error here."""
        return self._snapshot.get(BODIES, hash_) if hash_ else None

    def receipt_records_length_of(self, hash_: bytes) -> int:
        """The number of bytes of the stored receipt records of the block with this hash (32 bytes). 0 if there are
        none: missing records of a known block are no error here."""
        return len(self._snapshot.get(OUTCOMES, hash_) or b"") if hash_ else 0

    def block_of(self, hash_: bytes) -> Block | None:
        """The block with this hash (32 bytes): its header and its body. None if it is unknown."""
        header, body = self.header_of(hash_), self.body_of(hash_)
        return None if header is None or body is None else Block(header, body)

    def require_block(self, hash_: bytes) -> Block:
        """The block with this hash (32 bytes), which an index of this chain names. Raises DamagedValueError if it is
        missing."""
        return self._expected(self.block_of(hash_), HEADERS, hash_)

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...] | None:
        """One record for each transaction of the block with this hash (32 bytes), in order. None if the block is
        unknown."""
        data = self._outcomes_of(hash_)
        return None if data is None else decode_receipt_records(data)

    def encoded_receipts_of(self, hash_: bytes) -> tuple[bytes, ...] | None:
        """The receipts of the block with this hash (32 bytes), in order, each as `Receipt.encode` made it. Their logs are
        not decoded. None if the block is unknown."""
        data = self._outcomes_of(hash_)
        return None if data is None else encoded_receipts(data)

    def _outcomes_of(self, hash_: bytes) -> bytes | None:
        data = self._snapshot.get(OUTCOMES, hash_) if hash_ else None
        if data is None:
            self._check_absent(OUTCOMES, hash_)
        return data

    def _check_absent(self, table: str, hash_: bytes) -> None:
        """Raises DamagedValueError if the block exists. A part may be missing only together with its block."""
        if self.has(hash_):
            raise DamagedValueError(table, hash_, IS_MISSING)

    @staticmethod
    def _expected(found: T | None, table: str, key: bytes) -> T:
        if found is None:
            raise DamagedValueError(table, key, IS_MISSING)
        return found

    def location_of(self, transaction_hash: bytes) -> TransactionLocation | None:
        """The block and the index of the transaction with this hash (32 bytes). None if no block of the chain has
        it."""
        data = self._snapshot.get(TRANSACTIONS, transaction_hash) if transaction_hash else None
        if data is None:
            return None
        number = int.from_bytes(data[:8])
        return TransactionLocation(self.hash_at(number) or b"", number, int.from_bytes(data[8:]))

    def blooms_of_blocks_with_logs(self, first_number: int, last_number: int) -> Iterator[tuple[int, bytes]]:
        """Yield the numbers and the blooms (256 bytes) of the blocks with logs, from `first_number` (at least 0) to
        `last_number`, both included, ascending. Blocks without logs are left out."""
        for key, bloom in self._snapshot.items(BLOOMS, _number_key(first_number)):
            number = int.from_bytes(key)
            if number > last_number:
                return
            yield number, bloom

    def numbers_with_votes(self, first_number: int, last_number: int) -> Iterator[int]:
        """Yield the numbers of the blocks whose headers have a vote, from `first_number` (at least 0) to `last_number`,
        both included, ascending."""
        for key, _ in self._snapshot.items(VOTES, _number_key(first_number)):
            number = int.from_bytes(key)
            if number > last_number:
                return
            yield number

    def epoch_validators_not_in_header(self, number: int) -> tuple[bytes, ...] | None:
        """The stored validators (20-byte addresses, ascending) of the epoch block `number`, if its header lists other
        ones. None otherwise."""
        data = self._snapshot.get(EPOCHS, _number_key(number))
        return None if data is None else tuple(data[place : place + 20] for place in range(0, len(data), 20))


def write_epoch_validators_not_in_header(batch: Batch, number: int, validators: tuple[bytes, ...]) -> None:
    """Put the validators (20-byte addresses, ascending) of epoch block `number`, whose header lists other ones, into
    `batch`."""
    batch.put(EPOCHS, _number_key(number), b"".join(validators))


def write_head_block(
    batch: Batch, block: Block, hash_: bytes, receipt_records: tuple[ReceiptRecord, ...], *, has_vote: bool
) -> None:
    """Put `block`, its receipts, its bloom and its entries in the indexes into `batch`, and make it the head. Its state
    and the validators of an epoch have functions of their own. `hash_` is its on-chain hash (32 bytes). Nothing is
    checked, not even the parent.

    `receipt_records` has one entry for each transaction, in order. `has_vote`: its extra data has a vote.
    """
    number = _number_key(block.number)
    batch.put(HEADERS, hash_, block.header.encode())
    batch.put(BODIES, hash_, block.body.encode())
    batch.put(OUTCOMES, hash_, encode_receipt_records(receipt_records))
    batch.put(NUMBERS, number, hash_)
    for index, transaction in enumerate(block.transactions):
        batch.put(TRANSACTIONS, transaction.hash, number + index.to_bytes(4))
    # Blooms and votes have their own tables without the empty ones, so a search reads few keys.
    # Only blocks with logs are in this table: a search reads it from end to end.
    if block.header.logs_bloom != EMPTY_BLOOM:
        batch.put(BLOOMS, number, block.header.logs_bloom)
    if has_vote:
        batch.put(VOTES, number, hash_)
    # In the same batch: a head without its block, or a block without its head, cannot exist.
    batch.put(META, HEAD, hash_)


def write_genesis_hash(batch: Batch, hash_: bytes) -> None:
    """Put the on-chain hash (32 bytes) of the genesis, which says which network this is, into `batch`."""
    batch.put(META, GENESIS, hash_)


def write_state(batch: Batch, nodes: Mapping[bytes, bytes]) -> None:
    """Put trie nodes and code into `batch`, under their Keccak hashes (32 bytes), which are not checked."""
    for key, value in nodes.items():
        batch.put(STATE, key, value)


class MissingStateError(DamagedValueError, MissingNodeError):
    """A trie node or code of a stored state is missing. States are never pruned, so this is damage.

    A query may treat the state as unavailable. No block may be built or checked without it.
    """

    def __init__(self, hash_: bytes) -> None:
        DamagedValueError.__init__(self, STATE, hash_, IS_MISSING)

    __str__ = Exception.__str__


class DatabaseNodeStore:
    """The execution engine's view of the database: trie nodes and code by hash, as of the last commit.

    Recent values are cached in two generations: when the young one is full, it becomes the old one. The value of a hash
    never changes, so it is safe from several threads if `database` is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes:
        """The trie node or code with this Keccak hash (32 bytes). Raises MissingStateError if it is absent, because
        stored states refer to each hash. Raises DamagedValueError if it is altered, and StorageError."""
        value = self._young.get(key)
        if value is not None:
            return value
        value = self._old.get(key)
        if value is None:
            with self._database.read() as snapshot:
                value = snapshot.get(STATE, key)
        if value is None:
            # Never None: py-evm would take it for an empty account, and compute a wrong state root.
            raise MissingStateError(key)
        if len(value) <= CACHED_NODE_BYTES:
            self._cache(key, value)
        return value

    def _cache(self, key: bytes, value: bytes) -> None:
        if len(self._young) >= MAX_CACHED_NODES:
            self._old, self._young = self._young, {}
        self._young[key] = value


def _number_key(number: int) -> bytes:
    return number.to_bytes(8)
