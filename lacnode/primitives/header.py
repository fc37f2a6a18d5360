"""The block header: fifteen fields, and the fields that later forks append.

It does not know its own hash (see the package's note).
"""

from dataclasses import dataclass, replace
from typing import Any

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A header as on the wire and in the database. It does not know its hash.

    Hashes and roots have 32 bytes, `coinbase` has 20, `logs_bloom` 256 and `nonce` 8. Integers are unsigned.
    `timestamp` is in Unix seconds, gas and blob gas in gas units, `base_fee` in wei per gas. A field that may be None
    is None before its fork.
    """

    parent_hash: bytes
    ommers_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_block_root: bytes | None = None
    requests_hash: bytes | None = None

    def fields(self) -> list[RlpValue]:
        """The values in the order of RLP, integers as their minimal big-endian bytes. Fields of later forks end at the
        first absent one."""
        values: list[RlpValue] = [
            self.parent_hash,
            self.ommers_hash,
            self.coinbase,
            self.state_root,
            self.transactions_root,
            self.receipts_root,
            self.logs_bloom,
            rlp.encode_scalar(self.difficulty),
            rlp.encode_scalar(self.number),
            rlp.encode_scalar(self.gas_limit),
            rlp.encode_scalar(self.gas_used),
            rlp.encode_scalar(self.timestamp),
            self.extra_data,
            self.mix_hash,
            self.nonce,
        ]
        for appended in (
            self.base_fee,
            self.withdrawals_root,
            self.blob_gas_used,
            self.excess_blob_gas,
            self.parent_beacon_block_root,
            self.requests_hash,
        ):
            # As in Besu: a field after an absent one is not written, because its position would be wrong.
            if appended is None:
                break
            values.append(rlp.encode_scalar(appended) if isinstance(appended, int) else appended)
        return values

    def encode(self) -> bytes:
        """The RLP list of the header with its full extra data, seals included."""
        return rlp.encode(self.fields())

    def with_changes(self, **changes: Any) -> "BlockHeader":
        """A copy with the named fields replaced. Raises TypeError for the name of no field. The values are not
        checked."""
        return replace(self, **changes)

    @classmethod
    def decode(cls, data: bytes) -> "BlockHeader":
        """Decode the RLP of one header. Raises RlpError if the bytes are malformed, or are not a list of 15 to 17 or 19
        to 21 fields."""
        return cls.from_item(rlp.decode(data))

    @classmethod
    def from_item(cls, item: RlpItem) -> "BlockHeader":
        """The header of a decoded RLP list. Raises RlpError if it is malformed, or does not have 15 to 17 or 19 to 21
        fields."""
        items = rlp.as_list(item, "header")
        # Blob gas comes in a pair, so a header with 18 fields does not exist.
        if not 15 <= len(items) <= 21 or len(items) == 18:
            raise RlpError(f"header: 15 to 21 fields were expected, found {len(items)}")
        fields = RlpFields(items, "header")
        header = cls(
            parent_hash=fields.bytes("parentHash", 32),
            ommers_hash=fields.bytes("ommersHash", 32),
            coinbase=fields.bytes("coinbase", 20),
            state_root=fields.bytes("stateRoot", 32),
            transactions_root=fields.bytes("transactionsRoot", 32),
            receipts_root=fields.bytes("receiptsRoot", 32),
            logs_bloom=fields.bytes("logsBloom", 256),
            difficulty=fields.scalar("difficulty"),
            number=fields.scalar("number", 8),
            gas_limit=fields.scalar("gasLimit", 8),
            gas_used=fields.scalar("gasUsed", 8),
            timestamp=fields.scalar("timestamp", 8),
            extra_data=fields.bytes("extraData"),
            mix_hash=fields.bytes("mixHash", 32),
            nonce=fields.bytes("nonce", 8),
            # The position alone names an appended field, so each is read only if items are left.
            base_fee=fields.scalar("baseFee") if fields.remaining else None,
            withdrawals_root=fields.bytes("withdrawalsRoot", 32) if fields.remaining else None,
            blob_gas_used=fields.scalar("blobGasUsed", 8) if fields.remaining else None,
            excess_blob_gas=fields.scalar("excessBlobGas", 8) if fields.remaining else None,
            parent_beacon_block_root=fields.bytes("parentBeaconBlockRoot", 32) if fields.remaining else None,
            requests_hash=fields.bytes("requestsHash", 32) if fields.remaining else None,
        )
        fields.check_no_fields_left()
        return header
