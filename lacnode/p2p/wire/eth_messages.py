"""The messages of `eth/62` to `eth/68` as values, and their bodies in each version.

Follows devp2p caps/eth.md and Besu's `EthPV62` to `EthPV68`. `decode` is strict, like Besu's reader: an RlpError leads to
Disconnect 02, breach of protocol. Must not know the open requests, and must not validate blocks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from lacnode.chainspec.forks import ForkId
from lacnode.p2p.wire.eth_fields import (
    FIRST_VERSION_WITH_REQUEST_IDS,
    decode_fork_id,
    decode_hash_and_number,
    decode_hashes,
    decode_transactions,
    encode_transactions,
    encode_with_request_id,
    fields_of,
    prepend_request_id,
)
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.rlp import RlpError, RlpItem, RlpValue
from lacnode.primitives.rlp_spans import EMPTY_LIST, item_end, split_list
from lacnode.primitives.transaction import SET_CODE, Transaction

FIRST_VERSION_WITH_FORK_ID = 64
FIRST_VERSION_WITH_TRANSACTION_TYPES = 68

MAX_SMALL_BODY_BYTES = 256 * 1024
"""Largest body, in bytes, of a request or an announcement. The largest honest one, 4096 hashes with types and
sizes, has 155 KB. A frame full of empty lists would take seconds and a gigabyte of memory to decode."""

MAX_HEADERS_ITEMS = 10_000
"""Byte strings and lists in an answer with headers. This node asks for 192 at most, and a header has 22 of them. Without
this bound an answer of a million strings takes five seconds to be refused."""

MAX_STATUS_BYTES = 1024
"""Largest body of a Status, in bytes. A correct one has fewer than 200. A stranger may send it before it is a peer."""

_MOST_HEADER_FIELDS = 21


class EthMessage(Protocol):
    """A message of the `eth` protocol. `CODE` is relative: add the protocol's offset."""

    CODE: ClassVar[int]

    def encode(self, version: int) -> bytes:
        """Return the body as RLP in version `version` of the protocol (62 to 68), before compression."""


# -- Status and announcements: codes 0x00 to 0x02 --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """The first message of each side: its network, and the head of its chain. Hashes have 32 bytes. `total_difficulty`
    is that of the head. `fork_id` is None before eth/64 (EIP-2364).
    """

    CODE: ClassVar[int] = 0x00

    version: int
    network_id: int
    total_difficulty: int
    best_hash: bytes
    genesis_hash: bytes
    fork_id: ForkId | None

    def encode(self, version: int) -> bytes:
        """Return the body of the message as RLP in `version` of the `eth` protocol (62 to 68). ValueError if a fork id
        is needed and missing."""
        fields: list[RlpValue] = [
            rlp.encode_scalar(self.version),
            rlp.encode_scalar(self.network_id),
            rlp.encode_scalar(self.total_difficulty),
            self.best_hash,
            self.genesis_hash,
        ]
        if version >= FIRST_VERSION_WITH_FORK_ID:
            if self.fork_id is None:
                raise ValueError(f"a Status of eth/{version} needs a fork id")
            fields.append([self.fork_id.hash, rlp.encode_scalar(self.fork_id.next)])
        return rlp.encode(fields)

    @classmethod
    def from_item(cls, version: int, _: int, item: RlpItem) -> "Status":
        """Return the message with the body `item`, which is decoded RLP, in `version` of the `eth` protocol. The
        request id is not used. RlpError if it is malformed."""
        fields = fields_of(item, "status")
        status = cls(
            version=fields.scalar("version", 4),
            network_id=fields.scalar("networkId"),
            total_difficulty=fields.scalar("totalDifficulty"),
            best_hash=fields.bytes("bestHash", 32),
            genesis_hash=fields.bytes("genesisHash", 32),
            fork_id=decode_fork_id(fields.item("forkId")) if version >= FIRST_VERSION_WITH_FORK_ID else None,
        )
        fields.check_no_fields_left()
        return status


@dataclass(frozen=True, slots=True)
class NewBlockHashes:
    """Announces blocks of the sender: hash (32 bytes) and number of each."""

    CODE: ClassVar[int] = 0x01

    blocks: tuple[tuple[bytes, int], ...]

    def encode(self, version: int) -> bytes:
        """Return the body of the message as RLP. It is the same in every version of the `eth` protocol."""
        return rlp.encode([[block_hash, rlp.encode_scalar(number)] for block_hash, number in self.blocks])

    @classmethod
    def from_item(cls, _: int, __: int, item: RlpItem) -> "NewBlockHashes":
        """Return the message with the body `item`, which is decoded RLP. Version and request id are not used. RlpError
        if it is malformed."""
        return cls(tuple(decode_hash_and_number(entry) for entry in rlp.as_list(item, "newBlockHashes")))


@dataclass(frozen=True, slots=True)
class Transactions:
    """Whole transactions that the sender pushes without a request."""

    CODE: ClassVar[int] = 0x02

    transactions: tuple[Transaction, ...]

    def encode(self, version: int) -> bytes:
        """Return the body of the message as RLP. It is the same in every version of the `eth` protocol."""
        return encode_transactions(self.transactions)

    @classmethod
    def from_item(cls, _: int, __: int, item: RlpItem) -> "Transactions":
        """Return the message with the body `item`, which is decoded RLP. Version and request id are not used. RlpError
        if it is malformed."""
        return cls(decode_transactions(item, "transactions"))


# -- headers and bodies: codes 0x03 to 0x06 --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetBlockHeaders:
    """Requests up to `limit` headers, the first one that of `start` (a 32-byte hash or a number).

    `skip` headers are left out between each two. With `reverse` the numbers fall.
    """

    CODE: ClassVar[int] = 0x03

    request_id: int
    start: bytes | int
    limit: int
    skip: int = 0
    reverse: bool = False

    def encode(self, version: int) -> bytes:
        """Return the body of the request as RLP in `version` of the `eth` protocol (62 to 68). From eth/66 on it has
        the request id."""
        start = self.start if isinstance(self.start, bytes) else rlp.encode_scalar(self.start)
        reverse = b"\1" if self.reverse else b""
        return encode_with_request_id(
            version, self.request_id, [start, rlp.encode_scalar(self.limit), rlp.encode_scalar(self.skip), reverse]
        )

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "GetBlockHeaders":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        fields = fields_of(item, "getBlockHeaders")
        start = fields.bytes("start")
        message = cls(
            request_id=request_id,
            # A scalar has at most 8 bytes here. The length alone tells a hash from a number.
            start=start if len(start) == 32 else rlp.as_scalar(start, "getBlockHeaders.start", 8),
            limit=fields.scalar("maxHeaders", 8),
            skip=fields.scalar("skip", 8),
            reverse=fields.scalar("reverse", 1) != 0,
        )
        fields.check_no_fields_left()
        return message


@dataclass(frozen=True, slots=True)
class BlockHeaders:
    """Answers GetBlockHeaders. There may be fewer headers than requested, or none."""

    CODE: ClassVar[int] = 0x04

    request_id: int
    headers: tuple[BlockHeader, ...]

    def encode(self, version: int) -> bytes:
        """Return the body of the answer as RLP in `version` of the `eth` protocol (62 to 68). From eth/66 on it has the
        request id."""
        return encode_with_request_id(version, self.request_id, [header.fields() for header in self.headers])

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "BlockHeaders":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        headers = tuple(BlockHeader.from_item(header) for header in rlp.as_list(item, "blockHeaders"))
        return cls(request_id, headers)


@dataclass(frozen=True, slots=True)
class _HashesRequest:
    """A request that lists 32-byte hashes."""

    request_id: int
    hashes: tuple[bytes, ...]

    def encode(self, version: int) -> bytes:
        """See `EthMessage.encode`."""
        return encode_with_request_id(version, self.request_id, self.hashes)


@dataclass(frozen=True, slots=True)
class GetBlockBodies(_HashesRequest):
    """Requests the bodies of the blocks with these hashes (32 bytes)."""

    CODE: ClassVar[int] = 0x05

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "GetBlockBodies":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        return cls(request_id, decode_hashes(item, "getBlockBodies"))


@dataclass(frozen=True, slots=True)
class BlockBodies:
    """Answers GetBlockBodies, in the order of the request. Unknown blocks are left out."""

    CODE: ClassVar[int] = 0x06

    request_id: int
    bodies: tuple[BlockBody, ...]

    def encode(self, version: int) -> bytes:
        """Return the body of the answer as RLP in `version` of the `eth` protocol (62 to 68). From eth/66 on it has the
        request id."""
        return prepend_request_id(
            version, self.request_id, rlp.list_of_encoded(*[body.encode() for body in self.bodies])
        )

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "BlockBodies":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        bodies = rlp.as_list(item, "blockBodies")
        return cls(request_id, tuple(BlockBody.from_items(rlp.as_list(body, "blockBody")) for body in bodies))


# -- new blocks: code 0x07 -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block that the sender pushes, with the total difficulty of the chain up to and including it."""

    CODE: ClassVar[int] = 0x07

    block: Block
    total_difficulty: int

    def encode(self, version: int) -> bytes:
        """Return the body of the message as RLP. It is the same in every version of the `eth` protocol."""
        return rlp.list_of_encoded(self.block.encode(), rlp.encode(rlp.encode_scalar(self.total_difficulty)))

    @classmethod
    def from_item(cls, _: int, __: int, item: RlpItem) -> "NewBlock":
        """Return the message with the body `item`, which is decoded RLP. Version and request id are not used. RlpError
        if it is malformed."""
        fields = fields_of(item, "newBlock")
        message = cls(Block.from_item(fields.item("block")), fields.scalar("totalDifficulty"))
        fields.check_no_fields_left()
        return message


@dataclass(frozen=True, slots=True)
class EncodedNewBlock:
    """A `NewBlock` that is encoded once and sent to several peers. All versions have the same body."""

    CODE: ClassVar[int] = NewBlock.CODE

    body: bytes

    @classmethod
    def from_block(cls, block: Block, total_difficulty: int) -> "EncodedNewBlock":
        """Return the encoded announcement of `block`. `total_difficulty` is that of the chain up to and including the
        block."""
        # The version does not matter, since all have the same body.
        return cls(NewBlock(block, total_difficulty).encode(FIRST_VERSION_WITH_FORK_ID))

    def encode(self, version: int) -> bytes:
        """Return the body that was encoded before. It is the same in every version of the `eth` protocol."""
        return self.body


def header_of_new_block(body: bytes) -> BlockHeader:
    """Return the header in the body of a NewBlock, without reading the transactions. RlpError if there is no header."""
    begin = body[: 2 * MAX_SMALL_BODY_BYTES]  # more is no header
    block = rlp.content_of_first_list(rlp.content_of_first_list(begin))
    encoded = block[: item_end(block, 0)] if block else b""
    fields = split_list(encoded, _MOST_HEADER_FIELDS)
    # Before the decoding, which is done on the event loop: a false header of small lists would hold it for a third of a
    # second.
    if fields is None or any(field[0] >= EMPTY_LIST for field in fields):
        raise RlpError(f"header: a list of at most {_MOST_HEADER_FIELDS} byte strings was expected")
    return BlockHeader.from_item(rlp.decode(encoded))


# -- pooled transactions: codes 0x08 to 0x0A -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewPooledTransactionHashes:
    """Announces pooled transactions of the sender by their 32-byte hashes. From eth/68 on, `types` has the type of each and
    `sizes` the bytes of its canonical encoding (EIP-5793). Before eth/68, both are empty."""

    CODE: ClassVar[int] = 0x08

    hashes: tuple[bytes, ...]
    types: bytes = b""
    sizes: tuple[int, ...] = ()

    @classmethod
    def from_transactions(cls, transactions: Iterable[Transaction]) -> "NewPooledTransactionHashes":
        """Return the announcement of `transactions`. It can be encoded for every version."""
        announced = tuple(transactions)
        return cls(
            hashes=tuple(transaction.hash for transaction in announced),
            types=bytes(transaction.type for transaction in announced),
            sizes=tuple(len(transaction.raw) for transaction in announced),
        )

    def encode(self, version: int) -> bytes:
        """Return the body of the message as RLP in `version` of the `eth` protocol (65 to 68). From eth/68 on it has
        types and sizes. ValueError if one of them is missing then."""
        if version < FIRST_VERSION_WITH_TRANSACTION_TYPES:
            return rlp.encode(self.hashes)
        if not len(self.types) == len(self.sizes) == len(self.hashes):
            raise ValueError("an announcement of eth/68 needs a type and a size for each hash")
        return rlp.encode([self.types, [rlp.encode_scalar(size) for size in self.sizes], self.hashes])

    @classmethod
    def from_item(cls, version: int, _: int, item: RlpItem) -> "NewPooledTransactionHashes":
        """Return the message with the body `item`, which is decoded RLP, in `version` of the `eth` protocol. The
        request id is not used. RlpError if it is malformed or the three lists differ in length."""
        what = "newPooledTransactionHashes"
        if version < FIRST_VERSION_WITH_TRANSACTION_TYPES:
            return cls(decode_hashes(item, what))
        fields = fields_of(item, what)
        types = fields.bytes("types")
        sizes = tuple(rlp.as_scalar(size, f"{what}.size", 4) for size in fields.list("sizes"))
        hashes = decode_hashes(fields.item("hashes"), f"{what}.hashes")
        fields.check_no_fields_left()
        if not len(types) == len(sizes) == len(hashes):
            raise RlpError(f"{what}: {len(types)} types, {len(sizes)} sizes and {len(hashes)} hashes")
        if types and max(types) > SET_CODE:
            raise RlpError(f"{what}: unknown transaction type {max(types):#04x}")
        return cls(hashes, types, sizes)


@dataclass(frozen=True, slots=True)
class GetPooledTransactions(_HashesRequest):
    """Requests pooled transactions by their hashes (32 bytes)."""

    CODE: ClassVar[int] = 0x09

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "GetPooledTransactions":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        return cls(request_id, decode_hashes(item, "getPooledTransactions"))


@dataclass(frozen=True, slots=True)
class PooledTransactions:
    """Answers GetPooledTransactions. Transactions that are no longer pooled are left out."""

    CODE: ClassVar[int] = 0x0A

    request_id: int
    transactions: tuple[Transaction, ...]

    def encode(self, version: int) -> bytes:
        """Return the body of the answer as RLP in `version` of the `eth` protocol (65 to 68). From eth/66 on it has the
        request id."""
        return prepend_request_id(version, self.request_id, encode_transactions(self.transactions))

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "PooledTransactions":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        return cls(request_id, decode_transactions(item, "pooledTransactions"))


# -- state and receipts: codes 0x0D to 0x10 --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetNodeData(_HashesRequest):
    """Requests state trie nodes by their hashes (32 bytes, eth/63 to eth/66). This node answers with an empty list."""

    CODE: ClassVar[int] = 0x0D

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "GetNodeData":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        return cls(request_id, decode_hashes(item, "getNodeData"))


@dataclass(frozen=True, slots=True)
class NodeData:
    """Answers GetNodeData: the values of the nodes that the sender has, in the order of the request."""

    CODE: ClassVar[int] = 0x0E

    request_id: int
    values: tuple[bytes, ...] = ()

    def encode(self, version: int) -> bytes:
        """Return the body of the answer as RLP in `version` of the `eth` protocol (63 to 66). In eth/66 it has the
        request id."""
        return encode_with_request_id(version, self.request_id, self.values)

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "NodeData":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        values = tuple(rlp.as_bytes(value, "nodeData") for value in rlp.as_list(item, "nodeData"))
        return cls(request_id, values)


@dataclass(frozen=True, slots=True)
class GetReceipts(_HashesRequest):
    """Requests the receipts of the blocks with these hashes (32 bytes)."""

    CODE: ClassVar[int] = 0x0F

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "GetReceipts":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        return cls(request_id, decode_hashes(item, "getReceipts"))


@dataclass(frozen=True, slots=True)
class Receipts:
    """Answers GetReceipts: for each block, in the order of the request, the receipts of its transactions. Unknown blocks are
    left out."""

    CODE: ClassVar[int] = 0x10

    request_id: int
    receipts: tuple[tuple[Receipt, ...], ...]

    def encode(self, version: int) -> bytes:
        """Return the body of the answer as RLP in `version` of the `eth` protocol (63 to 68). From eth/66 on it has the
        request id."""
        return encode_with_request_id(
            version, self.request_id, [[receipt.to_item() for receipt in from_item] for from_item in self.receipts]
        )

    @classmethod
    def from_item(cls, _: int, request_id: int, item: RlpItem) -> "Receipts":
        """Return the message with this `request_id` (0 before eth/66) and the content `item`, which is decoded RLP
        without the request id. RlpError if it is malformed."""
        blocks = (rlp.as_list(block, "blockReceipts") for block in rlp.as_list(item, "receipts"))
        return cls(request_id, tuple(tuple(Receipt.from_item(receipt) for receipt in block) for block in blocks))


@dataclass(frozen=True, slots=True)
class EncodedReceipts:
    """A `Receipts` message whose receipts are encoded already, each as `Receipt.encode` makes it. A block may have so many
    logs that their objects take fifty times the bytes."""

    CODE: ClassVar[int] = Receipts.CODE

    request_id: int
    receipts: tuple[Sequence[bytes], ...]

    def encode(self, version: int) -> bytes:
        """Return the body that a `Receipts` message with these receipts has in `version` of the `eth` protocol, as RLP."""
        blocks = [rlp.list_of_encoded(*map(_receipt_item, block)) for block in self.receipts]
        return prepend_request_id(version, self.request_id, rlp.list_of_encoded(*blocks))


def _receipt_item(encoded: bytes) -> bytes:
    """Return an encoded receipt as an item of a message: a list, or a byte string for a typed one."""
    return encoded if encoded[0] >= EMPTY_LIST else rlp.encode(encoded)


# -- decoding --------------------------------------------------------------------------------------------------------

# All decoders take version, request id and item, so that one table can hold them. Most need only some of the three.
_Decoder: TypeAlias = Callable[[int, int, RlpItem], EthMessage]
_NO_LAST_VERSION = 1_000

_MESSAGES: dict[int, tuple[int, int, _Decoder]] = {
    Status.CODE: (62, _NO_LAST_VERSION, Status.from_item),
    NewBlockHashes.CODE: (62, _NO_LAST_VERSION, NewBlockHashes.from_item),
    Transactions.CODE: (62, _NO_LAST_VERSION, Transactions.from_item),
    GetBlockHeaders.CODE: (62, _NO_LAST_VERSION, GetBlockHeaders.from_item),
    BlockHeaders.CODE: (62, _NO_LAST_VERSION, BlockHeaders.from_item),
    GetBlockBodies.CODE: (62, _NO_LAST_VERSION, GetBlockBodies.from_item),
    BlockBodies.CODE: (62, _NO_LAST_VERSION, BlockBodies.from_item),
    NewBlock.CODE: (62, _NO_LAST_VERSION, NewBlock.from_item),
    NewPooledTransactionHashes.CODE: (65, _NO_LAST_VERSION, NewPooledTransactionHashes.from_item),
    GetPooledTransactions.CODE: (65, _NO_LAST_VERSION, GetPooledTransactions.from_item),
    PooledTransactions.CODE: (65, _NO_LAST_VERSION, PooledTransactions.from_item),
    # eth/67 has removed these two messages (EIP-4938).
    GetNodeData.CODE: (63, 67, GetNodeData.from_item),
    NodeData.CODE: (63, 67, NodeData.from_item),
    GetReceipts.CODE: (63, _NO_LAST_VERSION, GetReceipts.from_item),
    Receipts.CODE: (63, _NO_LAST_VERSION, Receipts.from_item),
}
"""By code: the first version with the message, the first later version without it, and the decoder."""

_WITHOUT_REQUEST_ID = frozenset(
    message.CODE for message in (Status, NewBlockHashes, Transactions, NewBlock, NewPooledTransactionHashes)
)

_REQUESTS = (GetBlockHeaders, GetBlockBodies, GetPooledTransactions, GetNodeData, GetReceipts)
_SMALL = frozenset(message.CODE for message in (Status, NewBlockHashes, NewPooledTransactionHashes, *_REQUESTS))

_ANNOUNCEMENTS = (Status, NewBlockHashes, Transactions, NewBlock, NewPooledTransactionHashes)
_ANSWERS = (BlockHeaders, BlockBodies, PooledTransactions, NodeData, Receipts)
MESSAGE_NAMES = {message.CODE: message.__name__ for message in (*_ANNOUNCEMENTS, *_REQUESTS, *_ANSWERS)}
"""The name of each message in the specification, by its code."""


def decode_eth_message(version: int, code: int, body: bytes) -> EthMessage:
    """Decode the uncompressed body of the message with `code` in `eth/<version>`. Request ids are 0 before eth/66.

    RlpError if the version has no such code, if the body is malformed or has too many items, or if a request, a Status
    or an announcement of hashes is too long.
    """
    # An unknown code gets a range that contains no version.
    since, until, decoder = _MESSAGES.get(code, (_NO_LAST_VERSION, _NO_LAST_VERSION, Status.from_item))
    if not since <= version < until:
        raise RlpError(f"eth/{version} has no message {code:#04x}")
    # Before the first decoding: only answers and pushed blocks and transactions have a reason to be long.
    most = MAX_STATUS_BYTES if code == Status.CODE else MAX_SMALL_BODY_BYTES
    if code in _SMALL and len(body) > most:
        raise RlpError(f"eth message {code:#04x}: at most {most} bytes were expected, found {len(body)}")
    item = rlp.decode(body, MAX_HEADERS_ITEMS if code == BlockHeaders.CODE else rlp.MAX_ITEMS)
    # Messages that no request belongs to have no id in any version.
    if version < FIRST_VERSION_WITH_REQUEST_IDS or code in _WITHOUT_REQUEST_ID:
        return decoder(version, 0, item)
    fields = fields_of(item, "request")
    request_id, inner = fields.scalar("requestId", 8), fields.item("message")
    fields.check_no_fields_left()
    return decoder(version, request_id, inner)
