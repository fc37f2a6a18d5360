"""Executions of blocks that are not decided yet. The import of a decided block does not wait for them.

A block that is built or checked may never be decided. Once another block is decided, its execution is worth nothing. The
execution of the decided block itself is the exception: the import uses it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.evm.budget import ExecutionBudget, ExecutionCancelledError


class SpeculativeExecutions:
    """The executions of blocks that are built or checked now and not decided yet, and the number of imports that wait
    or run. An import that begins cancels all executions but that of its own block, and until it ends none may begin.
    Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[ExecutionBudget, bytes | None] = {}
        self._imports = 0

    @contextmanager
    def speculative_budget(
        self, budget: ExecutionBudget, except_import_of: bytes | None = None
    ) -> Iterator[ExecutionBudget]:
        """Give the budget of an execution inside this context. It ends when `budget` ends, or when the import of
        another block begins. Do not cancel it: that cancels `budget` too.

        `except_import_of` is the on-chain hash (32 bytes) of the executed block: its own import uses the result and
        does not end the execution. It is None while a block is built: then every import ends the execution. Raises
        ExecutionCancelledError at the entry if any import is under way, also that of `except_import_of`.
        """
        own = ExecutionBudget()
        with self._lock:
            if self._imports:
                raise ExecutionCancelledError("a decided block is imported first")
            self._running[own] = except_import_of
            # Refused at once: the import would cancel it, and the thread would be busy until its next check.
        try:
            yield own.joined_with(budget)
        finally:
            with self._lock:
                del self._running[own]

    @contextmanager
    def import_in_progress(self, hash_: bytes | None = None) -> Iterator[None]:
        """The context of an import. At its entry, all executions are cancelled but those of the imported block `hash_`
        (32 bytes). None, for an import of many blocks, cancels all. No new execution starts until the context ends. The
        entry does not wait until the cancelled ones have stopped."""
        with self._lock:
            self._imports += 1
            for budget, running in self._running.items():
                # All of them, before the caller waits for the lock of the chain, which such an execution holds.
                if running is None or running != hash_:
                    budget.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._imports -= 1
