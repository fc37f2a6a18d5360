"""Receipts with the metadata that RPC needs and a receipt does not have, as values and in their stored form.

This file must not use a database.
"""

from dataclasses import dataclass

from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives import rlp
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.rlp import RlpFields, RlpItem, RlpValue
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """One transaction: its sender (20 bytes), its receipt, the gas that it alone used, the contract that it created (20
    bytes, also if it failed, None without one), and the output of REVERT. `revert_reason` is None if the transaction
    did not revert, if this node does not keep reasons, or if the output did not fit within `MAX_BLOCK_REASON_BYTES` for
    its block (`evm.revert_reasons`)."""

    sender: bytes
    receipt: Receipt
    gas_used: int
    created: bytes | None
    revert_reason: bytes | None

    def to_items(self) -> list[RlpValue]:
        """Return the RLP items of the record, in the order in which the database stores them, for `rlp.encode`."""
        reverted: list[RlpValue] = [] if self.revert_reason is None else [self.revert_reason]
        return [self.sender, self.receipt.encode(), rlp.encode_scalar(self.gas_used), self.created or b"", reverted]

    @classmethod
    def from_item(cls, item: RlpItem) -> "ReceiptRecord":
        """Read the decoded list of the items that `to_items` made. Raises RlpError if it is malformed."""
        # An empty reason differs from an absent one, so the reason is in a list of one or no item.
        fields = RlpFields(rlp.as_list(item, "outcome"), "outcome")
        sender, receipt = fields.bytes("sender", 20), Receipt.decode_stored(fields.bytes("receipt"))
        gas_used, created = fields.scalar("gasUsed"), fields.optional_bytes("created", 20)
        reverted = [rlp.as_bytes(reason, "revertReason") for reason in fields.list("reverted")]
        fields.check_no_fields_left()
        return cls(sender, receipt, gas_used, created, reverted[0] if reverted else None)


def receipt_records_of_execution(executed: ExecutedBlock, *, keep_revert_reasons: bool) -> tuple[ReceiptRecord, ...]:
    """The records of an executed block, in the order of its transactions. Without `keep_revert_reasons` all reasons are
    None."""
    reasons = executed.revert_reasons if keep_revert_reasons else [None] * len(executed.receipts)
    return tuple(
        ReceiptRecord(sender, receipt, gas_used, created, reason)
        for sender, receipt, gas_used, created, reason in zip(
            executed.senders, executed.receipts, executed.gas_used_by, executed.created, reasons, strict=True
        )
    )


def encode_receipt_records(receipt_records: tuple[ReceiptRecord, ...]) -> bytes:
    """Encode the records of a block, in the order of its transactions, for the database."""
    return rlp.encode([record.to_items() for record in receipt_records])


def decode_receipt_records(data: bytes) -> tuple[ReceiptRecord, ...]:
    """Decode what `encode_receipt_records` made. Raises RlpError if the bytes are malformed."""
    return tuple(ReceiptRecord.from_item(item) for item in rlp.decode_stored_list(data, "outcomes"))


def encoded_receipts(data: bytes) -> tuple[bytes, ...]:
    """The receipts in what `encode_receipt_records` made, each as `Receipt.encode` made it. Their logs are not decoded.
    Raises RlpError if the bytes are malformed."""
    records = (RlpFields(rlp.as_list(item, "outcome"), "outcome") for item in rlp.decode_stored_list(data, "outcomes"))
    return tuple(_encoded_receipt(fields) for fields in records)


def _encoded_receipt(fields: RlpFields) -> bytes:
    fields.bytes("sender", 20)
    return fields.bytes("receipt")


@dataclass(frozen=True, slots=True)
class LogWithMetadata:
    """A log with its place. `log_index` counts through the whole block, and both indexes begin at 0. Hashes have 32
    bytes. `block_timestamp` is in Unix seconds."""

    log: Log
    log_index: int
    block_hash: bytes
    block_number: int
    block_timestamp: int
    transaction_hash: bytes
    transaction_index: int


def logs_with_metadata(
    number: int,
    hash_: bytes,
    timestamp: int,
    transactions: tuple[Transaction, ...],
    receipt_records: tuple[ReceiptRecord, ...],
) -> tuple[LogWithMetadata, ...]:
    """Every log of the block `number` with the on-chain hash `hash_` (32 bytes), in order. `timestamp` is in Unix
    seconds. `transactions` and `receipt_records` have the same order. ValueError if their numbers differ."""
    found: list[LogWithMetadata] = []
    for index, (transaction, record) in enumerate(zip(transactions, receipt_records, strict=True)):
        for log in record.receipt.logs:
            found.append(LogWithMetadata(log, len(found), hash_, number, timestamp, transaction.hash, index))
    return tuple(found)
