"""What one block's private transactions leave behind, and putting it into the tables. Must not reckon it."""

from dataclasses import dataclass, field

from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt
from lacnode.privacy.state.private_store import PrivateStoreWriter, StoredMarker


@dataclass(slots=True)
class BlockRecords:
    """`roots` has only groups that changed; `refused` are the markers' hashes of those private transactions that a
    flexible group's contract did not let in, `long` those transactions that are executed apart. `known_senders` are the keys
    of which something was carried out in its slice of time, `slow_senders` those of which something took longer.
    `begin_to_wait` are the groups that had nothing long before, and whether a known sender sent what is long."""

    number: int
    hash: bytes
    receipts: dict[bytes, PrivateReceipt] = field(default_factory=dict)
    markers: dict[bytes, list[StoredMarker]] = field(default_factory=dict)
    roots: dict[bytes, list[MarkerRoot]] = field(default_factory=dict)
    logs: dict[bytes, list[LogWithMetadata]] = field(default_factory=dict)
    refused: list[bytes] = field(default_factory=list)
    long: list[LongPrivateTransaction] = field(default_factory=list)
    begin_to_wait: dict[bytes, bool] = field(default_factory=dict)
    known_senders: set[bytes] = field(default_factory=set)
    slow_senders: set[bytes] = field(default_factory=set)

    def write(self, writer: PrivateStoreWriter) -> None:
        """Put all but the logs, which the receipts have, into the tables."""
        for marker_hash, receipt in self.receipts.items():
            writer.receipt(self.hash, marker_hash, receipt)
        for marker_hash in self.refused:
            writer.forget_receipt(self.hash, marker_hash)
        for group_id, markers in self.markers.items():
            successful = {root.marker_hash for root in self.roots.get(group_id, ())}
            for marker in markers:
                writer.marker(group_id, marker)
                if marker.marker_hash in successful:
                    writer.carried_out(marker)
        for private_from in self.known_senders - self.slow_senders:
            writer.known_sender(private_from)
        for private_from in self.slow_senders:
            writer.slow_sender(private_from)
        for group_id, roots in self.roots.items():
            writer.roots(self.number, self.hash, group_id, tuple(roots))
