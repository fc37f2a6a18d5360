"""A peer: one session after Status, as the rest of the node sees it.

Sending never waits: messages go into the outbox, and a peer that does not read is disconnected. Must not read from the
connection: `session` does that.
"""

from collections import OrderedDict
from collections.abc import Sequence

import trio

from lacnode.crypto.secp256k1 import address_of
from lacnode.p2p.eth_requests import EthRequests
from lacnode.p2p.peer_description import PeerDescription
from lacnode.p2p.peer_head import PeerHead
from lacnode.p2p.peer_requests import NoAnswerError, PeerLeftError
from lacnode.p2p.send_queue import SendQueue, SendQueueFullError
from lacnode.p2p.supported_capabilities import CONSENSUS_MESSAGES
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import (
    EncodedNewBlock,
    EthMessage,
    NewPooledTransactionHashes,
    Status,
    Transactions,
)
from lacnode.p2p.wire.p2p_messages import DisconnectReason, Hello
from lacnode.primitives.transaction import Transaction

__all__ = ["NoAnswerError", "Peer", "PeerLeftError"]

MAX_KNOWN_BLOCKS = 300
MAX_KNOWN_TRANSACTIONS = 8_192
"""Twice what the pool holds by default. Each takes 200 bytes, and 25 peers may send as many hashes as they like."""

MAX_TRANSACTIONS_MESSAGE_BYTES = 2**20
"""Bytes of transactions in one message."""

MAX_HASHES_PER_MESSAGE = 4096


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
    """One session.

    `id` is the node's public key (64 bytes), and `address` the account address of that key (20 bytes). `table` knows the
    message ids that both sides agreed on. `addresses` are the local and the remote end of the connection.
    `genesis_difficulty` is that of this node's chain. `end_reason` is None until `end_session` is called. `left` is set
    when the session has ended.
    """

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
        self.description = PeerDescription(
            client_id=hello.client_id,
            capabilities=tuple(str(capability) for capability in hello.capabilities),
            p2p_version=hello.p2p_version,
            eth_version=eth_version,
            inbound=inbound,
            local_address=addresses[0],
            remote_address=addresses[1],
        )
        self.head = PeerHead(status, genesis_difficulty)
        self.requests = EthRequests(eth_version, self.send, self.end_session)
        self.end_reason: DisconnectReason | None = None
        self.left = trio.Event()
        self._table = table
        self._outbox = outbox
        self._known_blocks = _KnownHashes(MAX_KNOWN_BLOCKS)
        self._known_transactions = _KnownHashes(MAX_KNOWN_TRANSACTIONS)
        self._close = trio.Event()

    # -- the peer's blocks and transactions ----------------------------------------------------------------------

    def record_known_block(self, hash_: bytes, number: int) -> None:
        """Record that the peer has announced the block with this hash (32 bytes), so that it is not sent to the peer.
        `number` is the number that the peer gives it, and may raise the peer's head."""
        self._known_blocks.add(hash_)
        self.head.record_announcement(hash_, number)

    def record_known_transaction(self, hash_: bytes) -> None:
        """Record that the peer has the transaction with this hash (32 bytes), so that it is not sent to the peer."""
        self._known_transactions.add(hash_)

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, message: EthMessage, *, droppable: bool = False) -> None:
        """Queue an `eth` message. It never waits. The session ends if the queue is full, because the peer does not read
        its messages.

        A `droppable` message is dropped instead if the queue is full.
        """
        try:
            message_id = self._table.message_id("eth", message.CODE)
            self._outbox.put(message_id, message.encode(self.description.eth_version), droppable=droppable)
        except SendQueueFullError:
            self.end_session(DisconnectReason.USELESS_PEER)

    def send_urgent(self, message_id: int, body: bytes) -> None:
        """Queue a message of any protocol, by its absolute id and its body, before all ordinary messages. If the
        queue is full, the session ends, and no error is raised.
        """
        try:
            self._outbox.put_urgent(message_id, body)
        except SendQueueFullError:
            self.end_session(DisconnectReason.USELESS_PEER)

    def send_consensus(self, code: int, data: bytes, *, is_relayed: bool = False) -> None:
        """Queue a consensus message, by its code in the sub-protocol and its bytes without the code, before all
        ordinary messages. Nothing happens if the peer does not speak its protocol.

        A message that `is_relayed` is dropped if too many relayed ones wait: the validator that signed it sends it too.
        For any other message the session ends if too many urgent ones wait.
        """
        for protocol, codes in CONSENSUS_MESSAGES.items():
            if code in codes and self._table.version_of(protocol) is not None:
                message_id = self._table.message_id(protocol, code)
                self._outbox.put_relayed(message_id, data) if is_relayed else self.send_urgent(message_id, data)

    def send_new_block(self, message: EncodedNewBlock, hash_: bytes) -> None:
        """Send the whole block with this hash (32 bytes), unless the peer is known to have it. From now on it is. The
        session ends if the queue is full."""
        if self._known_blocks.add(hash_):
            self.send(message)

    def send_transactions(self, transactions: Sequence[Transaction]) -> None:
        """Send whole transactions that the peer is not known to have. A message of them is dropped if the queue is
        full. The peer counts as having the transactions from now on, also the dropped ones."""
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
        """Announce the hashes of transactions that the peer is not known to have. A message of them is dropped if the
        queue is full. The peer counts as having the transactions from now on, also the dropped ones."""
        new = [transaction for transaction in transactions if self._known_transactions.add(transaction.hash)]
        for start in range(0, len(new), MAX_HASHES_PER_MESSAGE):
            message = NewPooledTransactionHashes.from_transactions(new[start : start + MAX_HASHES_PER_MESSAGE])
            self.send(message, droppable=True)

    # -- leaving -------------------------------------------------------------------------------------------------

    def end_session(self, reason: DisconnectReason) -> None:
        """End the session soon and send `reason` to the peer. The first reason counts."""
        if self.end_reason is None:
            self.end_reason = reason
            self._close.set()

    async def end_session_and_wait(self, reason: DisconnectReason) -> None:
        """Call `end_session` with `reason`, and wait until the session has ended."""
        self.end_session(reason)
        await self.left.wait()

    async def wait_for_end_request(self) -> DisconnectReason:
        """Wait until `end_session` is called, and return its first reason. The session itself ends a little later
        (`left`). `end_session` is also called when the peer has ended the session."""
        await self._close.wait()
        assert self.end_reason is not None
        return self.end_reason
