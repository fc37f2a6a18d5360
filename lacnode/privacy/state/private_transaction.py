"""Private transactions (EEA client specification, with Besu's encoding): what a wallet signs and the manager carries.

Twelve RLP items: the nine of a legacy transaction, then the sender's key, its recipients or their group, and the word
"restricted". There is no typed form. What a private transaction says never goes into a log, an error or a repr.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from lacnode.crypto.secp256k1 import CURVE_ORDER, recover_address
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue
from lacnode.privacy.group_ids import group_id


class Restriction(Enum):
    """Who may see a private transaction; Besu knows what to do with the first only."""

    RESTRICTED = b"restricted"
    UNRESTRICTED = b"unrestricted"
    UNSUPPORTED = b""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PrivateTransaction:
    """A signed private transaction. `to` is None for a creation; `chain_id` is None before EIP-155. Exactly one of
    `private_for` (public keys, perhaps none) and `group_id` (32 bytes) is set."""

    nonce: int
    gas_price: int
    gas_limit: int
    to: bytes | None
    value: int
    data: bytes
    v: int
    r: int
    s: int
    private_from: bytes
    private_for: tuple[bytes, ...] | None
    group_id: bytes | None
    restriction: Restriction
    raw: bytes = field(repr=False)
    """The RLP it came from."""

    def __repr__(self) -> str:
        return f"PrivateTransaction({len(self.raw)} bytes)"

    @property
    def chain_id(self) -> int | None:
        return None if self.v in (27, 28) else (self.v - 35) // 2

    @property
    def is_creation(self) -> bool:
        return self.to is None

    @property
    def hash(self) -> bytes:
        """Keccak-256 of the whole; nothing on the chain refers to it."""
        return keccak256(self.raw)

    def signing_preimage(self) -> bytes:
        """The RLP that the sender signed the hash of."""
        items = rlp.decode_list(self.raw, "private transaction")
        protected: list[RlpValue] = [] if self.chain_id is None else [rlp.scalar(self.chain_id), b"", b""]
        return rlp.encode([*items[:6], *protected, *items[9:]])

    def sender(self) -> bytes:
        """The 20-byte address that signed; SignatureError if there is none."""
        parity = self.v - 27 if self.chain_id is None else (self.v - 35) % 2
        signature = self.r.to_bytes(32) + self.s.to_bytes(32) + bytes([parity])
        return recover_address(keccak256(self.signing_preimage()), signature)

    def determined_group_id(self) -> bytes:
        """The group it is for, as long as no manager has said so."""
        return (
            self.group_id if self.group_id is not None else legacy_group_id(self.private_from, self.private_for or ())
        )

    @classmethod
    def decode(cls, raw: bytes) -> "PrivateTransaction":
        """The private transaction of its RLP; RlpError, which quotes nothing of it, if it is none."""
        return cls.from_item(rlp.decode(raw))

    @classmethod
    def from_item(cls, item: RlpItem) -> "PrivateTransaction":
        """The private transaction of a decoded RLP item."""
        fields = RlpFields(rlp.as_list(item, "private transaction"), "private transaction")
        nonce, gas_price, gas_limit = fields.scalar("nonce", 8), fields.scalar("gasPrice"), fields.scalar("gasLimit", 8)
        to, value, data = fields.optional_bytes("to", 20), fields.scalar("value"), fields.bytes("payload")
        v, r, s = fields.scalar("v"), fields.scalar("r"), fields.scalar("s")
        private_from, recipients = fields.bytes("privateFrom"), fields.item("privateFor or privacyGroupId")
        restriction = fields.bytes("restriction")
        fields.end()
        if v not in (27, 28) and v <= 36:
            raise RlpError("private transaction.v: 27, 28 or more than 36 was expected")
        if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
            raise RlpError("private transaction: signature out of range")
        private_for, group_id = _recipients(recipients)
        return cls(
            nonce,
            gas_price,
            gas_limit,
            to,
            value,
            data,
            v,
            r,
            s,
            private_from,
            private_for,
            group_id,
            _restriction(restriction),
            rlp.encode(item),
        )


def _recipients(item: RlpItem) -> tuple[tuple[bytes, ...] | None, bytes | None]:
    if isinstance(item, list):
        return tuple(rlp.as_bytes(key, "private transaction.privateFor") for key in item), None
    return None, rlp.as_bytes(item, "private transaction.privacyGroupId", 32)


def _restriction(word: bytes) -> Restriction:
    return Restriction(word) if word in (b"restricted", b"unrestricted") else Restriction.UNSUPPORTED


def legacy_group_id(private_from: bytes, private_for: Iterable[bytes]) -> bytes:
    """The 32-byte id of the group that a sender and its recipients (public keys) make, as long as no manager has said so."""
    return group_id((private_from, *private_for))


def private_contract_address(sender: bytes, nonce: int, group_id: bytes) -> bytes:
    """The 20-byte address of the contract that `sender` creates in a group with a private `nonce`."""
    return keccak256(rlp.encode([sender, rlp.scalar(nonce), group_id]))[12:]


def encode_payload_text(transaction: PrivateTransaction) -> bytes:
    """What the manager is given: the RLP in base64, as text."""
    return base64.b64encode(transaction.raw)


def encode_versioned_payload(transaction: PrivateTransaction, version: bytes) -> bytes:
    """What the manager is given for a flexible group, which has `version` (32 bytes) as far as the sender knows."""
    return base64.b64encode(rlp.encode([rlp.decode_list(transaction.raw, "private transaction"), version]))


def decode_payload_text(payload: bytes) -> PrivateTransaction:
    """The private transaction in a manager's payload, alone or before a group's version; RlpError if there is none."""
    return decode_versioned_payload(payload)[0]


def decode_versioned_payload(payload: bytes) -> tuple[PrivateTransaction, bytes | None]:
    """The same with the group's version; None where there is none, or one that cannot be."""
    return from_versioned_item(decode_payload_item(payload))


def from_versioned_item(item: RlpItem) -> tuple[PrivateTransaction, bytes | None]:
    """The same for the RLP item in a payload."""
    if not (isinstance(item, list) and item and isinstance(item[0], list)):
        return PrivateTransaction.from_item(item), None
    version = item[1] if len(item) == 2 else None
    return PrivateTransaction.from_item(item[0]), version if isinstance(version, bytes) and len(version) == 32 else None


def decode_payload_item(payload: bytes) -> RlpItem:
    """The RLP item in a manager's payload, which is in base64; RlpError."""
    try:
        return rlp.decode(base64.b64decode(payload, validate=True))
    except binascii.Error:
        raise RlpError("payload: base64 was expected") from None
