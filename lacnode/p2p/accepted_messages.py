"""Which long messages of a peer are kept while they arrive, and which only pass.

A message holds memory from its first byte until it has been acted on: up to 16 MiB, for each of 25 peers. A long one that
was not asked for, or that no correct peer sends, is not kept. Those that anyone may send share so many bytes in all, so that
strangers cannot fill the memory together. Validators, and answers to this node's own questions, do not depend on that.
"""

from dataclasses import dataclass

from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.eth_messages import (
    MAX_SMALL_BODY_BYTES,
    BlockBodies,
    BlockHeaders,
    NodeData,
    PooledTransactions,
    Receipts,
    Transactions,
)

ANSWERS = frozenset(message.CODE for message in (BlockHeaders, BlockBodies, Receipts, PooledTransactions, NodeData))

MAX_TRANSACTIONS_MESSAGE_BYTES = 2 * 2**20
"""Length of a message with transactions. Besu and this node put 1 MiB into one, and this node asks for no more. A longer
transaction is sent alone."""

MAX_UNASKED_BYTES = 16 * 2**20
"""Bytes of long messages that were not asked for, of all peers that are no validators, while they arrive and are read."""


@dataclass
class UnaskedBytes:
    """What such messages hold now. One object for all peers of a node."""

    held: int = 0


class AcceptedMessages:
    """The messages of `peer`, which comes from a session: one at a time. `max_transaction_bytes` is the length up to which
    this node takes transactions. On the event loop."""

    def __init__(
        self,
        peer: Peer,
        table: CapabilityTable,
        handler: NetworkHandler,
        unasked: UnaskedBytes,
        max_transaction_bytes: int,
    ) -> None:
        self._peer = peer
        self._table = table
        self._handler = handler
        self._unasked = unasked
        self._max_transactions_bytes = max(MAX_TRANSACTIONS_MESSAGE_BYTES, max_transaction_bytes + MAX_SMALL_BODY_BYTES)
        self._held = 0

    def accepts(self, message_id: int, length_bytes: int) -> bool:
        """Whether a message of this absolute id and length is kept (see `wire.frame.Accepts`)."""
        if length_bytes <= MAX_SMALL_BODY_BYTES:
            return True
        route = self._table.resolve(message_id)
        if route is None:
            return False
        if route.protocol == "IBF":
            return self._handler.hears_consensus(self._peer)
        if route.code in (Transactions.CODE, PooledTransactions.CODE) and length_bytes > self._max_transactions_bytes:
            return False
        if route.code in ANSWERS:
            return self._peer.requests.expects(route.code)
        return self._handler.hears_consensus(self._peer) or self._hold(length_bytes)

    def release(self) -> None:
        """The last message was acted on, or the session has ended."""
        self._unasked.held -= self._held
        self._held = 0

    def _hold(self, length_bytes: int) -> bool:
        if self._unasked.held + length_bytes > MAX_UNASKED_BYTES:
            return False
        self._held = length_bytes
        self._unasked.held += length_bytes
        return True
