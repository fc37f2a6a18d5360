"""Which long messages of a peer are kept while they arrive, and which only pass.

A message holds memory from its first byte until this node has acted on it: up to 16 MiB, for each of 25 peers. This
node does not keep a long answer that it did not ask for, nor a long message that no correct peer sends. The long
messages that any peer may send share `MAX_UNASKED_BYTES`, so that strangers together cannot fill the memory. That limit
does not apply to validators and to answers to this node's own requests.
"""

from dataclasses import dataclass

from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.peer import Peer
from lacnode.p2p.supported_capabilities import CONSENSUS_MESSAGES
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
"""Length of a message with transactions. Besu and this node put 1 MiB into one message, and this node requests no more than
that. A longer transaction is sent alone."""

MAX_UNASKED_BYTES = 5 * 2**20
"""Bytes of the long messages that this node did not ask for, of all peers that are no validators, while they arrive and are
read. Reading one takes its bytes twice. A longer announced block is not kept: it is fetched by request."""


@dataclass
class UnaskedBytes:
    """The number of bytes of long messages that this node did not ask for and that it holds now. All peers of a node
    share one object."""

    held: int = 0


class LongMessageFilter:
    """Decides which long messages of one session with `peer` are kept, one message at a time. Those of at most
    `MAX_SMALL_BODY_BYTES` are always kept. `max_transaction_bytes` is the length up to which this node accepts
    transactions. Used on the event loop."""

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

    def accept_and_hold(self, message_id: int, length_bytes: int) -> bool:
        """Return whether this node keeps a message with this absolute id and this length in bytes, of which only the
        beginning has arrived. If the limit for unasked messages applies to the message, its bytes count as held until
        `release_held`."""
        if length_bytes <= MAX_SMALL_BODY_BYTES:
            return True
        route = self._table.resolve_message_id(message_id)
        if route is None:
            return False
        # Only validators send consensus messages. A long proposal of a validator must arrive even when strangers have
        # used up the shared bytes, so no limit is applied to it.
        if route.protocol in CONSENSUS_MESSAGES:
            return self._handler.reads_consensus_from(self._peer)
        # This check comes before the check for answers: an answer with transactions is also too long if no transaction
        # of it could be accepted.
        if route.code in (Transactions.CODE, PooledTransactions.CODE) and length_bytes > self._max_transactions_bytes:
            return False
        if route.code in ANSWERS:
            return self._peer.requests.expects_answer(route.code)
        # The remaining messages are announcements: blocks and transactions that any peer may push.
        return self._handler.reads_consensus_from(self._peer) or self._hold(length_bytes)

    def release_held(self) -> None:
        """Count the bytes of the last message as held no longer: this node has acted on it, or the session has ended. A
        second call has no effect."""
        self._unasked.held -= self._held
        self._held = 0

    def _hold(self, length_bytes: int) -> bool:
        if self._unasked.held + length_bytes > MAX_UNASKED_BYTES:
            return False
        self._held = length_bytes
        self._unasked.held += length_bytes
        return True
