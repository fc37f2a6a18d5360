"""Signed transactions of every accepted type: legacy (0), access list (1), fee market (2), blob (3), set code (4).

A transaction keeps the bytes that it was decoded from, so relaying and hashing do not encode it again. It does not know its
sender: `lacnode.crypto` recovers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from lacnode.primitives import rlp
from lacnode.primitives.access_list import AccessListEntry, read_access_list, split_list_at
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

LEGACY, ACCESS_LIST, FEE_MARKET, BLOB, SET_CODE = 0, 1, 2, 3, 4

AccessList = tuple[AccessListEntry, ...]

LONG_BYTES = 4_096
"""The length from which a transaction is long. A long one is decoded once while it is in memory, and its access list is read
by `access_list`."""

_ACCESS_LIST_INDEX = {ACCESS_LIST: 7, FEE_MARKET: 8, BLOB: 8, SET_CODE: 8}
"""The position of the access list in the payload of a transaction type."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One EIP-7702 authorisation: the signing account lets the code of `address` (20 bytes) run as its own. `chain_id`
    0 stands for every chain. `nonce` is that of the signing account. `y_parity` is 0 or 1, which decoding does not
    check."""

    chain_id: int
    address: bytes
    nonce: int
    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Transaction:
    """A signed transaction. Values are in wei, gas is in gas units. `to` (20 bytes) is None for the creation of a
    contract, and `data` is the init code then.

    `gas_price` is set for types 0 and 1, and `max_fee_per_gas` and `max_priority_fee_per_gas` for the others. Fields of
    other types are None or empty. `v` is the value in the RLP: the full v of a legacy transaction, the parity (0 or 1)
    otherwise. `chain_id` is None only for a legacy transaction with v 27 or 28, whose signature names no chain. Two
    transactions are equal if their hashes are equal. The signature may be invalid.
    """

    type: int
    chain_id: int | None
    nonce: int
    gas_price: int | None
    max_priority_fee_per_gas: int | None
    max_fee_per_gas: int | None
    gas_limit: int
    to: bytes | None
    value: int
    data: bytes
    access_list: tuple[AccessListEntry, ...]
    max_fee_per_blob_gas: int | None
    blob_versioned_hashes: tuple[bytes, ...]
    authorizations: tuple[Authorization, ...]
    v: int
    r: int
    s: int
    raw: bytes = field(repr=False)
    """The canonical encoding: the RLP list of a legacy transaction, or the type byte and the payload."""
    hash: bytes
    """Keccak-256 of `raw`."""

    def __eq__(self, other: object) -> bool:
        # The hash covers every byte with the signature. Comparing all fields would cost much more.
        return isinstance(other, Transaction) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def y_parity(self) -> int:
        """The parity of the point of the signature, 0 or 1, for every type."""
        if self.type != LEGACY:
            return self.v
        # Before EIP-155 v is 27 or 28. Since then it is 35 + 2 * chain id + parity.
        return self.v - 27 if self.v in (27, 28) else (self.v - 35) % 2

    @property
    def is_creation(self) -> bool:
        """Whether it creates a contract: it has no recipient."""
        return self.to is None

    @property
    def max_gas_price(self) -> int:
        """The highest price that the sender pays for a unit of gas, in wei: `gas_price`, or `max_fee_per_gas` for a
        type that has none."""
        price = self.gas_price if self.gas_price is not None else self.max_fee_per_gas
        return price or 0

    def effective_gas_price(self, base_fee: int | None) -> int:
        """The wei that the sender pays for a unit of gas in a block with `base_fee` (wei per gas, None before London).

        It is `gas_price` if that is set. It is at most `max_gas_price`, also if the base fee is higher.
        """
        if self.gas_price is not None:
            return self.gas_price
        # The tip is limited by what the maximum leaves above the base fee (EIP-1559).
        return min(self.max_gas_price, (base_fee or 0) + (self.max_priority_fee_per_gas or 0))

    def signing_hash(self) -> bytes:
        """The hash (32 bytes) that the sender signed (EIP-155, EIP-2718)."""
        # The signed bytes are in `raw`, before the signature. Encoding a long access list again takes 0.3 s.
        content = rlp.list_content(self.raw if self.type == LEGACY else self.raw[1:])
        signature = sum(len(rlp.encode(rlp.encode_scalar(number))) for number in (self.v, self.r, self.s))
        payload = content[:-signature]
        if self.type != LEGACY:
            return keccak256(bytes([self.type]) + rlp.wrap_list(payload))
        # EIP-155 signs the chain id and two empty items in the place of the signature.
        if self.chain_id is not None:
            payload += rlp.encode(rlp.encode_scalar(self.chain_id)) + rlp.encode(b"") * 2
        return keccak256(rlp.wrap_list(payload))

    def to_item(self) -> RlpItem:
        """The transaction in a block body, ready for `rlp.encode`: a decoded list for a legacy transaction, the bytes
        of `raw` for a typed one."""
        return rlp.decode(self.raw) if self.type == LEGACY else self.raw

    def encoded_item(self) -> bytes:
        """The RLP of `to_item`: `raw` for a legacy transaction, and the RLP string of `raw` for a typed one."""
        return self.raw if self.type == LEGACY else rlp.encode(self.raw)

    @classmethod
    def decode(cls, raw: bytes) -> "Transaction":
        """Decode a canonical encoding (see `raw`). Raises RlpError if the bytes are malformed or of an unknown type.
        The signature is not verified.

        For a long transaction (`LONG_BYTES`) that is still in memory, for example in the pool, the same object is
        returned. Copies of its bytes come with every announcement and proposal.
        """
        if len(raw) < LONG_BYTES:
            return _decode(raw)
        # The hash is cheap beside the decoding: a long access list has tens of thousands of items.
        known = _LONG_IN_MEMORY.get(keccak256(raw))
        if known is None:
            known = _decode(raw)
            _LONG_IN_MEMORY[known.hash] = known
        return known

    @classmethod
    def from_item(cls, item: RlpItem) -> "Transaction":
        """The transaction of a decoded item of a block body or a Transactions message. Raises RlpError if it is
        malformed or of an unknown type. The signature is not verified."""
        # A legacy transaction is encoded again: strict decoding makes the result equal to the received bytes.
        if isinstance(item, list):
            return _decode_legacy(item, rlp.encode(item))
        if not item or item[0] >= 0xC0:
            raise RlpError("transaction: a typed transaction must start with its type byte")
        return cls.decode(item)


def encode_signed_transaction(type_: int, payload: Sequence[RlpValue], v: int, r: int, s: int) -> bytes:
    """The canonical encoding of a transaction of the type `type_` from its unsigned fields `payload`, in order, and its
    signature. For a legacy transaction `payload` has the six fields from nonce to data, and `v` is the full v. For
    other types `v` is the parity. Nothing is checked."""
    body = rlp.encode([*payload, rlp.encode_scalar(v), rlp.encode_scalar(r), rlp.encode_scalar(s)])
    return body if type_ == LEGACY else bytes([type_]) + body


_LONG_IN_MEMORY: WeakValueDictionary[bytes, Transaction] = WeakValueDictionary()
"""Long transactions that something holds, by their hash. The hash covers all bytes, so every reader may share them."""


def _decode(raw: bytes) -> Transaction:
    if not raw:
        raise RlpError("transaction: no bytes")
    if raw[0] >= 0xC0:
        return _decode_legacy(rlp.decode_list(raw, "transaction"), raw)
    if raw[0] not in _ACCESS_LIST_INDEX:
        raise RlpError(f"transaction: unknown type {raw[0]:#04x}")
    # Before the decoding: an unknown type has unknown fields.
    payload = raw[1:]
    apart = _split_access_list(raw[0], payload) if len(raw) >= LONG_BYTES else None
    access_list, rest = (None, payload) if apart is None else apart
    return _decode_typed(raw[0], RlpFields(rlp.decode_list(rest, "transaction"), "transaction"), raw, access_list)


def _split_access_list(type_: int, payload: bytes) -> tuple[AccessList, bytes] | None:
    """The access list of a typed transaction's payload, and the payload with an empty list in its place.

    None if the access list is not regular. The whole payload must be decoded then, and the decoder names the fault.
    """
    parts = split_list_at(payload, _ACCESS_LIST_INDEX[type_])
    access_list = None if parts is None else read_access_list(parts[1])
    if parts is None or access_list is None:
        return None
    return access_list, rlp.wrap_list(parts[0] + rlp.encode([]) + parts[2])


def _decode_legacy(items: list[RlpItem], raw: bytes) -> Transaction:
    fields = RlpFields(items, "transaction")
    nonce, gas_price, gas_limit = fields.scalar("nonce", 8), fields.scalar("gasPrice"), fields.scalar("gasLimit", 8)
    to, value, data = fields.optional_bytes("to", 20), fields.scalar("value"), fields.bytes("data")
    v, r, s = fields.scalar("v"), fields.scalar("r"), fields.scalar("s")
    fields.check_no_fields_left()
    # Values between 28 and 35 do not exist: EIP-155 starts at 35 with chain id 0.
    if v in (27, 28):
        chain_id = None
    elif v >= 35:
        chain_id = (v - 35) // 2
    else:
        raise RlpError(f"transaction.v: 27, 28 or at least 35 was expected, found {v}")
    return _transaction(LEGACY, raw, chain_id, nonce, gas_limit, to, value, data, (v, r, s), gas_price=gas_price)


def _decode_typed(type_: int, fields: RlpFields, raw: bytes, apart: AccessList | None) -> Transaction:
    """The transaction of the fields of a typed one. `apart` is its access list, if it was read before."""
    chain_id, nonce = fields.scalar("chainId"), fields.scalar("nonce", 8)
    gas_price, fees = None, None
    if type_ == ACCESS_LIST:
        gas_price = fields.scalar("gasPrice")
    else:
        fees = (fields.scalar("maxPriorityFeePerGas"), fields.scalar("maxFeePerGas"))
    gas_limit = fields.scalar("gasLimit", 8)
    # Blob and set-code transactions cannot create a contract (EIP-4844, EIP-7702).
    to = fields.optional_bytes("to", 20) if type_ in (ACCESS_LIST, FEE_MARKET) else fields.bytes("to", 20)
    value, data, access_list = fields.scalar("value"), fields.bytes("data"), _access_list(fields, apart)
    blob_fee: int | None = None
    blob_hashes: tuple[bytes, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    if type_ == BLOB:
        blob_fee = fields.scalar("maxFeePerBlobGas")
        blob_hashes = tuple(rlp.as_bytes(item, "blobVersionedHash", 32) for item in fields.list("blobVersionedHashes"))
    if type_ == SET_CODE:
        authorizations = tuple(_authorization(item) for item in fields.list("authorizationList"))
    return _transaction(
        type_,
        raw,
        chain_id,
        nonce,
        gas_limit,
        to,
        value,
        data,
        _signature(fields),
        access_list,
        gas_price=gas_price,
        fees=fees,
        blob_fee=blob_fee,
        blob_hashes=blob_hashes,
        authorizations=authorizations,
    )


def _access_list(fields: RlpFields, read_apart: AccessList | None) -> AccessList:
    items = fields.list("accessList")
    if read_apart is not None:
        return read_apart
    entries = []
    for item in items:
        entry = RlpFields(rlp.as_list(item, "accessListEntry"), "accessListEntry")
        address = entry.bytes("address", 20)
        keys = tuple(rlp.as_bytes(key, "storageKey", 32) for key in entry.list("storageKeys"))
        entry.check_no_fields_left()
        entries.append((address, keys))
    return tuple(entries)


def _authorization(item: RlpItem) -> Authorization:
    fields = RlpFields(rlp.as_list(item, "authorization"), "authorization")
    authorization = Authorization(
        chain_id=fields.scalar("chainId"),
        address=fields.bytes("address", 20),
        nonce=fields.scalar("nonce", 8),
        y_parity=fields.scalar("yParity", 1),
        r=fields.scalar("r"),
        s=fields.scalar("s"),
    )
    fields.check_no_fields_left()
    return authorization


def _signature(fields: RlpFields) -> tuple[int, int, int]:
    signature = (fields.scalar("yParity", 1), fields.scalar("r"), fields.scalar("s"))
    fields.check_no_fields_left()
    if signature[0] > 1:
        raise RlpError(f"transaction.yParity: 0 or 1 was expected, found {signature[0]}")
    return signature


def _transaction(
    type_: int,
    raw: bytes,
    chain_id: int | None,
    nonce: int,
    gas_limit: int,
    to: bytes | None,
    value: int,
    data: bytes,
    signature: tuple[int, int, int],
    access_list: tuple[AccessListEntry, ...] = (),
    *,
    gas_price: int | None = None,
    fees: tuple[int, int] | None = None,
    blob_fee: int | None = None,
    blob_hashes: tuple[bytes, ...] = (),
    authorizations: tuple[Authorization, ...] = (),
) -> Transaction:
    return Transaction(
        type=type_,
        chain_id=chain_id,
        nonce=nonce,
        gas_price=gas_price,
        max_priority_fee_per_gas=fees[0] if fees else None,
        max_fee_per_gas=fees[1] if fees else None,
        gas_limit=gas_limit,
        to=to,
        value=value,
        data=data,
        access_list=access_list,
        max_fee_per_blob_gas=blob_fee,
        blob_versioned_hashes=blob_hashes,
        authorizations=authorizations,
        v=signature[0],
        r=signature[1],
        s=signature[2],
        raw=raw,
        hash=keccak256(raw),
    )
