"""The parts that several `eth` messages share: request ids, lists of hashes, lists of transactions.

Each reader raises RlpError if the item is malformed. `eth_messages` has the messages themselves.
"""

from collections.abc import Sequence

from lacnode.chainspec.forks import ForkId
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue
from lacnode.primitives.transaction import Transaction

FIRST_VERSION_WITH_REQUEST_IDS = 66

MAX_TRANSACTIONS_IN_MESSAGE = 16_384
"""Besu and this node put a mebibyte into one message. With its signature a transaction has 75 bytes at least."""


def fields_of(item: RlpItem, what: str) -> RlpFields:
    """Return a reader for the fields of the list `item`. RlpError if it is no list. Its text calls the list `what`."""
    return RlpFields(rlp.as_list(item, what), what)


def encode_with_request_id(version: int, request_id: int, content: RlpValue) -> bytes:
    """Return the body of a request or an answer as RLP in `version` of the `eth` protocol. `content` is not encoded
    yet. From eth/66 on the body is a list of the request id and the content (EIP-2481), before eth/66 the content
    alone."""
    if version < FIRST_VERSION_WITH_REQUEST_IDS:
        return rlp.encode(content)
    return rlp.encode([rlp.encode_scalar(request_id), content])


def prepend_request_id(version: int, request_id: int, encoded: bytes) -> bytes:
    """Return the body of a request or an answer as RLP in `version` of the `eth` protocol. `encoded` is its content in
    RLP. From eth/66 on the body is a list of the request id and the content, before eth/66 the content alone."""
    if version < FIRST_VERSION_WITH_REQUEST_IDS:
        return encoded
    return rlp.list_of_encoded(rlp.encode(rlp.encode_scalar(request_id)), encoded)


def encode_transactions(transactions: Sequence[Transaction]) -> bytes:
    """Return the RLP list of the transactions. The bytes in which each one arrived are copied into it."""
    # Encoding the fields again would take longer, and the bytes are in memory anyway.
    return rlp.list_of_encoded(*[each.encoded_item() for each in transactions])


def decode_transactions(item: RlpItem, what: str) -> tuple[Transaction, ...]:
    """Return the transactions of a list. RlpError if one is malformed, if `item` is no list, or if there are more than
    `MAX_TRANSACTIONS_IN_MESSAGE`. Its text calls the list `what`."""
    items = rlp.as_list(item, what)
    # Before they are decoded: a mebibyte may have a hundred thousand transactions without a usable signature. Decoding them
    # takes two seconds, and handling them holds the event loop for a third of one.
    if len(items) > MAX_TRANSACTIONS_IN_MESSAGE:
        raise RlpError(f"{what}: at most {MAX_TRANSACTIONS_IN_MESSAGE} transactions were expected, found {len(items)}")
    return tuple(Transaction.from_item(transaction) for transaction in items)


def decode_hashes(item: RlpItem, what: str) -> tuple[bytes, ...]:
    """Return the 32-byte hashes of a list. RlpError if one has another length, or `item` is no list. Its text calls the
    list `what`.
    """
    return tuple(rlp.as_bytes(entry, what, 32) for entry in rlp.as_list(item, what))


def decode_hash_and_number(item: RlpItem) -> tuple[bytes, int]:
    """Return a block's hash (32 bytes) and number from an entry of NewBlockHashes. RlpError if it is malformed."""
    fields = fields_of(item, "newBlockHash")
    entry = (fields.bytes("hash", 32), fields.scalar("number", 8))
    fields.check_no_fields_left()
    return entry


def decode_fork_id(item: RlpItem) -> ForkId:
    """Return the fork id `[hash, next]` (EIP-2124). RlpError if it is malformed. The hash has 4 bytes."""
    fields = fields_of(item, "forkId")
    fork_id = ForkId(fields.bytes("hash", 4), fields.scalar("next", 8))
    fields.check_no_fields_left()
    return fork_id
