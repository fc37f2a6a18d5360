"""Private transactions, which a wallet signs and the manager carries (EEA client specification, Besu's encoding).

There are twelve RLP items: the nine of a legacy transaction, the sender's key, the recipients or their group, and the word
`restricted`. There is no typed form. The content of a private transaction never goes into a log, an error or a `repr`.
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
    """Who may read a private transaction. Besu supports RESTRICTED alone. UNSUPPORTED stands for every other text."""

    RESTRICTED = b"restricted"
    UNRESTRICTED = b"unrestricted"
    UNSUPPORTED = b""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PrivateTransaction:
    """A signed private transaction. `to` (20 bytes) is None for a contract creation. `gas_price` and `value` are in
    wei. `chain_id` is None before EIP-155.

    Exactly one of `private_for` (public keys, perhaps none) and `group_id` (32 bytes) is set. `private_from` is a
    public key. The lengths of keys and the signature are not checked.
    """

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
    """The RLP that it was decoded from."""

    def __repr__(self) -> str:
        return f"PrivateTransaction({len(self.raw)} bytes)"

    @property
    def chain_id(self) -> int | None:
        """The chain that the signature is for (EIP-155). None if it is for any chain."""
        return None if self.v in (27, 28) else (self.v - 35) // 2

    @property
    def is_creation(self) -> bool:
        """Whether it creates a private contract: it has no recipient."""
        return self.to is None

    @property
    def hash(self) -> bytes:
        """Keccak-256 of the RLP (32 bytes). Nothing on the chain refers to it."""
        return keccak256(self.raw)

    def signing_preimage(self) -> bytes:
        """Return the RLP whose Keccak-256 hash the sender signed."""
        items = rlp.decode_list(self.raw, "private transaction")
        # EIP-155: the chain id and two empty items take the places of v, r and s.
        protected: list[RlpValue] = [] if self.chain_id is None else [rlp.encode_scalar(self.chain_id), b"", b""]
        return rlp.encode([*items[:6], *protected, *items[9:]])

    def sender(self) -> bytes:
        """Return the address (20 bytes) that signed. It is recovered at each call. SignatureError if the signature is
        not valid."""
        parity = self.v - 27 if self.chain_id is None else (self.v - 35) % 2
        signature = self.r.to_bytes(32) + self.s.to_bytes(32) + bytes([parity])
        return recover_address(keccak256(self.signing_preimage()), signature)

    def determined_group_id(self) -> bytes:
        """Return the id of its group (32 bytes): the one that it names, or the LEGACY id of its sender's and
        recipients' keys. The manager's own answer counts more, once there is one."""
        return (
            self.group_id if self.group_id is not None else legacy_group_id(self.private_from, self.private_for or ())
        )

    @classmethod
    def decode(cls, raw: bytes) -> "PrivateTransaction":
        """Decode the RLP of a private transaction. RlpError if it is malformed, or if `v`, `r` or `s` is out of range.
        The signature is not verified. The error quotes nothing of the transaction."""
        return cls.from_item(rlp.decode(raw))

    @classmethod
    def from_item(cls, item: RlpItem) -> "PrivateTransaction":
        """Return the private transaction of a decoded RLP item. RlpError if it is malformed, or if `v`, `r` or `s` is
        out of range. The signature is not verified."""
        fields = RlpFields(rlp.as_list(item, "private transaction"), "private transaction")
        nonce, gas_price, gas_limit = fields.scalar("nonce", 8), fields.scalar("gasPrice"), fields.scalar("gasLimit", 8)
        to, value, data = fields.optional_bytes("to", 20), fields.scalar("value"), fields.bytes("payload")
        v, r, s = fields.scalar("v"), fields.scalar("r"), fields.scalar("s")
        private_from, recipients = fields.bytes("privateFrom"), fields.item("privateFor or privacyGroupId")
        restriction = fields.bytes("restriction")
        fields.check_no_fields_left()
        # Besu refuses other values of v, too. They would give a negative chain id.
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
    # The type of the RLP item decides: a list has keys (privateFor), a byte string is a group id.
    if isinstance(item, list):
        return tuple(rlp.as_bytes(key, "private transaction.privateFor") for key in item), None
    return None, rlp.as_bytes(item, "private transaction.privacyGroupId", 32)


def _restriction(word: bytes) -> Restriction:
    return Restriction(word) if word in (b"restricted", b"unrestricted") else Restriction.UNSUPPORTED


def legacy_group_id(private_from: bytes, private_for: Iterable[bytes]) -> bytes:
    """Return the LEGACY group id (32 bytes) of a sender and its recipients (public keys, in any order), as Orion
    computes it."""
    return group_id((private_from, *private_for))


def private_contract_address(sender: bytes, nonce: int, group_id: bytes) -> bytes:
    """Return the address (20 bytes) of the contract that `sender` (20 bytes) creates in the group `group_id` (32 bytes)
    with the private `nonce`."""
    # The group id is a part of it. The same sender and nonce in two groups must not give one address.
    return keccak256(rlp.encode([sender, rlp.encode_scalar(nonce), group_id]))[12:]


def encode_payload_text(transaction: PrivateTransaction) -> bytes:
    """Return the payload for the manager: the RLP of the transaction in base64, as ASCII bytes."""
    return base64.b64encode(transaction.raw)


def encode_versioned_payload(transaction: PrivateTransaction, version: bytes) -> bytes:
    """Return the payload for a flexible group: the RLP of the transaction and the group's `version` (32 bytes), in
    base64, as ASCII bytes."""
    return base64.b64encode(rlp.encode([rlp.decode_list(transaction.raw, "private transaction"), version]))


def decode_payload_text(payload: bytes) -> PrivateTransaction:
    """Return the private transaction of a payload (base64, as ASCII bytes), with or without a version. RlpError if the
    payload has none."""
    return decode_versioned_payload(payload)[0]


def decode_versioned_payload(payload: bytes) -> tuple[PrivateTransaction, bytes | None]:
    """Return the private transaction of a payload (base64, as ASCII bytes) and its group's version (32 bytes). The
    version is None unless the payload is a list of exactly the transaction and 32 bytes. RlpError if the payload has no
    private transaction."""
    return decode_versioned_item(decode_payload_item(payload))


def decode_versioned_item(item: RlpItem) -> tuple[PrivateTransaction, bytes | None]:
    """Return the private transaction in the RLP item of a payload, and its group's version (32 bytes). The version is
    None unless the item is a list of exactly the transaction and 32 bytes. RlpError if the item has no private
    transaction."""
    # A payload of a flexible group is a list whose first item is the transaction, itself a list.
    if not (isinstance(item, list) and item and isinstance(item[0], list)):
        return PrivateTransaction.from_item(item), None
    version = item[1] if len(item) == 2 else None
    return PrivateTransaction.from_item(item[0]), version if isinstance(version, bytes) and len(version) == 32 else None


def decode_payload_item(payload: bytes) -> RlpItem:
    """Return the RLP item of a payload, which is base64 as ASCII bytes. RlpError if the base64 or the RLP is malformed."""
    try:
        return rlp.decode(base64.b64decode(payload, validate=True))
    except binascii.Error:
        raise RlpError("payload: base64 was expected") from None
