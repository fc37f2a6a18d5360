"""Checks a whole database: every value by its checksum, every block and every trie node by its hash.

Headers must hash to their keys and follow each other. Bodies and receipts must give the roots in their headers. Indexes must
name existing values, and the state of the head must be complete. Findings are yielded one by one. The check goes on after
each of them. This file must not change anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lacnode.chain.chain_store import BODIES, HEADERS, NUMBERS, OUTCOMES, STATE, TRANSACTIONS, StoredChain
from lacnode.chain.state_check import find_missing_nodes
from lacnode.consensus.protocols import block_hash_by_extra_data
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.ordered_root import ordered_root
from lacnode.primitives.rlp import RlpError
from lacnode.storage.environment import LmdbSnapshot
from lacnode.storage.storage_errors import DamagedValueError, StorageCorruptError

ProgressListener = Callable[[str, int], None]
"""A function that is called with the name of the checked part and the number of values so far."""


@dataclass(frozen=True, slots=True)
class DamageFinding:
    """One fault that a check found. `place` says where: the table and the key, or the block. `text` says what the fault
    is."""

    place: str
    text: str


def check_values(pages: LmdbSnapshot, progress: ProgressListener) -> Iterator[DamageFinding]:
    """Check every value of every table in `pages` by its checksum, and trie nodes and code also by their hash. Yield a
    finding for each fault. Nothing is raised for damage. `progress` is called with the name of the table and the number
    of its values so far."""
    for table in pages.table_names:
        try:
            for count, (key, value) in enumerate(pages.checked_items(table), 1):
                if value is None:
                    yield DamageFinding(f"table {table}, key 0x{key.hex()}", "the value was altered")
                elif table == STATE and keccak256(value) != key:
                    yield DamageFinding(f"table {table}, key 0x{key.hex()}", "the node or code has another hash")
                progress(f"values of table {table}", count)
        # A damaged page ends the iteration of its table. The other tables are still checked.
        except StorageCorruptError as error:
            yield DamageFinding(f"table {table}", str(error))


def check_blocks(pages: LmdbSnapshot, progress: ProgressListener) -> Iterator[DamageFinding]:
    """Check every block from the genesis to the head: hashes, parents, roots and the index of transactions. Yield a
    finding for each fault. Nothing is executed, and seals are not verified. `progress` is called with the number of
    blocks so far."""
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
    # By number and not by parent: a damaged block in the middle must not hide the ones below it.
    for number in range(head.number + 1):
        checked = _BlockCheck(chain, number)
        yield from (DamageFinding(f"block {number}", text) for text in checked.find_damages(parent))
        parent = checked.hash
        progress("blocks", number + 1)


def check_state(pages: LmdbSnapshot, progress: ProgressListener) -> Iterator[DamageFinding]:
    """Check every account, storage slot and code of the head's state, starting at its root, for presence. Yield a
    finding for each missing or altered node. A malformed node ends the check with a finding. Nothing is yielded without
    a head, which `check_blocks` reports. `progress` is called with the number of nodes so far."""
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
    """The node or code with this hash (32 bytes). None if it is missing or altered."""
    try:
        return pages.get(STATE, key)
    except DamagedValueError:
        return None


def find_differences(header: BlockHeader, executed: ExecutedBlock) -> Iterator[str]:
    """Yield the differences between an execution and the header of its block (roots, bloom, gas), one sentence each.
    Nothing if they agree."""
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
    """The check of one block. `hash` is None if the index has lost it."""

    def __init__(self, chain: StoredChain, number: int) -> None:
        self._chain = chain
        self._number = number
        self.hash: bytes | None = None

    def find_damages(self, parent: bytes | None) -> Iterator[str]:
        """The faults of the block. `parent` is the hash of the block before, or None if it is unknown."""
        # Each part on its own: a damaged body does not hide damaged receipts.
        for part in (self._check_header, self._check_body, self._check_receipts):
            try:
                yield from part(parent)
            except (StorageCorruptError, RlpError, ValueError) as error:
                yield str(error)

    def _check_header(self, parent: bytes | None) -> Iterator[str]:
        self.hash = self._chain.hash_at(self._number)
        header = self._stored_header()
        found = block_hash_by_extra_data(header)
        if found != self.hash or header.number != self._number:
            yield f"table {HEADERS}: it is block {header.number} with hash 0x{found.hex()}"
        if parent is not None and header.parent_hash != parent:
            yield f"table {NUMBERS}: it does not follow from the block before"

    def _check_body(self, parent: bytes | None) -> Iterator[str]:
        header, body = self._stored_header(), self._chain.body_of(self.hash or b"")
        assert body is not None
        if transactions_root_of(body) != header.transactions_root:
            yield f"table {BODIES}: the transactions give another root than the header's"
        for index, transaction in enumerate(body.transactions):
            place = self._chain.location_of(transaction.hash)
            if place is None or (place.number, place.index) != (self._number, index):
                yield f"table {TRANSACTIONS}: transaction 0x{transaction.hash.hex()} is not found where it is"

    def _check_receipts(self, parent: bytes | None) -> Iterator[str]:
        header, receipt_records = self._stored_header(), self._chain.receipt_records_of(self.hash or b"")
        assert receipt_records is not None
        if ordered_root([record.receipt.encode() for record in receipt_records]) != header.receipts_root:
            yield f"table {OUTCOMES}: the receipts give another root than the header's"

    def _stored_header(self) -> BlockHeader:
        if self.hash is None:
            raise StorageCorruptError(f"table {NUMBERS}: the block's hash is missing")
        header = self._chain.header_at(self._number)
        assert header is not None
        return header


def transactions_root_of(body: BlockBody) -> bytes:
    """The transactions root of `body` (32 bytes), computed in any case: no cache is used."""
    return ordered_root([transaction.raw for transaction in body.transactions])
