"""Transactions that peers sent and the pool has not looked at yet.

Recovering a sender costs as much as a peer likes to send, so each peer waits in its own lane, takes turns with the
others, and has its share of one processor. What finds no room is dropped: others carry it too, and it is announced again.
Must not decide what the pool takes.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import trio

from lacnode.fair_share import FairShare, Shares
from lacnode.primitives.transaction import Transaction

MAX_PEER_QUEUE_BYTES = 4 * 2**20
"""Of transactions of one peer that wait. A single one may be larger where nothing else of that peer waits."""

MAX_PEER_QUEUE_TRANSACTIONS = 8_192
MAX_WAITING_BYTES = 32 * 2**20
"""Of transactions of all peers that wait."""

TRANSACTIONS_PER_TURN = 64
"""Of one peer that the pool looks at before it is the next peer's turn."""

ADMISSION_SHARE, ADMISSION_SHARE_OF_PEER = 0.5, 0.3
"""Of a processor, for the pool's look at what peers send."""

ADMISSION_SHARES = Shares(total=ADMISSION_SHARE, most=ADMISSION_SHARE_OF_PEER, least=0.05, burst_seconds=5.0)


class _Lane:
    def __init__(self) -> None:
        self.transactions: deque[Transaction] = deque()
        self.size_bytes = 0


class TransactionIntake:
    """`admit` offers transactions to the pool, in a worker thread. Everything else is for the event loop."""

    def __init__(self, admit: Callable[[Sequence[Transaction]], None]) -> None:
        self._admit = admit
        self._lanes: OrderedDict[bytes, _Lane] = OrderedDict()
        self._size_bytes = 0
        self._shares = FairShare(ADMISSION_SHARES)
        self._limiter = trio.CapacityLimiter(1)
        self._not_empty = trio.Event()
        self.dropped = 0
        """Transactions that found no room, since the start."""

    @property
    def is_busy(self) -> bool:
        """Whether transactions wait: more are about to enter the pool."""
        return bool(self._lanes)

    def put(self, peer_id: bytes, transactions: Sequence[Transaction]) -> None:
        """Have the pool look at `transactions` of a peer, as many as there is room for."""
        for position, transaction in enumerate(transactions):
            if not self._put(peer_id, transaction):
                self.dropped += len(transactions) - position
                break
        if self._lanes:
            self._not_empty.set()

    async def run(self) -> None:
        """Let each peer have its turn, until cancelled."""
        while True:
            while not self._lanes:
                self._not_empty = trio.Event()
                await self._not_empty.wait()
            peer_id, wait = self._next_peer()
            if wait > 0:
                with trio.move_on_after(wait):
                    self._not_empty = trio.Event()
                    await self._not_empty.wait()
                continue
            seconds = await trio.to_thread.run_sync(self._look_at, self._taken(peer_id), limiter=self._limiter)
            self._shares.spend(peer_id, seconds, trio.current_time())

    def _put(self, peer_id: bytes, transaction: Transaction) -> bool:
        size = len(transaction.raw)
        lane = self._lanes.get(peer_id)
        if lane is None:
            if self._lanes and self._size_bytes + size > MAX_WAITING_BYTES:
                return False
            lane = self._lanes[peer_id] = _Lane()
        elif (
            lane.size_bytes + size > MAX_PEER_QUEUE_BYTES
            or len(lane.transactions) >= MAX_PEER_QUEUE_TRANSACTIONS
            or self._size_bytes + size > MAX_WAITING_BYTES
        ):
            return False
        lane.transactions.append(transaction)
        lane.size_bytes += size
        self._size_bytes += size
        return True

    def _next_peer(self) -> tuple[bytes, float]:
        """The peer whose turn is first, and in how many seconds that is."""
        now = trio.current_time()
        waits = [(self._shares.wait_seconds(peer_id, now), peer_id) for peer_id in self._lanes]
        wait, peer_id = min(waits, key=lambda each: each[0])
        return peer_id, wait

    def _taken(self, peer_id: bytes) -> list[Transaction]:
        """The next transactions of a peer, which goes to the end of the row."""
        lane = self._lanes.pop(peer_id)
        count = min(TRANSACTIONS_PER_TURN, len(lane.transactions))
        taken = [lane.transactions.popleft() for _ in range(count)]
        size = sum(len(transaction.raw) for transaction in taken)
        lane.size_bytes -= size
        self._size_bytes -= size
        if lane.transactions:
            self._lanes[peer_id] = lane
        return taken

    def _look_at(self, transactions: Sequence[Transaction]) -> float:
        began = time.thread_time()
        self._admit(transactions)
        return time.thread_time() - began
