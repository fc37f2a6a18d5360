"""The pieces that several `eth` messages are made of: request ids, lists of hashes, lists of transactions.

The messages themselves are `eth_messages`.
"""

from collections.abc import Sequence

from lacnode.chainspec.forks import ForkId
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpFields, RlpItem, RlpValue
from lacnode.primitives.transaction import Transaction

FIRST_VERSION_WITH_REQUEST_IDS = 66


def fields_of(item: RlpItem, what: str) -> RlpFields:
    """The items of the list `item`, to be taken by name."""
    return RlpFields(rlp.as_list(item, what), what)


def encode_request(version: int, request_id: int, content: RlpValue) -> bytes:
    """The body of a request or an answer: with its id from eth/66 on."""
    if version < FIRST_VERSION_WITH_REQUEST_IDS:
        return rlp.encode(content)
    return rlp.encode([rlp.scalar(request_id), content])


def wrap(version: int, request_id: int, encoded: bytes) -> bytes:
    """Like `encode_request`, for content that is RLP already."""
    if version < FIRST_VERSION_WITH_REQUEST_IDS:
        return encoded
    return rlp.list_of_encoded(rlp.encode(rlp.scalar(request_id)), encoded)


def encode_transactions(transactions: Sequence[Transaction]) -> bytes:
    """The list of transactions out of the bytes they came in, which spares decoding them again."""
    return rlp.list_of_encoded(*[each.encoded_item() for each in transactions])


def transactions_of(item: RlpItem, what: str) -> tuple[Transaction, ...]:
    """The transactions of a list."""
    return tuple(Transaction.from_item(transaction) for transaction in rlp.as_list(item, what))


def hashes_of(item: RlpItem, what: str) -> tuple[bytes, ...]:
    """The 32-byte hashes of a list."""
    return tuple(rlp.as_bytes(entry, what, 32) for entry in rlp.as_list(item, what))


def hash_and_number_of(item: RlpItem) -> tuple[bytes, int]:
    """A block's hash and number, as announced."""
    fields = fields_of(item, "newBlockHash")
    entry = (fields.bytes("hash", 32), fields.scalar("number", 8))
    fields.end()
    return entry


def fork_id_of(item: RlpItem) -> ForkId:
    """The fork id `[hash, next]`."""
    fields = fields_of(item, "forkId")
    fork_id = ForkId(fields.bytes("hash", 4), fields.scalar("next", 8))
    fields.end()
    return fork_id
