"""Checking a whole database: every value by its checksum, every block and every trie node by its hash.

Headers must hash to their keys and follow each other, bodies and receipts must give the roots in their headers, indexes must
name what is there, and the head's state must be whole. Findings are given one by one; the check goes on after each. Must
not change anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lacnode.chain.chain_store import BODIES, HEADERS, NUMBERS, OUTCOMES, STATE, TRANSACTIONS, StoredChain
from lacnode.chain.state_check import find_missing_nodes
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.ordered_root import ordered_root
from lacnode.primitives.rlp import RlpError
from lacnode.storage.environment import LmdbSnapshot
from lacnode.storage.storage_errors import DamagedValueError, StorageCorruptError

ProgressListener = Callable[[str, int], None]
"""Is told what is being checked and how many of it have been."""


@dataclass(frozen=True, slots=True)
class DamageFinding:
    """One finding: `place` names table and key, or the block; `text` says what is wrong."""

    place: str
    text: str


def check_values(pages: LmdbSnapshot, progress: ProgressListener) -> Iterator[DamageFinding]:
    """Every value of every table by its checksum, trie nodes and code by their hash as well."""
    for table in pages.table_names:
        try:
            for count, (key, value) in enumerate(pages.checked_items(table), 1):
                if value is None:
                    yield DamageFinding(f"table {table}, key 0x{key.hex()}", "the value was altered")
                elif table == STATE and keccak256(value) != key:
                    yield DamageFinding(f"table {table}, key 0x{key.hex()}", "the node or code has another hash")
                progress(f"values of table {table}", count)
        except StorageCorruptError as error:
            yield DamageFinding(f"table {table}", str(error))


def check_blocks(pages: LmdbSnapshot, progress: ProgressListener) -> Iterator[DamageFinding]:
    """Every block from the genesis to the head."""
    chain = StoredChain(pages)
    try:
        head = chain.header_of(chain.head_hash() or b"")
    except (StorageCorruptError, RlpError) as error:
        yield DamageFinding("the head", str(error))
        return
    if head is None:
        yield DamageFinding("the head", "the database names none, or one that is not there")
        return
    parent: bytes | None = None
    for number in range(head.number + 1):
        checked = _BlockCheck(chain, number)
        yield from (DamageFinding(f"block {number}", text) for text in checked.find_damages(parent))
        parent = checked.hash
        progress("blocks", number + 1)


def check_state(pages: LmdbSnapshot, progress: ProgressListener) -> Iterator[DamageFinding]:
    """Every account, storage slot and code of the head's state, from its root."""
    chain = StoredChain(pages)
    try:
        head = chain.header_of(chain.head_hash() or b"")
        if head is None:
            return
        for hash_, text in find_missing_nodes(head.state_root, lambda key: _whole_node(pages, key), progress):
            yield DamageFinding(f"state of block {head.number}, node 0x{hash_.hex()}", text)
    except (StorageCorruptError, RlpError) as error:
        yield DamageFinding("the state of the head", str(error))


def _whole_node(pages: LmdbSnapshot, key: bytes) -> bytes | None:
    """The node or code with that hash; None if it is missing or altered."""
    try:
        return pages.get(STATE, key)
    except DamagedValueError:
        return None


def find_differences(header: BlockHeader, executed: ExecutedBlock) -> Iterator[str]:
    """In what an execution differs from the header of its block."""
    for name, stated, found in (
        ("state root", header.state_root, executed.state_root),
        ("receipts root", header.receipts_root, executed.receipts_root),
        ("transactions root", header.transactions_root, executed.transactions_root),
        ("logs bloom", header.logs_bloom, executed.logs_bloom),
    ):
        if stated != found:
            yield f"execution gives {name} 0x{found[:32].hex()}, the header says 0x{stated[:32].hex()}"
    if header.gas_used != executed.gas_used:
        yield f"execution uses {executed.gas_used} gas, the header says {header.gas_used}"


class _BlockCheck:
    """One block. `hash` is None if the index has lost it."""

    def __init__(self, chain: StoredChain, number: int) -> None:
        self._chain = chain
        self._number = number
        self.hash: bytes | None = None

    def find_damages(self, parent: bytes | None) -> Iterator[str]:
        """What is wrong with it; `parent` is the hash of the block before, None if that is not known."""
        for part in (self._header, self._body, self._outcomes):
            try:
                yield from part(parent)
            except (StorageCorruptError, RlpError, ValueError) as error:
                yield str(error)

    def _header(self, parent: bytes | None) -> Iterator[str]:
        self.hash = self._chain.hash_at(self._number)
        header = self._stored_header()
        found = on_chain_hash(header)
        if found != self.hash or header.number != self._number:
            yield f"table {HEADERS}: it is block {header.number} with hash 0x{found.hex()}"
        if parent is not None and header.parent_hash != parent:
            yield f"table {NUMBERS}: it does not follow from the block before"

    def _body(self, parent: bytes | None) -> Iterator[str]:
        header, body = self._stored_header(), self._chain.body_of(self.hash or b"")
        assert body is not None
        if body_root(body) != header.transactions_root:
            yield f"table {BODIES}: the transactions give another root than the header's"
        for index, transaction in enumerate(body.transactions):
            place = self._chain.place_of(transaction.hash)
            if place is None or (place.number, place.index) != (self._number, index):
                yield f"table {TRANSACTIONS}: transaction 0x{transaction.hash.hex()} is not found where it is"

    def _outcomes(self, parent: bytes | None) -> Iterator[str]:
        header, receipt_records = self._stored_header(), self._chain.receipt_records_of(self.hash or b"")
        assert receipt_records is not None
        if ordered_root([outcome.receipt.encode() for outcome in receipt_records]) != header.receipts_root:
            yield f"table {OUTCOMES}: the receipts give another root than the header's"

    def _stored_header(self) -> BlockHeader:
        if self.hash is None:
            raise StorageCorruptError(f"table {NUMBERS}: the block's hash is missing")
        header = self._chain.header_at(self._number)
        assert header is not None
        return header


def body_root(body: BlockBody) -> bytes:
    """The transactions root of `body`."""
    return ordered_root([transaction.raw for transaction in body.transactions])
