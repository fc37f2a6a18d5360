"""Transactions that peers sent and the pool has not looked at yet.

Recovering a sender costs as much as a peer likes to send, so each peer waits in its own lane, takes turns with the
others, and has its share of one processor. Long transactions wait apart, behind no short one, and come in no faster than
blocks carry them away. What finds no room is dropped: others carry it too, and it is announced again.
Must not decide what the pool takes.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from lacnode.evm.block_limits import BLOCK_BYTES_PER_SECOND
from lacnode.fair_share import FairShare, Shares
from lacnode.primitives.transaction import LONG_BYTES, Transaction

MAX_PEER_QUEUE_BYTES = 4 * 2**20
"""Of transactions of one peer that wait. A single one may be larger where nothing else of that peer waits."""

MAX_PEER_QUEUE_TRANSACTIONS = 8_192
MAX_WAITING_BYTES = 8 * 2**20
"""Of transactions of all peers that wait, the long ones and the short ones each."""

LONG_SHARES = Shares(total=BLOCK_BYTES_PER_SECOND, most=BLOCK_BYTES_PER_SECOND / 2, least=2**16, burst_seconds=4.0)
"""Bytes of long transactions in a second that the pool looks at, of all peers and of one. More would only push each other
out of the pool, and each node would pass them on before."""

TRANSACTIONS_PER_TURN = 64
"""Of one peer that the pool looks at before it is the next peer's turn."""

ADMISSION_SHARE, ADMISSION_SHARE_OF_PEER = 0.5, 0.3
"""Of a processor, for the pool's look at what peers send."""

ADMISSION_SHARES = Shares(total=ADMISSION_SHARE, most=ADMISSION_SHARE_OF_PEER, least=0.05, burst_seconds=5.0)


@dataclass(frozen=True, slots=True)
class _LaneName:
    peer_id: bytes
    is_long: bool


class _Lane:
    def __init__(self) -> None:
        self.transactions: deque[Transaction] = deque()
        self.size_bytes = 0


class TransactionIntake:
    """`admit` offers transactions to the pool, in a worker thread. Everything else is for the event loop."""

    def __init__(self, admit: Callable[[Sequence[Transaction]], None]) -> None:
        self._admit = admit
        self._lanes: OrderedDict[_LaneName, _Lane] = OrderedDict()
        self._shares = FairShare(ADMISSION_SHARES)
        self._long_shares = FairShare(LONG_SHARES)
        self._limiter = trio.CapacityLimiter(1)
        self._not_empty = trio.Event()
        self.dropped = 0
        """Transactions that found no room, since the start."""

    @property
    def is_busy(self) -> bool:
        """Whether transactions wait: more are about to enter the pool."""
        return any(not name.is_long for name in self._lanes)

    @property
    def takes_long(self) -> bool:
        """Whether long transactions may come: not so many wait that the next ones might find no room."""
        return self._waiting_bytes(is_long=True) < MAX_WAITING_BYTES // 2

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
            name, wait = self._next_lane()
            if wait > 0:
                with trio.move_on_after(wait):
                    self._not_empty = trio.Event()
                    await self._not_empty.wait()
                continue
            taken = self._taken(name)
            seconds = await trio.to_thread.run_sync(self._look_at, taken, limiter=self._limiter)
            self._shares.spend(name.peer_id, seconds, trio.current_time())
            if name.is_long:
                size = sum(len(transaction.raw) for transaction in taken)
                self._long_shares.spend(name.peer_id, size, trio.current_time())

    def _put(self, peer_id: bytes, transaction: Transaction) -> bool:
        size = len(transaction.raw)
        name = _LaneName(peer_id, size >= LONG_BYTES)
        lane = self._lanes.get(name)
        waiting_bytes = self._waiting_bytes(name.is_long)
        if waiting_bytes and waiting_bytes + size > MAX_WAITING_BYTES:
            return False
        if lane is None:
            lane = self._lanes[name] = _Lane()
        elif lane.size_bytes + size > MAX_PEER_QUEUE_BYTES or len(lane.transactions) >= MAX_PEER_QUEUE_TRANSACTIONS:
            return False
        lane.transactions.append(transaction)
        lane.size_bytes += size
        return True

    def _waiting_bytes(self, is_long: bool) -> int:
        return sum(lane.size_bytes for name, lane in self._lanes.items() if name.is_long is is_long)

    def _next_lane(self) -> tuple[_LaneName, float]:
        """The lane whose turn is first, and in how many seconds that is."""
        now = trio.current_time()
        waits = [(self._wait_seconds(name, now), name) for name in self._lanes]
        wait, name = min(waits, key=lambda each: each[0])
        return name, wait

    def _wait_seconds(self, name: _LaneName, now: float) -> float:
        wait = self._shares.wait_seconds(name.peer_id, now)
        return max(wait, self._long_shares.wait_seconds(name.peer_id, now)) if name.is_long else wait

    def _taken(self, name: _LaneName) -> list[Transaction]:
        """The next transactions of a lane, which goes to the end of the row."""
        lane = self._lanes.pop(name)
        count = min(1 if name.is_long else TRANSACTIONS_PER_TURN, len(lane.transactions))
        taken = [lane.transactions.popleft() for _ in range(count)]
        lane.size_bytes -= sum(len(transaction.raw) for transaction in taken)
        if lane.transactions:
            self._lanes[name] = lane
        return taken

    def _look_at(self, transactions: Sequence[Transaction]) -> float:
        began = time.thread_time()
        self._admit(transactions)
        return time.thread_time() - began
