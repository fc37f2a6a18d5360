"""Executions of blocks that are not decided yet, ours and others': the import of a decided block waits for none of them.

Building and checking are guesses at what a quorum will decide. Once it has decided, they are worth nothing, except the
execution of the very block that was decided: its import takes that one over.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.evm.budget import ExecutionBudget, ExecutionCancelledError


class SpeculativeExecutions:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[ExecutionBudget, bytes | None] = {}
        self._imports = 0

    @contextmanager
    def running(self, budget: ExecutionBudget, hash_: bytes | None = None) -> Iterator[ExecutionBudget]:
        """The budget of an execution that takes place inside, within `budget`. `hash_` is the 32-byte hash of the block,
        None while it is being built. ExecutionCancelledError if an import waits."""
        own = ExecutionBudget()
        with self._lock:
            if self._imports:
                raise ExecutionCancelledError("a decided block is imported first")
            self._running[own] = hash_
        try:
            yield own.joined_with(budget)
        finally:
            with self._lock:
                del self._running[own]

    @contextmanager
    def importing(self, hash_: bytes | None = None) -> Iterator[None]:
        """An import waits for its turn, or takes place, inside: executions of other blocks than `hash_` are cancelled."""
        with self._lock:
            self._imports += 1
            for budget, running in self._running.items():
                if running is None or running != hash_:
                    budget.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._imports -= 1
