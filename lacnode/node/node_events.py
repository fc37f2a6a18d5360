"""The events of a node. Packages subscribe to them when the node is built.

Every event is published on the event loop, and its listeners are called there, in the order in which they subscribed. The
chain and the pool report from worker threads, so `forward_chain_and_pool` brings their reports to the event loop. Must not
do work of its own.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from lacnode.chain.blockchain import Blockchain, NewHead
from lacnode.p2p.peer import Peer
from lacnode.txpool.pooled_transaction import PooledTransaction
from lacnode.txpool.transaction_pool import TransactionPool
from lacnode.workers.event_loop import EventLoop

T = TypeVar("T")


class EventSource(Generic[T]):
    """One kind of event: calls its listeners with each new value. Use on the event loop only."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def subscribe(self, listener: Callable[[T], None]) -> None:
        """Call `listener` with every later event. It must return at once and must not raise."""
        self._listeners.append(listener)

    def publish(self, value: T) -> None:
        """Call every listener with `value`, in the order in which they subscribed. What a listener raises passes
        through, and the listeners after it are not called."""
        for listener in self._listeners:
            listener(value)


class NodeEvents:
    """All events of one node.

    `new_head` happens after each import. `pending_added` carries a transaction that entered the pool, and
    `pending_dropped` one that left it without being in a block. `syncing_changed` carries whether the node is behind a
    verified chain. `hold_back_heads` carries whether the synchronizer imports several verified blocks now. `caught_up`
    happens once: no peer is ahead.
    """

    def __init__(self) -> None:
        self.new_head = EventSource[NewHead]()
        self.pending_added = EventSource[PooledTransaction]()
        self.pending_dropped = EventSource[PooledTransaction]()
        self.syncing_changed = EventSource[bool]()
        self.hold_back_heads = EventSource[bool]()
        self.caught_up = EventSource[None]()
        self.peer_joined = EventSource[Peer]()
        self.peer_left = EventSource[Peer]()


class HeadAndPeersSignal:
    """A signal at each change of the head or of the set of peers. Tasks wait for it, and then look at the head and the
    peers themselves. Use on the event loop only."""

    def __init__(self) -> None:
        self._changed = trio.Event()

    def next_event(self) -> trio.Event:
        """Return the event that the next change sets. Take it before you look at the state, then no change is missed."""
        return self._changed

    def notify(self, cause: object = None) -> None:
        """Wake the waiting tasks: the head or the set of peers has changed. `cause` is not used. It lets this method
        subscribe to any event."""
        # A new event for the next change: a task that took the old one is woken, and takes the new one before it looks.
        self._changed.set()
        self._changed = trio.Event()


def forward_chain_and_pool(events: NodeEvents, event_loop: EventLoop, chain: Blockchain, pool: TransactionPool) -> None:
    """Publish each new head of `chain`, and each transaction that enters `pool` or leaves it without being in a block,
    as an event of `events` on the event loop.

    The pool itself gets a new head at once, in the thread of the import: a transaction of the block must have left the
    pool before the next block is built, and the event loop may be late.
    """

    def head_changed(new_head: NewHead) -> None:
        senders = [receipt_record.sender for receipt_record in new_head.receipt_records]
        pool.block_imported(new_head.block.transactions, senders)
        event_loop.call_soon(events.new_head.publish, new_head)

    chain.on_head(head_changed)
    pool.on_added(lambda pooled: event_loop.call_soon(events.pending_added.publish, pooled))
    pool.on_dropped(lambda pooled: event_loop.call_soon(events.pending_dropped.publish, pooled))
