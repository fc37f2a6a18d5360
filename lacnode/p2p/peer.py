"""A peer: one session after Status, as the rest of the node sees it.

Sending never waits: messages go into the outbox, and a peer that does not read is disconnected. A request waits for its
answer for a limited time. Must not read from the connection: `session` does that, and calls `answered`.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from lacnode.crypto.secp256k1 import address_of
from lacnode.p2p.peer_requests import PeerLeftError, PendingRequests, RequestFailedError
from lacnode.p2p.send_queue import SendQueue, SendQueueFullError
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EncodedNewBlock,
    EthMessage,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    NewPooledTransactionHashes,
    PooledTransactions,
    Receipts,
    Status,
    Transactions,
)
from lacnode.p2p.wire.p2p_messages import DisconnectReason, Hello
from lacnode.primitives.block import BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction

__all__ = ["Peer", "PeerLeftError", "RequestFailedError"]

MAX_KNOWN_BLOCKS = 300
MAX_KNOWN_TRANSACTIONS = 32_768
MAX_TRANSACTIONS_MESSAGE_BYTES = 2**20
"""Bytes of transactions in one message."""

MAX_HASHES_PER_MESSAGE = 4096

M = TypeVar("M", bound=EthMessage)


class _KnownHashes:
    """The last `limit` hashes that the peer is known to have. The oldest one is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._hashes: OrderedDict[bytes, None] = OrderedDict()

    def add(self, hash_: bytes) -> bool:
        """Remember the hash. Return False if it was known already."""
        if hash_ in self._hashes:
            return False
        self._hashes[hash_] = None
        if len(self._hashes) > self._limit:
            self._hashes.popitem(last=False)
        return True


class Peer:
    """One session. `head_number` is an estimate from the messages of the peer. Sync finds out whether it is true."""

    def __init__(
        self,
        *,
        enode: Enode,
        hello: Hello,
        table: CapabilityTable,
        eth_version: int,
        inbound: bool,
        addresses: tuple[tuple[str, int], tuple[str, int]],
        status: Status,
        genesis_difficulty: int,
        outbox: SendQueue,
    ) -> None:
        self.id = enode.id
        self.address = address_of(enode.id)
        self.enode = enode
        self.enode_text = str(enode)
        self.client_id = hello.client_id
        self.capabilities = tuple(str(capability) for capability in hello.capabilities)
        self.p2p_version = hello.p2p_version
        self.inbound = inbound
        self.local_address, self.remote_address = addresses
        self.eth_version = eth_version
        self.head_hash = status.best_hash
        self.total_difficulty = status.total_difficulty
        # Each IBFT block has difficulty 1. The number of the head is therefore the difficulty beyond that of the
        # genesis block. A peer may send any number, so it is bounded.
        self.head_number = min(2**63, max(0, status.total_difficulty - genesis_difficulty))
        self.requests = PendingRequests(eth_version)
        self.leaving: DisconnectReason | None = None
        self.left = trio.Event()
        self._genesis_difficulty = genesis_difficulty
        self._table = table
        self._outbox = outbox
        self._known_blocks = _KnownHashes(MAX_KNOWN_BLOCKS)
        self._known_transactions = _KnownHashes(MAX_KNOWN_TRANSACTIONS)
        self._close = trio.Event()

    @property
    def speaks_ibft(self) -> bool:
        """Whether this node can send consensus messages to the peer."""
        return self._table.version_of("IBF") is not None

    # -- the peer's blocks and transactions ----------------------------------------------------------------------

    def record_known_block(self, hash_: bytes, number: int) -> None:
        """The peer has announced this block. `number` may raise `head_number`."""

        self._known_blocks.add(hash_)
        self.raise_head_number(number)
        if number >= self.head_number:
            self.head_hash = hash_

    def raise_head_number(self, number: int) -> None:
        """The peer's chain has at least block `number`."""
        if number > self.head_number:
            self.head_number = number
            self.total_difficulty = max(self.total_difficulty, self._genesis_difficulty + number)

    def lower_head_number(self, number: int) -> None:
        """The peer did not answer with a block above `number`. Its earlier messages about its chain count no more."""
        self.head_number = min(self.head_number, number)
        self.total_difficulty = min(self.total_difficulty, self._genesis_difficulty + number)

    def record_known_transaction(self, hash_: bytes) -> None:
        """The peer has this transaction."""
        self._known_transactions.add(hash_)

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, message: EthMessage, *, droppable: bool = False) -> None:
        """Queue an `eth` message. The session ends if the peer does not read its messages.

        A `droppable` message is dropped instead if the queue is full.
        """
        try:
            message_id = self._table.message_id("eth", message.CODE)
            self._outbox.put(message_id, message.encode(self.eth_version), droppable=droppable)
        except SendQueueFullError:
            self.leave(DisconnectReason.USELESS_PEER)

    def send_urgent(self, message_id: int, body: bytes) -> None:
        """Queue a message of any protocol, by its absolute id, before all ordinary messages."""
        try:
            self._outbox.put_urgent(message_id, body)
        except SendQueueFullError:
            self.leave(DisconnectReason.USELESS_PEER)

    def send_consensus(self, code: int, data: bytes) -> None:
        """Queue a consensus message before all ordinary messages. Nothing happens if the peer does not speak IBF."""
        if self.speaks_ibft:
            self.send_urgent(self._table.message_id("IBF", code), data)

    def send_new_block(self, message: EncodedNewBlock, hash_: bytes) -> None:
        """Announce the block with this hash, unless the peer has it."""
        if self._known_blocks.add(hash_):
            self.send(message)

    def send_transactions(self, transactions: Sequence[Transaction]) -> None:
        """Send whole transactions that the peer is not known to have."""
        batch: list[Transaction] = []
        size = 0
        for transaction in transactions:
            # Marked as known before it is sent: the peer must not get it a second time by an announcement of its hash.
            if not self._known_transactions.add(transaction.hash):
                continue
            # A transaction that is longer than the limit goes into a message of its own.
            if batch and size + len(transaction.raw) > MAX_TRANSACTIONS_MESSAGE_BYTES:
                self.send(Transactions(tuple(batch)), droppable=True)
                batch, size = [], 0
            batch.append(transaction)
            size += len(transaction.raw)
        if batch:
            self.send(Transactions(tuple(batch)), droppable=True)

    def send_transaction_hashes(self, transactions: Sequence[Transaction]) -> None:
        """Announce transactions that the peer is not known to have."""
        new = [transaction for transaction in transactions if self._known_transactions.add(transaction.hash)]
        for start in range(0, len(new), MAX_HASHES_PER_MESSAGE):
            message = NewPooledTransactionHashes.from_transactions(new[start : start + MAX_HASHES_PER_MESSAGE])
            self.send(message, droppable=True)

    # -- asking --------------------------------------------------------------------------------------------------

    async def headers(
        self, start: bytes | int, limit: int, skip: int = 0, reverse: bool = False
    ) -> Sequence[BlockHeader]:
        """Up to `limit` headers from a number or hash on. RequestFailedError if no answer comes."""
        return (await self._ask(BlockHeaders, lambda id_: GetBlockHeaders(id_, start, limit, skip, reverse))).headers

    async def bodies(self, hashes: Sequence[bytes]) -> Sequence[BlockBody]:
        """Bodies of blocks by hash, as many as the peer gives. RequestFailedError if no answer comes."""
        return (await self._ask(BlockBodies, lambda id_: GetBlockBodies(id_, tuple(hashes)))).bodies

    async def pooled_transactions(self, hashes: Sequence[bytes]) -> Sequence[Transaction]:
        """Pooled transactions by hash. RequestFailedError if no answer comes."""
        answer = await self._ask(PooledTransactions, lambda id_: GetPooledTransactions(id_, tuple(hashes)))
        return answer.transactions

    async def receipts(self, hashes: Sequence[bytes]) -> Sequence[Sequence[Receipt]]:
        """Receipts of blocks by hash. RequestFailedError if no answer comes."""
        return (await self._ask(Receipts, lambda id_: GetReceipts(id_, tuple(hashes)))).receipts

    def answered(self, answer: BlockHeaders | BlockBodies | PooledTransactions | Receipts) -> None:
        """The peer has sent `answer`. An answer without a request counts as useless."""
        if not self.requests.deliver(answer.CODE, answer.request_id, answer):
            self.report_useless_answer()

    def report_useless_answer(self) -> None:
        """The peer's answer does not fit the request, or came without one. Several within a minute end the session."""
        self.requests.reputation.useless(trio.current_time())
        self._judge()

    async def _ask(self, kind: type[M], request: Callable[[int], EthMessage]) -> M:
        async with self.requests.slot_limiter():
            # The limiter is held until the answer is here. Further requests wait before they are sent, so that the five
            # seconds of a request do not run while the peer works on others.
            question = self.requests.begin(kind.CODE)
            self.send(request(question.id))
            try:
                answer = await self.requests.answer(question)
            except RequestFailedError:
                # The timeout may have been the last one that is allowed.
                self._judge()
                raise
        assert isinstance(answer, kind)
        return answer

    def _judge(self) -> None:
        disconnect_reason = self.requests.reputation.disconnect_reason
        if disconnect_reason is not None:
            self.leave(disconnect_reason)

    # -- leaving -------------------------------------------------------------------------------------------------

    def leave(self, reason: DisconnectReason) -> None:
        """End the session soon and send `reason` to the peer. The first reason counts."""
        if self.leaving is None:
            self.leaving = reason
            self._close.set()

    async def disconnect(self, reason: DisconnectReason) -> None:
        """End the session and wait until it has ended."""
        self.leave(reason)
        await self.left.wait()

    async def wait_for_leave(self) -> DisconnectReason:
        """Wait until `leave` is called, and return its reason."""
        await self._close.wait()
        assert self.leaving is not None
        return self.leaving
