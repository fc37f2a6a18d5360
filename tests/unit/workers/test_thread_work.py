"""Short work in a thread: its result, its error, and a caller that does not wait."""

import threading

import pytest
import trio
import trio.testing

from lacnode.workers.thread_work import ThreadWork

DEADLINE = 60.0


class Done:
    """Counts how often it was called, and where."""

    def __init__(self) -> None:
        self.threads = list[int]()
        self.event = trio.Event()

    def __call__(self) -> None:
        self.threads.append(threading.get_ident())
        self.event.set()


async def test_the_result_of_another_thread_arrives() -> None:
    done = Done()
    with trio.fail_after(DEADLINE):
        assert await ThreadWork(threading.get_ident, done).result() != threading.get_ident()
    assert done.threads == [threading.get_ident()]


async def test_the_error_of_the_work_arrives() -> None:
    done = Done()
    with trio.fail_after(DEADLINE), pytest.raises(ZeroDivisionError):
        await ThreadWork(lambda: 1 // 0, done).result()
    assert len(done.threads) == 1


async def test_a_result_that_is_asked_for_late_is_there() -> None:
    done = Done()
    work = ThreadWork(lambda: 7, done)
    with trio.fail_after(DEADLINE):
        await done.event.wait()
        assert await work.result() == 7


async def test_a_cancelled_caller_does_not_wait_and_the_end_is_still_told() -> None:
    done, go_on = Done(), threading.Event()
    with trio.fail_after(DEADLINE):
        with trio.CancelScope() as leaving:
            work = ThreadWork(lambda: go_on.wait(DEADLINE), done)
            leaving.cancel()
            await work.result()
        assert leaving.cancelled_caught
        assert not done.threads
        go_on.set()
        await done.event.wait()
