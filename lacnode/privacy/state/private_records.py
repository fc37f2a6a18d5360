"""The records of private execution in Besu's RLP: receipts, and the state roots of a group within a block.

They are Besu's `PrivateTransactionReceipt` and `PrivateBlockMetadata`. This module must not use a database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from lacnode.primitives import rlp
from lacnode.primitives.receipt import Log
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue


class PrivateStatus(IntEnum):
    """The result of a private transaction. FAILED reverted or halted. INVALID did not begin, for example because its
    nonce is not the next one. The numbers are Besu's."""

    FAILED = 0
    SUCCESSFUL = 1
    INVALID = 2


@dataclass(frozen=True, slots=True, repr=False)
class PrivateReceipt:
    """A private receipt. `output` is the data that the execution returned, empty without success. `revert_reason` is
    the output of REVERT, None if nothing reverted."""

    status: PrivateStatus
    logs: tuple[Log, ...] = ()
    output: bytes = b""
    revert_reason: bytes | None = None

    def __repr__(self) -> str:
        return f"PrivateReceipt({self.status.name})"

    def encode(self) -> bytes:
        """Encode the receipt for the database in Besu's RLP."""
        reason: list[RlpValue] = [] if self.revert_reason is None else [self.revert_reason]
        return rlp.encode([rlp.encode_scalar(self.status), [log.to_item() for log in self.logs], self.output, *reason])

    @classmethod
    def decode(cls, data: bytes) -> "PrivateReceipt":
        """Decode a stored receipt. RlpError if it is malformed."""
        fields = RlpFields(rlp.decode_stored_list(data, "private receipt"), "private receipt")
        status = fields.scalar("status", 1)
        if status > PrivateStatus.INVALID:
            raise RlpError(f"private receipt.status: 0, 1 or 2 was expected, found {status}")
        logs = tuple(Log.from_item(item) for item in fields.list("logs"))
        output = fields.bytes("output")
        reason = fields.bytes("revertReason") if fields.remaining else None
        fields.check_no_fields_left()
        return cls(PrivateStatus(status), logs, output, reason)


class MarkerRoot(NamedTuple):
    """A successful private transaction: the hash of its marker, and the group's state root after it (32 bytes each)."""

    marker_hash: bytes
    root: bytes


def encode_marker_roots(roots: Sequence[MarkerRoot]) -> bytes:
    """Encode the roots of one group within one block, in the order of the block, in the RLP of Besu's
    `PrivateBlockMetadata`."""
    return rlp.encode([[entry.marker_hash, entry.root] for entry in roots])


def decode_marker_roots(data: bytes) -> tuple[MarkerRoot, ...]:
    """Decode what `encode_marker_roots` encoded, in the same order. RlpError if it is malformed."""
    return tuple(_marker_root(item) for item in rlp.decode_stored_list(data, "private metadata"))


def _marker_root(item: RlpItem) -> MarkerRoot:
    fields = RlpFields(rlp.as_list(item, "private metadata"), "private metadata")
    entry = MarkerRoot(fields.bytes("marker hash", 32), fields.bytes("state root", 32))
    fields.check_no_fields_left()
    return entry
