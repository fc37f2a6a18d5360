"""Receipts and logs: what a transaction left behind."""

from dataclasses import dataclass

from lacnode.primitives import rlp
from lacnode.primitives.bloom import bloom_of
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue


@dataclass(frozen=True, slots=True)
class Log:
    """One event: the contract's 20-byte address, up to four 32-byte topics, and data."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes

    def to_item(self) -> list[RlpValue]:
        return [self.address, list(self.topics), self.data]

    @classmethod
    def from_item(cls, item: RlpItem) -> "Log":
        fields = RlpFields(rlp.as_list(item, "log"), "log")
        address = fields.bytes("address", 20)
        topics = tuple(rlp.as_bytes(topic, "topic", 32) for topic in fields.list("topics"))
        log = cls(address, topics, fields.bytes("data"))
        fields.end()
        return log


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as consensus sees it. Exactly one of `status` (0 or 1, from Byzantium) and `state_root` (before) is
    set; gas is cumulative in the block."""

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
        """A receipt with its bloom computed from `logs`."""
        items = [item for log in logs for item in (log.address, *log.topics)]
        return cls(type_, status, state_root, cumulative_gas_used, bloom_of(items), logs)

    def encode(self) -> bytes:
        """Canonical encoding, the one under the receipts root: RLP list, after the type byte for typed ones."""
        body = rlp.encode(self._fields())
        return body if self.type == 0 else bytes([self.type]) + body

    def to_item(self) -> RlpValue:
        """How a Receipts message holds it: a list for legacy, a byte string for typed receipts."""
        return self._fields() if self.type == 0 else self.encode()

    def _fields(self) -> list[RlpValue]:
        outcome = self.state_root if self.status is None else rlp.scalar(self.status)
        if outcome is None:
            raise ValueError("a receipt needs a status or a state root")
        return [outcome, rlp.scalar(self.cumulative_gas_used), self.logs_bloom, [log.to_item() for log in self.logs]]

    @classmethod
    def decode(cls, data: bytes) -> "Receipt":
        """The receipt of its canonical encoding; RlpError if it is not one."""
        if data[:1] and data[0] < 0x80:
            return cls._from_fields(data[0], rlp.decode_list(data[1:], "receipt"))
        return cls._from_fields(0, rlp.decode_list(data, "receipt"))

    @classmethod
    def decode_stored(cls, data: bytes) -> "Receipt":
        """Like `decode`, for a receipt that this node made and stored: it may have more logs than a message holds."""
        type_ = data[0] if data[:1] and data[0] < 0x80 else 0
        return cls._from_fields(type_, rlp.decode_stored_list(data[1:] if type_ else data, "receipt"))

    @classmethod
    def from_item(cls, item: RlpItem) -> "Receipt":
        """The receipt of an item of a Receipts message."""
        return cls._from_fields(0, item) if isinstance(item, list) else cls.decode(item)

    @classmethod
    def _from_fields(cls, type_: int, items: list[RlpItem]) -> "Receipt":
        fields = RlpFields(items, "receipt")
        outcome = fields.bytes("outcome")
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
        fields.end()
        return receipt
