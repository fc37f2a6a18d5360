"""The queue of payloads that the node asked for and that this manager does not have.

It decides which payloads to ask other managers for, and when. Most of them belong to other groups, and no manager will
send them. So each is asked for a limited number of times, with growing pauses. This module must not send anything.
"""

import threading
import time
from collections.abc import Callable

FIRST_FETCH_PAUSE_SECONDS, LONGEST_FETCH_PAUSE_SECONDS = 1.0, 60.0
FETCH_ATTEMPTS = 12
MAX_MISSING_PAYLOADS = 10_000


class MissingPayloads:
    """A bounded queue with growing pauses. Safe to use from several threads. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[bytes, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add_missing(self, key: bytes) -> None:
        """Record that the payload `key` (32 bytes) is missing. No effect if it is known or if the queue is full."""
        with self._lock:
            # A key that was given up stays in the queue with its count. If it were removed, the node's next question
            # would start its attempts again, and the other managers would be asked for ever.
            if len(self._due) < MAX_MISSING_PAYLOADS:
                self._due.setdefault(key, (self._clock(), 0))

    def remove_found(self, key: bytes) -> None:
        """Remove the payload `key` (32 bytes), which has arrived."""
        with self._lock:
            self._due.pop(key, None)

    def pop_due(self, limit: int) -> list[bytes]:
        """Return up to `limit` keys whose time has come. Each is due again after a pause of twice the length."""
        with self._lock:
            now = self._clock()
            due = [key for key, (when, attempts) in self._due.items() if when <= now and attempts < FETCH_ATTEMPTS][
                :limit
            ]
            for key in due:
                attempts = self._due[key][1]
                # The pauses are 1, 2, 4 ... 60 seconds. A payload that was only late comes soon, and one that never
                # comes costs little.
                pause = min(FIRST_FETCH_PAUSE_SECONDS * 2**attempts, LONGEST_FETCH_PAUSE_SECONDS)
                self._due[key] = (now + pause, attempts + 1)
            # The keys that were given up are only removed when there is no more space. Until then they stop questions.
            if len(self._due) >= MAX_MISSING_PAYLOADS:
                self._due = {key: entry for key, entry in self._due.items() if entry[1] < FETCH_ATTEMPTS}
            return due
