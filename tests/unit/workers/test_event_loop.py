"""Calls from worker threads reach the event loop of their node."""

import threading

import trio

from lacnode.workers.event_loop import EventLoop

DEADLINE = 20.0


async def test_a_thread_calls_on_the_event_loop_and_gets_the_result() -> None:
    event_loop = EventLoop()
    event_loop.attach()
    here = threading.get_ident()
    with trio.fail_after(DEADLINE):
        assert await trio.to_thread.run_sync(event_loop.call, threading.get_ident) == here


async def test_call_soon_does_not_wait_and_keeps_the_order() -> None:
    event_loop, called, is_done = EventLoop(), list[int](), trio.Event()
    event_loop.attach()

    def report() -> None:
        for number in range(10):
            event_loop.call_soon(called.append, number)
        event_loop.call_soon(is_done.set)

    with trio.fail_after(DEADLINE):
        await trio.to_thread.run_sync(report)
        await is_done.wait()
    assert called == list(range(10))


def test_before_the_loop_runs_a_call_runs_at_once_and_later_calls_are_dropped() -> None:
    event_loop, called = EventLoop(), list[int]()
    event_loop.call_soon(called.append, 1)
    assert called == []
    assert event_loop.call(lambda: 2) == 2


def test_after_the_loop_has_ended_calls_are_dropped() -> None:
    event_loop, called = EventLoop(), list[int]()

    async def run() -> None:
        event_loop.attach()

    trio.run(run)
    event_loop.call_soon(called.append, 1)
    assert called == []
