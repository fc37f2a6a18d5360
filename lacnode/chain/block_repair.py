"""Repairs damaged parts of a stored block, if the replacement can be proven.

A header is proven by its hash and its seals, a body by the roots in its header, receipts by execution, and the hash of
a number by the block that follows, or for the head by the stored head. Nothing else is replaced. This file must not ask
peers: it checks what they gave.
"""

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import BODIES, HEADERS, NUMBERS, OUTCOMES
from lacnode.chain.database_check import transactions_root_of
from lacnode.chain.receipt_record import encode_receipt_records
from lacnode.consensus.bft.header_rules import HeaderRefusedError, check_seals
from lacnode.primitives.block import BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT
from lacnode.primitives.rlp import RlpError
from lacnode.storage.database import Database


class RepairNotProvenError(Exception):
    """The replacement is wrong, or it cannot be proven. The text says why."""


class BlockRepair:
    """Repairs the blocks of `chain` in `database`. It reads, executes and writes, so call it in a worker thread.

    The methods raise RepairNotProvenError, or StorageError if data that the proof needs is damaged, too, or if the disk
    fails.
    """

    def __init__(self, chain: Blockchain, database: Database) -> None:
        self._chain = chain
        self._database = database

    def store_header(self, hash_: bytes, header: BlockHeader) -> None:
        """Store `header`, which a peer gave for `hash_` (32 bytes), with its seals. Raises RepairNotProvenError if it
        has another hash, if its parent is not in the chain, or if its seals are not those of a quorum."""
        try:
            # The hash does not cover seals and round. A peer could give this header with any seals.
            if self._chain.protocols.block_hash(header) != hash_:
                raise RepairNotProvenError("the header has another hash")
            parent = self._chain.header_of(header.parent_hash)
            if parent is None:
                raise RepairNotProvenError("its parent is not in the chain")
            protocol = self._chain.protocols.protocol_at(header.number)
            check_seals(protocol, header, self._chain.validators_after(parent))
        except (RlpError, HeaderRefusedError) as error:
            raise RepairNotProvenError(str(error)) from None
        self._put(HEADERS, hash_, header.encode())

    def store_body(self, hash_: bytes, body: BlockBody) -> None:
        """Store `body`, which a peer gave for the block with `hash_` (32 bytes). Raises RepairNotProvenError if it does
        not give the roots of the header, or if the header is not in the chain."""
        header = self._header(hash_)
        # Blocks of this network have no ommers and no withdrawals, so their roots are constants.
        withdrawals_root = None if body.withdrawals is None else EMPTY_TRIE_ROOT
        if body.ommers or body.withdrawals or header.ommers_hash != EMPTY_OMMERS_HASH:
            raise RepairNotProvenError("the body has parts that no block of this network has")
        if (transactions_root_of(body), withdrawals_root) != (header.transactions_root, header.withdrawals_root):
            raise RepairNotProvenError("the body gives other roots than the header's")
        self._put(BODIES, hash_, body.encode())

    def recompute_value(self, table: str, key: bytes) -> None:
        """Compute the value of `table` under `key` from other values of this database, and store it. It works for
        `OUTCOMES`, whose keys are block hashes (32 bytes), and `NUMBERS`, whose keys are block numbers (8 bytes).

        Raises RepairNotProvenError if the table cannot be derived, or if a value that the proof needs is missing.
        """
        if table == OUTCOMES:
            self._derive_receipt_records(key)
        elif table == NUMBERS:
            self._derive_number(int.from_bytes(key))
        else:
            # Trie nodes of old states have no block to execute from, and indexes are rebuilt by an import only.
            raise RepairNotProvenError(f"values of table {table} cannot be put back while the node runs")

    def _derive_receipt_records(self, hash_: bytes) -> None:
        block = self._chain.block_of(hash_)
        if block is None:
            raise RepairNotProvenError("the block is not in the chain")
        try:
            # Execution compares the receipts with the root in the header, which is the proof.
            receipt_records = self._chain.reexecute(block)
        except BlockRefusedError as refused:
            raise RepairNotProvenError(str(refused)) from None
        self._put(OUTCOMES, hash_, encode_receipt_records(receipt_records))

    def _derive_number(self, number: int) -> None:
        """Take the hash from the next block, which names its parent."""
        head = self._chain.head
        # The head has no following block. Its hash is in the table of the head.
        if number >= head.header.number:
            hash_ = head.hash if number == head.header.number else None
        else:
            child = self._chain.header_at(number + 1)
            hash_ = None if child is None else child.parent_hash
        if hash_ is None or self._header(hash_).number != number:
            raise RepairNotProvenError(f"the hash of block {number} is not known")
        self._put(NUMBERS, number.to_bytes(8), hash_)

    def _header(self, hash_: bytes) -> BlockHeader:
        header = self._chain.header_of(hash_)
        if header is None:
            raise RepairNotProvenError("the block's header is not in the chain")
        return header

    def _put(self, table: str, key: bytes, value: bytes) -> None:
        with self._database.write() as batch:
            batch.put(table, key, value)
