"""The requests of this node to one peer: headers, bodies, pooled transactions and receipts.

A request waits for its answer for a limited time. A peer that answers badly or not at all again and again is
disconnected (`PeerReputation`). Must not read from the connection: `session` does that, and calls `deliver_answer`.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from lacnode.p2p.peer_requests import NoAnswerError, PendingRequests
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EthMessage,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    PooledTransactions,
    Receipts,
)
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction

M = TypeVar("M", bound=EthMessage)


class EthRequests:
    """Requests to one peer in version `eth_version` of `eth`. Used on the event loop.

    `send` queues a message for the peer. `leave` ends the session with a reason. It is called once the peer has let too
    many requests time out, or has given too many useless answers (`PeerReputation`).
    """

    def __init__(
        self, eth_version: int, send: Callable[[EthMessage], None], leave: Callable[[DisconnectReason], None]
    ) -> None:
        self._pending = PendingRequests(eth_version)
        self._send = send
        self._leave = leave

    async def request_headers(
        self, start: bytes | int, limit: int, skip: int = 0, reverse: bool = False
    ) -> Sequence[BlockHeader]:
        """Return headers of the peer, from the block `start` (a number or a hash of 32 bytes) on, that block included.
        `limit` of them are asked for. The peer may give none, fewer, more or others: nothing is checked.

        `skip` blocks are left out between two headers. With `reverse` the numbers fall. Raises NoAnswerError if
        the peer does not answer in time, PeerLeftError if the session has ended.
        """
        return (await self._ask(BlockHeaders, lambda id_: GetBlockHeaders(id_, start, limit, skip, reverse))).headers

    async def request_bodies(self, hashes: Sequence[bytes]) -> Sequence[BlockBody]:
        """Ask for the bodies of blocks by hash (32 bytes). Return what the peer gives, which is not checked: in the
        order of `hashes`, without those that it does not have. NoAnswerError if it does not answer in time,
        PeerLeftError if the session has ended.
        """
        return (await self._ask(BlockBodies, lambda id_: GetBlockBodies(id_, tuple(hashes)))).bodies

    async def request_pooled_transactions(self, hashes: Sequence[bytes]) -> Sequence[Transaction]:
        """Ask for pooled transactions by hash (32 bytes). Return what the peer gives, which is not checked: in the
        order of `hashes`, without those that it does not have. NoAnswerError if it does not answer in time,
        PeerLeftError if the session has ended.
        """
        answer = await self._ask(PooledTransactions, lambda id_: GetPooledTransactions(id_, tuple(hashes)))
        return answer.transactions

    async def request_receipts(self, hashes: Sequence[bytes]) -> Sequence[Sequence[Receipt]]:
        """Ask for the receipts of blocks by hash (32 bytes). Return what the peer gives for each block, which is not
        checked: in the order of `hashes`, without the blocks that it does not have. NoAnswerError if it does not
        answer in time, PeerLeftError if the session has ended.
        """
        return (await self._ask(Receipts, lambda id_: GetReceipts(id_, tuple(hashes)))).receipts

    @property
    def queued_count(self) -> int:
        """The number of requests that are not sent yet, because as many as are allowed are open."""
        return self._pending.queued_count

    def expects_answer(self, answer_code: int) -> bool:
        """Whether a request is open whose answer has this message code of `eth`. Other answers need not be read. Before
        eth/66 a request that has timed out stays open."""
        return self._pending.expects_answer(answer_code)

    def deliver_answer(self, answer: BlockHeaders | BlockBodies | PooledTransactions | Receipts) -> None:
        """Give `answer` to its request. An answer without a request counts as useless."""
        if not self._pending.deliver(answer.CODE, answer.request_id, answer):
            self.report_useless_answer()

    def report_useless_answer(self) -> None:
        """Count an answer that does not fit its request, or for which no request waits. `MAX_USELESS_ANSWERS` within
        `USELESS_WINDOW_SECONDS` end the session."""
        self._pending.reputation.record_useless_answer(trio.current_time())
        self._judge()

    def fail_all(self) -> None:
        """End all waits with PeerLeftError and refuse new requests. Called when the session has ended."""
        self._pending.fail_all()

    async def _ask(self, kind: type[M], request: Callable[[int], EthMessage]) -> M:
        async with self._pending.slot_limiter():
            # The limiter is held until the answer is here. Further requests wait before they are sent, so that the five
            # seconds of a request do not run while the peer works on others.
            question = self._pending.open_request(kind.CODE)
            self._send(request(question.id))
            try:
                answer = await self._pending.wait_for_answer(question)
            except NoAnswerError:
                # The timeout may have been the last one that is allowed.
                self._judge()
                raise
        assert isinstance(answer, kind)
        return answer

    def _judge(self) -> None:
        disconnect_reason = self._pending.reputation.disconnect_reason
        if disconnect_reason is not None:
            self._leave(disconnect_reason)
