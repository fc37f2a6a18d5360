"""The results of one block's private transactions, and their writing to the tables. This module must not compute them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.primitives.block import Block
from lacnode.primitives.receipt import Log
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt
from lacnode.privacy.state.private_store import PrivateStoreWriter, StoredMarker


@dataclass(slots=True)
class BlockRecords:
    """The results of one block's private transactions. `number` and `hash` (32 bytes) are those of the block. The other
    fields are filled while it is executed.

    `receipts` are by the hash of the marker. `markers`, `roots` and `logs` are by the id of the group (32 bytes), each
    in the order of the block. `roots` has only groups that changed. `refused` are the hashes of markers whose
    transaction the contract of a flexible group refused. `from_history` are the hashes of markers whose transaction
    comes from a group history. `long` are the transactions that are executed apart. `punctual_senders` are the keys
    with a transaction that changed a state within its time slice, `slow_senders` those with one that took longer.
    `begin_to_wait_for_long` has the ids of the groups that begin to wait for a long transaction, and for each whether
    an own or a punctual sender sent it.
    """

    number: int
    hash: bytes
    receipts: dict[bytes, PrivateReceipt] = field(default_factory=dict)
    markers: dict[bytes, list[StoredMarker]] = field(default_factory=dict)
    roots: dict[bytes, list[MarkerRoot]] = field(default_factory=dict)
    logs: dict[bytes, list[LogWithMetadata]] = field(default_factory=dict)
    refused: list[bytes] = field(default_factory=list)
    from_history: set[bytes] = field(default_factory=set)
    long: list[LongPrivateTransaction] = field(default_factory=list)
    begin_to_wait_for_long: dict[bytes, bool] = field(default_factory=dict)
    punctual_senders: set[bytes] = field(default_factory=set)
    slow_senders: set[bytes] = field(default_factory=set)

    def add_logs(self, group_id: bytes, block: Block, index: int, logs: Sequence[Log]) -> None:
        """Append `logs` of the group `group_id` (32 bytes) to its logs of this block. They are those of the private
        transaction whose marker is at `index` of `block`. The index of a log counts the group's logs in the block."""
        # The index of a log counts the group's logs in the block, because other groups' logs are not visible.
        found = self.logs.setdefault(group_id, [])
        marker_hash, timestamp = block.transactions[index].hash, block.header.timestamp
        for log in logs:
            found.append(LogWithMetadata(log, len(found), self.hash, block.number, timestamp, marker_hash, index))

    def write(self, writer: PrivateStoreWriter) -> None:
        """Write the receipts, markers, roots and the facts about senders with `writer`, and delete the receipts of
        `refused` markers. The logs are a part of the receipts. `long`, `begin_to_wait_for_long` and the trie nodes of
        the roots are not written: the caller handles them."""
        groups = {stored.marker_hash: group_id for group_id, markers in self.markers.items() for stored in markers}
        # The key of a receipt has the block hash, as in Besu, so receipts of one marker in two blocks cannot mix.
        for marker_hash, receipt in self.receipts.items():
            is_from_history = marker_hash in self.from_history
            writer.write_receipt(self.hash, marker_hash, groups[marker_hash], receipt, is_from_history=is_from_history)
        for marker_hash in self.refused:
            # A rebuild may refuse what was executed before. Its old receipt must not stay.
            writer.delete_receipt(self.hash, marker_hash, groups[marker_hash])
        for group_id, markers in self.markers.items():
            # Only a success makes a marker the first one of its payload. A failed one may be tried at another marker.
            successful = {root.marker_hash for root in self.roots.get(group_id, ())}
            for marker in markers:
                writer.write_marker(group_id, marker)
                # A history may name any marker. It does not show that the payload of the marker was executed.
                if marker.marker_hash in self.from_history:
                    continue
                if marker.marker_hash in successful:
                    writer.write_successful_marker(marker)
                else:
                    # It may have succeeded before its group was executed again.
                    writer.delete_successful_marker(marker)
        # A sender with one slow transaction is not punctual, even if others of its transactions were fast.
        for private_from in self.punctual_senders - self.slow_senders:
            writer.write_punctual_sender(private_from)
        for private_from in self.slow_senders:
            writer.delete_punctual_sender(private_from)
        for group_id, roots in self.roots.items():
            writer.write_roots(self.number, self.hash, group_id, tuple(roots))
