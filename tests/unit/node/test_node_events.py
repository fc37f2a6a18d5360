"""Events of a node reach their subscribers on the event loop, in order."""

from types import SimpleNamespace
from typing import Any

import trio

from lacnode.node.node_events import EventSource, HeadAndPeersSignal, NodeEvents, forward_chain_and_pool
from lacnode.workers.event_loop import EventLoop

DEADLINE = 20.0


class Reporter:
    """A chain and a pool that report what a test says."""

    def __init__(self) -> None:
        self.head_listeners: list[Any] = []
        self.added_listeners: list[Any] = []
        self.dropped_listeners: list[Any] = []
        self.imported: list[tuple[Any, Any]] = []
        self.on_head = self.head_listeners.append
        self.on_added = self.added_listeners.append
        self.on_dropped = self.dropped_listeners.append

    def block_imported(self, transactions: Any, senders: Any) -> None:
        self.imported.append((transactions, senders))


def test_listeners_are_called_in_the_order_of_their_subscriptions() -> None:
    source, called = EventSource[int](), list[tuple[str, int]]()
    source.subscribe(lambda value: called.append(("first", value)))
    source.subscribe(lambda value: called.append(("second", value)))
    source.publish(1)
    assert called == [("first", 1), ("second", 1)]


async def test_no_change_is_missed_between_a_look_and_the_wait() -> None:
    change = HeadAndPeersSignal()
    before = change.next_event()
    change.notify()
    with trio.fail_after(DEADLINE):
        await before.wait()
    assert not change.next_event().is_set()


async def test_the_pool_learns_of_a_block_before_the_event_loop_does() -> None:
    reporter, events, event_loop, seen = Reporter(), NodeEvents(), EventLoop(), trio.Event()
    any_reporter: Any = reporter
    event_loop.attach()
    forward_chain_and_pool(events, event_loop, any_reporter, any_reporter)
    heads: list[Any] = []
    events.new_head.subscribe(heads.append)
    events.new_head.subscribe(lambda _: seen.set())
    new_head = SimpleNamespace(
        block=SimpleNamespace(transactions=("t",)), receipt_records=[SimpleNamespace(sender=b"s")]
    )

    def import_block() -> None:
        reporter.head_listeners[0](new_head)
        assert reporter.imported == [(("t",), [b"s"])]

    with trio.fail_after(DEADLINE):
        await trio.to_thread.run_sync(import_block)
        await seen.wait()
    assert heads == [new_head]


async def test_pool_reports_are_published() -> None:
    reporter, events, event_loop = Reporter(), NodeEvents(), EventLoop()
    any_reporter: Any = reporter
    event_loop.attach()
    forward_chain_and_pool(events, event_loop, any_reporter, any_reporter)
    published, seen = list[tuple[str, Any]](), trio.Event()
    events.pending_added.subscribe(lambda pooled: published.append(("added", pooled)))
    events.pending_dropped.subscribe(lambda pooled: published.append(("dropped", pooled)))
    events.pending_dropped.subscribe(lambda pooled: seen.set())
    with trio.fail_after(DEADLINE):
        await trio.to_thread.run_sync(reporter.added_listeners[0], "one")
        await trio.to_thread.run_sync(reporter.dropped_listeners[0], "two")
        await seen.wait()
    assert published == [("added", "one"), ("dropped", "two")]
