"""Payloads that were asked for and are not here: which to ask the other managers for, and when.

Most are other people's and nobody will send them, so each is asked for a bounded number of times, ever more rarely.
Must not ask itself.
"""

import threading
import time
from collections.abc import Callable

FIRST_FETCH_PAUSE_SECONDS, LONGEST_FETCH_PAUSE_SECONDS = 1.0, 60.0
FETCH_ATTEMPTS = 12
MAX_MISSING_PAYLOADS = 10_000


class MissingPayloads:
    """A bounded queue with back-off, for any number of threads. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[bytes, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: bytes) -> None:
        """`key` was asked for in vain. Ignored if it is queued, given up already, or the queue is full."""
        with self._lock:
            if len(self._due) < MAX_MISSING_PAYLOADS:
                self._due.setdefault(key, (self._clock(), 0))

    def found(self, key: bytes) -> None:
        """`key` has come."""
        with self._lock:
            self._due.pop(key, None)

    def take_due(self, limit: int) -> list[bytes]:
        """Up to `limit` keys whose time has come; each is due again after a pause twice as long, `FETCH_ATTEMPTS` times."""
        with self._lock:
            now = self._clock()
            due = [key for key, (when, attempts) in self._due.items() if when <= now and attempts < FETCH_ATTEMPTS][
                :limit
            ]
            for key in due:
                attempts = self._due[key][1]
                pause = min(FIRST_FETCH_PAUSE_SECONDS * 2**attempts, LONGEST_FETCH_PAUSE_SECONDS)
                self._due[key] = (now + pause, attempts + 1)
            if len(self._due) >= MAX_MISSING_PAYLOADS:
                self._due = {key: entry for key, entry in self._due.items() if entry[1] < FETCH_ATTEMPTS}
            return due
