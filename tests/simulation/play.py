"""A story on virtual time: an event loop of its own whose every decision comes from a seed.

Trio shuffles the tasks that can run at one moment, so that no one relies on their order. Here the order is drawn from a
seed, in the way in which trio itself lets Hypothesis do it (`trio._core._run._hypothesis_plugin_setup`).
"""

import functools
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import trio

from lacnode.crypto import secp256k1
from tests.simulation.clock import VirtualClock
from tests.simulation.operator_log import collected_logs
from tests.simulation.virtual_time import monotonic_time

START_MS = 1_700_000_000_000
MAX_ACTIONS = 600_000
"""Deliveries and timers in the life of one network. Ten validators with three liars need some 50 000."""

P = ParamSpec("P")
T = TypeVar("T")

_nursery: ContextVar[trio.Nursery] = ContextVar("story_nursery")


def play(story: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
    """What `story` returns or raises, in virtual time from `START_MS` on."""
    clock = VirtualClock(START_MS, MAX_ACTIONS)

    async def main() -> T:
        async with trio.open_nursery() as nursery:
            _nursery.set(nursery)
            result = await story(*arguments, **named)
            nursery.cancel_scope.cancel()
        return result

    with (
        _one_order_of_tasks(),
        _signatures_recovered_once(),
        collected_logs(),
        monotonic_time(clock.current_time),
    ):
        try:
            return trio.run(main, clock=clock)
        except BaseExceptionGroup as group:
            raise _first(group) from None


def simulated(story: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Decorates a test: its story is played in virtual time."""

    @functools.wraps(story)
    def test(*arguments: P.args, **named: P.kwargs) -> None:
        play(story, *arguments, **named)

    return test


def story_nursery() -> trio.Nursery:
    """Where the tasks of the story that is being played run, until it ends."""
    return _nursery.get()


def virtual_clock() -> VirtualClock:
    """The clock of the story that is being played."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, VirtualClock)
    return clock


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class _Order:
    """Trio's source of chance: from a seed in this thread, the ordinary one in every other. Another event loop may run in
    this process, for a network that several tests share; it must not take from the story's."""

    def __init__(self, ordinary: random.Random) -> None:
        self._ordinary = ordinary
        self._seeded = random.Random(0)
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seeded if threading.get_ident() == self._thread else self._ordinary, name)


@contextmanager
def _one_order_of_tasks() -> Iterator[None]:
    scheduler = trio._core._run
    was, ordinary = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r = _Order(ordinary)  # type: ignore[assignment]
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = was  # type: ignore[misc]
        scheduler._r = ordinary


@contextmanager
def _signatures_recovered_once() -> Iterator[None]:
    """Every node checks the same signatures; recovering one takes longer than all the rest of a delivery."""
    recover = secp256k1.recover_public_key
    secp256k1.recover_public_key = functools.lru_cache(maxsize=None)(recover)
    try:
        yield
    finally:
        secp256k1.recover_public_key = recover
