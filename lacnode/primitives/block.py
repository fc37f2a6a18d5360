"""A block: header, transactions, ommers (none under IBFT 2.0), and withdrawals from Shanghai on."""

from dataclasses import dataclass

from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem
from lacnode.primitives.rlp_spans import EMPTY_LIST, content_of_string, encoded_items_of, encoded_list_length
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class BlockBody:
    """The body of a block. `ommers` are kept only to be refused by a rule. Each of `withdrawals` is the RLP of one
    withdrawal. `withdrawals` is None for a body without this list, as every body before Shanghai is."""

    transactions: tuple[Transaction, ...] = ()
    ommers: tuple[BlockHeader, ...] = ()
    withdrawals: tuple[bytes, ...] | None = None

    def encoded_fields(self) -> list[bytes]:
        """The encoded items of the body's list: the list of transactions, the list of ommers, and the list of
        withdrawals unless it is None."""
        # The transactions keep their bytes. Decoding and encoding megabytes of them for each message would take long.
        fields = [
            rlp.list_of_encoded(*[transaction.encoded_item() for transaction in self.transactions]),
            rlp.encode([ommer.fields() for ommer in self.ommers]),
        ]
        if self.withdrawals is not None:
            fields.append(rlp.list_of_encoded(*self.withdrawals))
        return fields

    def encode(self) -> bytes:
        """Encode `[transactions, ommers]` or `[transactions, ommers, withdrawals]`, as in a BlockBodies message."""
        return rlp.list_of_encoded(*self.encoded_fields())

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "BlockBody":
        """Decode the two or three items of a body. Raises RlpError if they are malformed. Signatures and rules of the
        chain are not checked."""
        fields = RlpFields(items, "body")
        transactions = tuple(Transaction.from_item(item) for item in fields.list("transactions"))
        ommers = tuple(BlockHeader.from_item(item) for item in fields.list("ommers"))
        withdrawals = None
        # The number of items decides, and not the fork: a body alone does not know its block.
        if fields.remaining:
            # Kept as bytes: no rule of this network reads a withdrawal.
            withdrawals = tuple(rlp.encode(item) for item in fields.list("withdrawals"))
        fields.check_no_fields_left()
        return cls(transactions, ommers, withdrawals)

    @classmethod
    def decode(cls, data: bytes) -> "BlockBody":
        """Decode a body that this node has stored, as `encode` made it. It may have more items than a message. Raises
        RlpError if the bytes are malformed."""
        return cls.from_items(rlp.decode_stored_list(data, "body"))


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its body. In RLP it is `[header, transactions, ommers]`, with the withdrawals as fourth item unless
    the body has None."""

    header: BlockHeader
    body: BlockBody

    @property
    def number(self) -> int:
        """The number in the header."""
        return self.header.number

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """The transactions of the body, in order. They are decoded already. Empty for a block that was made without its
        body."""
        return self.body.transactions

    def encode(self) -> bytes:
        """Encode the block in RLP: one list of header, transactions, ommers and, unless they are None, withdrawals. It
        is the form of eth and `debug_getRawBlock`."""
        return rlp.list_of_encoded(self.header.encode(), *self.body.encoded_fields())

    def with_header(self, header: BlockHeader) -> "Block":
        """A new block of the same body and another header. The two are not compared."""
        return Block(header, self.body)

    @classmethod
    def decode(cls, data: bytes) -> "Block":
        """Decode the RLP of one block. Raises RlpError if the bytes are malformed. Whether the body fits the header is
        not checked."""
        return cls.from_item(rlp.decode(data))

    @classmethod
    def from_item(cls, item: RlpItem) -> "Block":
        """The block of a decoded list. Raises RlpError if it is malformed. Whether the body fits the header is not
        checked."""
        return Block.from_item_without_body(item).with_body_from_item(item)

    @classmethod
    def from_item_without_body(cls, item: RlpItem) -> "Block":
        """Decode the header of the whole block in the decoded list `item`, and return it with an empty body. The items
        of the body are not read: there may be megabytes. `with_body_from_item` reads them. Raises RlpError if the list
        or the header is malformed."""
        items = rlp.as_list(item, "block")
        if len(items) not in (3, 4):
            raise RlpError(f"block: 3 or 4 items were expected, found {len(items)}")
        return cls(BlockHeader.from_item(items[0]), BlockBody())

    def with_body_from_item(self, item: RlpItem) -> "Block":
        """The same header with the body of the block in `item`, a decoded list. The header in `item` is not read.
        Raises RlpError if the body is malformed."""
        return Block(self.header, BlockBody.from_items(rlp.as_list(item, "block")[1:]))


@dataclass(frozen=True, slots=True)
class BlockOutline:
    """A block without its transactions: the header, the hashes of the transactions (32 bytes each, in order), and the
    length (`size_bytes`) of the RLP of the whole block."""

    header: BlockHeader
    transaction_hashes: tuple[bytes, ...]
    size_bytes: int

    @classmethod
    def from_block(cls, block: Block) -> "BlockOutline":
        """The outline of a decoded block."""
        hashes = tuple(transaction.hash for transaction in block.transactions)
        return cls(block.header, hashes, len(block.encode()))

    @classmethod
    def from_stored_body(cls, header: BlockHeader, stored_body: bytes) -> "BlockOutline":
        """The outline of a stored body, as `BlockBody.encode` made it. `header` must be the header of its block, which
        is not checked. The transactions are not decoded. Raises ValueError if `stored_body` is not a list."""
        parts = list(encoded_items_of(stored_body))
        # A legacy transaction is a list in the body, and a typed one is a string. The hash covers the content.
        hashes = tuple(
            keccak256(item if item[0] >= EMPTY_LIST else content_of_string(item)) for item in encoded_items_of(parts[0])
        )
        return cls(header, hashes, encoded_list_length(len(header.encode()) + sum(map(len, parts))))
