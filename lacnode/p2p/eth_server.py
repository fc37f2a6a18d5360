"""Answering a peer's `eth` requests from the chain and the pool.

Unknown things are left out, as Besu does. An answer stops growing at a number of items and at a number of bytes. Runs in a
worker thread, one request of a peer at a time, so that a peer with many requests delays only its own answers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from lacnode.p2p.chain_reader import ChainReader, PoolReader
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EncodedReceipts,
    EthMessage,
    GetBlockBodies,
    GetBlockHeaders,
    GetNodeData,
    GetPooledTransactions,
    GetReceipts,
    NodeData,
    PooledTransactions,
)
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction

MAX_HEADERS, MAX_BODIES, MAX_RECEIPTS, MAX_TRANSACTIONS = 512, 128, 256, 256
MAX_ETH_ANSWER_BYTES = 2 * 2**20
"""Bytes at which an answer stops growing, as in geth. Besu stops before 10 MiB. A peer that does not read holds its answer
twice, plain and encrypted, for as long as a message may take to be sent, and there are 25 peers."""

MAX_BLOCK_RECEIPTS_BYTES = 15 * 2**20
"""Bytes of the receipts of one block in an answer. Not many more fit into a message of devp2p (16 MiB). An answer leaves
out one longer block, and ends at the second."""

REQUEST_MESSAGES = (GetBlockHeaders, GetBlockBodies, GetReceipts, GetPooledTransactions, GetNodeData)

T = TypeVar("T")


class EthServer:
    """Answers the requests of peers for headers, bodies, receipts and pooled transactions, each answer within bounds.
    It reads the database, so the event loop must not call it. Safe to call from several threads."""

    def __init__(self, chain: ChainReader, pool: PoolReader) -> None:
        self._chain = chain
        self._pool = pool

    def answer(self, request: EthMessage) -> EthMessage:
        """Return the answer to `request`, which has one of the types in `REQUEST_MESSAGES`. ValueError if it has not.
        Unknown things are left out, so the answer may be empty. Headers end at the first unknown one. For GetNodeData
        the answer is always empty."""
        match request:
            case GetBlockHeaders():
                headers = _bounded(self._headers(request), _header_size)
                return BlockHeaders(request.request_id, tuple(headers))
            case GetBlockBodies():
                found = _found(self._body, request.hashes, MAX_BODIES)
                return BlockBodies(request.request_id, tuple(_bounded(found, _body_size)))
            case GetReceipts():
                return EncodedReceipts(request.request_id, tuple(self._receipts(request.hashes)))
            case GetPooledTransactions():
                pooled = _found(self._pool.transaction, request.hashes, MAX_TRANSACTIONS)
                return PooledTransactions(request.request_id, tuple(_bounded(pooled, _transaction_size)))
            case GetNodeData():
                # An empty answer. This node serves no trie nodes, and a peer that gets no answer would count a timeout.
                return NodeData(request.request_id)
        raise ValueError(f"{type(request).__name__} is no request")

    def _headers(self, request: GetBlockHeaders) -> Iterator[BlockHeader]:
        header = self._start(request.start)
        step = (request.skip + 1) * (-1 if request.reverse else 1)
        for _ in range(max(1, min(request.limit, MAX_HEADERS))):
            if header is None:
                return
            yield header
            # A large `skip` may lead below the genesis block or to a number that no block can have.
            number = header.number + step
            header = self._chain.header_at(number) if 0 <= number < 2**63 else None

    def _start(self, start: bytes | int) -> BlockHeader | None:
        return self._chain.header_of(start) if isinstance(start, bytes) else self._chain.header_at(start)

    def _body(self, hash_: bytes) -> BlockBody | None:
        block: Block | None = self._chain.block_of(hash_)
        return None if block is None else block.body

    def _receipts(self, hashes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        found = _found(self._chain.encoded_receipts_of, hashes, MAX_RECEIPTS)
        # The first block of an answer may be longer than the answer should be.
        return _bounded(_sendable(found), _receipts_size)


def _found(look_up: Callable[[bytes], T | None], hashes: Sequence[bytes], limit: int) -> Iterator[T]:
    return (item for hash_ in islice(hashes, limit) if (item := look_up(hash_)) is not None)


def _sendable(blocks: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
    """Yield the receipts of `blocks` that fit into a message. One block that does not fit is left out. A second one ends
    the answer."""
    left_out = 0
    for receipts in blocks:
        if _receipts_size(receipts) < MAX_BLOCK_RECEIPTS_BYTES:
            yield receipts
            continue
        # Each takes 50 ms to read and adds nothing to the answer, so the size of the answer does not bound them: a
        # request may name such a block 256 times.
        left_out += 1
        if left_out > 1:
            return


def _bounded(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[T]:
    """Yield `items` until they are too large together. The first is always yielded."""
    total = 0
    for item in items:
        total += size_of(item)
        # The second condition is False only for the first item. A peer could never get an item that is larger than the
        # limit otherwise, and its sync would stop there.
        if total > MAX_ETH_ANSWER_BYTES and total > size_of(item):
            return
        yield item


# Sizes in bytes, estimated where the exact size would cost an encoding: the limit protects memory and need not be
# exact.
def _header_size(header: BlockHeader) -> int:
    return 700 + len(header.extra_data)


def _body_size(body: BlockBody) -> int:
    return sum(_transaction_size(transaction) for transaction in body.transactions)


def _transaction_size(transaction: Transaction) -> int:
    return len(transaction.raw)


def _receipts_size(receipts: Sequence[bytes]) -> int:
    return sum(len(receipt) + 4 for receipt in receipts)
