"""The queue of transactions that peers sent and the pool has not examined yet, and the share of a processor for each peer.

A peer can send any number of transactions, and each costs the recovery of its sender. So each peer has its own queue, the
peers take turns, and each peer has a share of one processor. Long transactions have their own queue. They do not delay
short ones, and enter the pool only as fast as blocks can take them. A transaction that does not fit is dropped: other peers
send it, too. This file must not decide which transactions the pool accepts.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from lacnode.evm.block_limits import BLOCK_BYTES_PER_SECOND
from lacnode.fair_share import FairShare, Shares
from lacnode.p2p.peer_shares import NEWCOMER_SECONDS
from lacnode.primitives.transaction import LONG_BYTES, Transaction

MAX_PEER_QUEUE_BYTES = 2 * 2**20
"""Bytes of the waiting transactions of one peer. One transaction may be larger if no other of that peer waits."""

MAX_PEER_QUEUE_TRANSACTIONS = 8_192
MAX_WAITING_BYTES = 4 * 2**20
"""Bytes of the waiting transactions of all peers. The bound holds for long and for short ones separately."""

LONG_BYTES_PER_SECOND = BLOCK_BYTES_PER_SECOND // 2
"""Bytes of long transactions per second that the pool examines, of all peers together. One peer may have half of them. More
would only push each other out of the pool, after each node has relayed them."""

LONG_SHARES = Shares(
    total=LONG_BYTES_PER_SECOND,
    most=LONG_BYTES_PER_SECOND / 2,
    least=2**16,
    burst_seconds=4.0,
    newcomer_seconds=NEWCOMER_SECONDS,
)
TRANSACTIONS_PER_TURN = 64
"""Transactions of one peer that the pool examines before it is the turn of the next peer."""

ADMISSION_SHARE, ADMISSION_SHARE_OF_PEER = 0.5, 0.3
"""Shares of a processor for the examination: of all peers together, and of one peer."""

ADMISSION_SHARES = Shares(
    total=ADMISSION_SHARE,
    most=ADMISSION_SHARE_OF_PEER,
    least=0.05,
    burst_seconds=5.0,
    newcomer_seconds=NEWCOMER_SECONDS,
)


@dataclass(frozen=True, slots=True)
class _LaneName:
    """The name of a queue: one peer has a queue for short and one for long transactions."""

    peer_id: bytes
    is_long: bool


class _Lane:
    def __init__(self) -> None:
        self.transactions: deque[Transaction] = deque()
        self.size_bytes = 0

    def has_room(self, size: int) -> bool:
        """Whether a transaction of `size` bytes is within the bounds of one peer."""
        fits = self.size_bytes + size <= MAX_PEER_QUEUE_BYTES and len(self.transactions) < MAX_PEER_QUEUE_TRANSACTIONS
        return fits or not self.transactions

    def drop_newest(self) -> int:
        """Remove the newest transaction. Returns its length in bytes."""
        size = len(self.transactions.pop().raw)
        self.size_bytes -= size
        return size


class TransactionIntake:
    """The transactions of peers that the pool has not examined yet, in queues of their peers. `admit` offers
    transactions to the pool, in a worker thread. Call the methods on the event loop."""

    def __init__(self, admit: Callable[[Sequence[Transaction]], None]) -> None:
        self._admit = admit
        self._lanes: OrderedDict[_LaneName, _Lane] = OrderedDict()
        self._shares = FairShare(ADMISSION_SHARES)
        self._long_shares = FairShare(LONG_SHARES)
        self._limiter = trio.CapacityLimiter(1)
        self._not_empty = trio.Event()
        self.dropped = 0
        """Transactions that did not fit, since the start."""

    @property
    def has_short_transactions(self) -> bool:
        """Whether short transactions wait. More transactions then enter the pool soon. Long ones do not count: they
        enter it slowly."""
        return any(not name.is_long for name in self._lanes)

    def may_request_long_from(self, peer_id: bytes) -> bool:
        """Whether long transactions may be requested from the peer with this node id (64 bytes): those of the peer that
        wait here have less than half of `MAX_PEER_QUEUE_BYTES`."""
        lane = self._lanes.get(_LaneName(peer_id, is_long=True))
        return lane is None or lane.size_bytes < MAX_PEER_QUEUE_BYTES // 2

    def peer_joined(self, peer_id: bytes) -> None:
        """The session of the peer with this node id (64 bytes) has begun."""
        for shares in (self._shares, self._long_shares):
            shares.arrive(peer_id, trio.current_time())

    def peer_left(self, peer_id: bytes) -> None:
        """The session of the peer with this node id (64 bytes) has ended. Its transactions keep their turn."""
        for shares in (self._shares, self._long_shares):
            shares.leave(peer_id)

    def put(self, peer_id: bytes, transactions: Sequence[Transaction]) -> None:
        """Queue `transactions` of the peer with this node id (64 bytes), in the order of the list. The first one that
        does not fit, and all after it, are dropped. If the memory for all peers is full, a longer queue of another peer
        loses its newest transactions instead. All that are dropped count in `dropped`."""
        for position, transaction in enumerate(transactions):
            # The following ones are dropped, too: a later nonce is of little use without the earlier one.
            if not self._put(peer_id, transaction):
                self.dropped += len(transactions) - position
                break
        if self._lanes:
            self._not_empty.set()

    async def run(self) -> None:
        """Offer the queued transactions to the pool, each queue in its turn and within the share of its peer, until
        cancelled. The errors of `admit` pass through."""
        while True:
            while not self._lanes:
                self._not_empty = trio.Event()
                await self._not_empty.wait()
            name, wait = self._next_lane()
            if wait > 0:
                # The wait ends early if another peer sends something: that peer may have its turn at once.
                with trio.move_on_after(wait):
                    self._not_empty = trio.Event()
                    await self._not_empty.wait()
                continue
            transactions = self._next_transactions(name)
            # In a worker thread: recovering senders takes milliseconds each, and the event loop serves all peers.
            seconds = await trio.to_thread.run_sync(self._admit_measured, transactions, limiter=self._limiter)
            # Charged by the time that was used: one transaction can cost as much as a hundred others.
            self._shares.spend(name.peer_id, seconds, trio.current_time())
            if name.is_long:
                size = sum(len(transaction.raw) for transaction in transactions)
                self._long_shares.spend(name.peer_id, size, trio.current_time())

    def _put(self, peer_id: bytes, transaction: Transaction) -> bool:
        size = len(transaction.raw)
        name = _LaneName(peer_id, size >= LONG_BYTES)
        lane = self._lanes.get(name) or _Lane()
        if not lane.has_room(size) or not self._make_room(name.is_long, lane.size_bytes, size):
            return False
        self._lanes[name] = lane
        lane.transactions.append(transaction)
        lane.size_bytes += size
        return True

    def _make_room(self, is_long: bool, lane_bytes: int, size: int) -> bool:
        """Whether `size` bytes fit, of a peer with `lane_bytes` in its queue. If not, the longest queue loses its newest
        transactions, unless that of the peer would become longer. So a peer that sends little is not kept out."""
        lanes = {name: lane for name, lane in self._lanes.items() if name.is_long is is_long}
        waiting_bytes = sum(lane.size_bytes for lane in lanes.values())
        # The first transaction always fits, with any size. Otherwise a legal long one could never pass.
        while waiting_bytes and waiting_bytes + size > MAX_WAITING_BYTES:
            longest = max(lanes, key=lambda name: lanes[name].size_bytes)
            if lanes[longest].size_bytes <= lane_bytes + size:
                return False
            waiting_bytes -= lanes[longest].drop_newest()
            self.dropped += 1
            if not lanes[longest].transactions:
                del lanes[longest], self._lanes[longest]
        return True

    def _next_lane(self) -> tuple[_LaneName, float]:
        """The queue whose turn is next, and the seconds until that turn."""
        now = trio.current_time()
        waits = [(self._wait_seconds(name, now), name) for name in self._lanes]
        wait, name = min(waits, key=lambda each: each[0])
        return name, wait

    def _wait_seconds(self, name: _LaneName, now: float) -> float:
        wait = self._shares.wait_seconds(name.peer_id, now)
        # Long transactions are charged twice: for the processor and for the bytes.
        return max(wait, self._long_shares.wait_seconds(name.peer_id, now)) if name.is_long else wait

    def _next_transactions(self, name: _LaneName) -> list[Transaction]:
        """Remove and return the next transactions of a queue. The queue goes to the end of the order."""
        lane = self._lanes.pop(name)
        # One long transaction at a time: its bytes are charged before the next one.
        count = min(1 if name.is_long else TRANSACTIONS_PER_TURN, len(lane.transactions))
        taken = [lane.transactions.popleft() for _ in range(count)]
        lane.size_bytes -= sum(len(transaction.raw) for transaction in taken)
        # An empty queue is removed. Otherwise one would stay for each peer that ever sent something.
        if lane.transactions:
            self._lanes[name] = lane
        return taken

    def _admit_measured(self, transactions: Sequence[Transaction]) -> float:
        # The time of this thread, not the wall clock: a busy machine must not use up the share of the peer.
        began = time.thread_time()
        self._admit(transactions)
        return time.thread_time() - began
