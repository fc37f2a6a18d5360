"""A block: header, transactions, ommers (always none under IBFT 2.0), and withdrawals from Shanghai on."""

from dataclasses import dataclass

from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem
from lacnode.primitives.rlp_spans import EMPTY_LIST, content_of_string, items_of, list_length
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class BlockBody:
    """What a header commits to. `ommers` are kept only to be refused by rule; `withdrawals` is None before Shanghai."""

    transactions: tuple[Transaction, ...] = ()
    ommers: tuple[BlockHeader, ...] = ()
    withdrawals: tuple[bytes, ...] | None = None

    def encoded_fields(self) -> list[bytes]:
        """What the list of the body holds, each RLP. Transactions are not decoded again for it."""
        fields = [
            rlp.list_of_encoded(*[transaction.encoded_item() for transaction in self.transactions]),
            rlp.encode([ommer.fields() for ommer in self.ommers]),
        ]
        if self.withdrawals is not None:
            fields.append(rlp.list_of_encoded(*self.withdrawals))
        return fields

    def encode(self) -> bytes:
        """`[transactions, ommers]` or `[transactions, ommers, withdrawals]`, as BlockBodies holds it."""
        return rlp.list_of_encoded(*self.encoded_fields())

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "BlockBody":
        """The body of a decoded list of two or three; RlpError if it is not one."""
        fields = RlpFields(items, "body")
        transactions = tuple(Transaction.from_item(item) for item in fields.list("transactions"))
        ommers = tuple(BlockHeader.from_item(item) for item in fields.list("ommers"))
        withdrawals = None
        if fields.remaining:
            withdrawals = tuple(rlp.encode(item) for item in fields.list("withdrawals"))
        fields.end()
        return cls(transactions, ommers, withdrawals)

    @classmethod
    def decode(cls, data: bytes) -> "BlockBody":
        """The body that this node has stored."""
        return cls.from_items(rlp.decode_stored_list(data, "body"))


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its body. RLP: `[header, transactions, ommers]`, and withdrawals where the fork has them."""

    header: BlockHeader
    body: BlockBody

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        return self.body.transactions

    def encode(self) -> bytes:
        return rlp.list_of_encoded(self.header.encode(), *self.body.encoded_fields())

    def with_header(self, header: BlockHeader) -> "Block":
        """The same body under another header."""
        return Block(header, self.body)

    @classmethod
    def decode(cls, data: bytes) -> "Block":
        return cls.from_item(rlp.decode(data))

    @classmethod
    def from_item(cls, item: RlpItem) -> "Block":
        """The block of a decoded list; RlpError if it is not one."""
        items = rlp.as_list(item, "block")
        if len(items) not in (3, 4):
            raise RlpError(f"block: 3 or 4 items were expected, found {len(items)}")
        return cls(BlockHeader.from_item(items[0]), BlockBody.from_items(items[1:]))


@dataclass(frozen=True, slots=True)
class BlockOutline:
    """What is said of a block without its transactions: their hashes, and the bytes of the whole block."""

    header: BlockHeader
    transaction_hashes: tuple[bytes, ...]
    size_bytes: int

    @classmethod
    def of(cls, block: Block) -> "BlockOutline":
        hashes = tuple(transaction.hash for transaction in block.transactions)
        return cls(block.header, hashes, len(block.encode()))

    @classmethod
    def of_stored(cls, header: BlockHeader, stored_body: bytes) -> "BlockOutline":
        """That of a body that this node has stored. The transactions are not decoded."""
        parts = list(items_of(stored_body))
        hashes = tuple(
            keccak256(item if item[0] >= EMPTY_LIST else content_of_string(item)) for item in items_of(parts[0])
        )
        return cls(header, hashes, list_length(len(header.encode()) + sum(map(len, parts))))
