"""Receipts and logs: the results of a transaction.

Both are tuples: a block has thousands of them, and making a frozen dataclass takes ten times as long.
"""

from typing import NamedTuple

from lacnode.primitives import rlp
from lacnode.primitives.bloom import bloom_of
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue


class Log(NamedTuple):
    """One event: the address of the contract (20 bytes), up to four topics (32 bytes each), and data."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes

    def to_item(self) -> list[RlpValue]:
        """The items of the log, ready for `rlp.encode`: the address, the list of topics, the data."""
        return [self.address, list(self.topics), self.data]

    @classmethod
    def from_item(cls, item: RlpItem) -> "Log":
        """The log of a decoded RLP item. Raises RlpError if it is malformed. The number of topics is not checked."""
        fields = RlpFields(rlp.as_list(item, "log"), "log")
        address = fields.bytes("address", 20)
        topics = tuple(rlp.as_bytes(topic, "topic", 32) for topic in fields.list("topics"))
        log = cls(address, topics, fields.bytes("data"))
        fields.check_no_fields_left()
        return log


class Receipt(NamedTuple):
    """A receipt as consensus uses it. `type` is that of the transaction, 0 for a legacy one. The gas is cumulative in
    the block.

    Either `status` (from Byzantium on: 1 for success, 0 for failure) or `state_root` (before, 32 bytes) is set.
    `logs_bloom` has 256 bytes.
    """

    type: int
    status: int | None
    state_root: bytes | None
    cumulative_gas_used: int
    logs_bloom: bytes
    logs: tuple[Log, ...]

    @classmethod
    def with_computed_bloom(
        cls, type_: int, status: int | None, state_root: bytes | None, cumulative_gas_used: int, logs: tuple[Log, ...]
    ) -> "Receipt":
        """A receipt with the bloom of `logs`. `status` or `state_root` is None. `cumulative_gas_used` includes the
        earlier transactions of the block."""
        items = [item for log in logs for item in (log.address, *log.topics)]
        return cls(type_, status, state_root, cumulative_gas_used, bloom_of(items), logs)

    def encode(self) -> bytes:
        """Encode for the receipts root: an RLP list, with the type byte before it for typed receipts. Raises ValueError
        if status and state root are both None."""
        body = rlp.encode(self._items())
        return body if self.type == 0 else bytes([self.type]) + body

    def to_item(self) -> RlpValue:
        """The receipt in a Receipts message, ready for `rlp.encode`: a list for a legacy receipt, a byte string for a
        typed one. Raises ValueError if status and state root are both None."""
        return self._items() if self.type == 0 else self.encode()

    def _items(self) -> list[RlpValue]:
        # Status 0 is the empty string in RLP, so it must not be mistaken for a missing status.
        outcome = self.state_root if self.status is None else rlp.encode_scalar(self.status)
        if outcome is None:
            raise ValueError("a receipt needs a status or a state root")
        return [
            outcome,
            rlp.encode_scalar(self.cumulative_gas_used),
            self.logs_bloom,
            [log.to_item() for log in self.logs],
        ]

    @classmethod
    def decode(cls, data: bytes) -> "Receipt":
        """Decode what `encode` made. Raises RlpError if the bytes are malformed. Any type below 0x80 is accepted."""
        # A type byte is below 0x80. An RLP list begins with 0xc0 or more.
        if data[:1] and data[0] < 0x80:
            return cls._from_fields(data[0], rlp.decode_list(data[1:], "receipt"))
        return cls._from_fields(0, rlp.decode_list(data, "receipt"))

    @classmethod
    def decode_stored(cls, data: bytes) -> "Receipt":
        """Decode a receipt that this node made and stored, as `encode` made it. It may have more logs than a message.
        Raises RlpError if the bytes are malformed."""
        type_ = data[0] if data[:1] and data[0] < 0x80 else 0
        return cls._from_fields(type_, rlp.decode_stored_list(data[1:] if type_ else data, "receipt"))

    @classmethod
    def from_item(cls, item: RlpItem) -> "Receipt":
        """The receipt of a decoded item of a Receipts message: a list, or the bytes of `encode`. Raises RlpError if it
        is malformed. Any type below 0x80 is accepted."""
        return cls._from_fields(0, item) if isinstance(item, list) else cls.decode(item)

    @classmethod
    def _from_fields(cls, type_: int, items: list[RlpItem]) -> "Receipt":
        fields = RlpFields(items, "receipt")
        outcome = fields.bytes("outcome")
        # Status 0 is the empty string, status 1 is one byte, and a state root has 32 bytes.
        if len(outcome) not in (0, 1, 32) or (len(outcome) == 1 and outcome != b"\x01"):
            raise RlpError("receipt.outcome: status 0 or 1, or a 32-byte state root, was expected")
        receipt = cls(
            type=type_,
            status=None if len(outcome) == 32 else len(outcome),
            state_root=outcome if len(outcome) == 32 else None,
            cumulative_gas_used=fields.scalar("cumulativeGasUsed", 8),
            logs_bloom=fields.bytes("logsBloom", 256),
            logs=tuple(Log.from_item(log) for log in fields.list("logs")),
        )
        fields.check_no_fields_left()
        return receipt
