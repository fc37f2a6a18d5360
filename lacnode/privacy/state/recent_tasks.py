"""The private transactions that were read last. Markers of one payload often follow one another.

Any account can send many markers of one payload, which is executed at each of them while it fails. This module must not read
a payload.
"""

import threading
import time
from collections.abc import Callable

from lacnode.privacy.state.execution import PrivateTask

MAX_RECENT_BYTES = 4_194_304
"""The largest size of the private transactions that are kept. A longer one is not kept."""

MAX_RECENT_TASKS = 1_024
"""The largest number of private transactions that are kept. The objects of a short one are larger than its bytes."""

RECENT_SECONDS = 5.0
"""The time after which a payload is read again. The manager may have lost the group's record since."""


class RecentTaskCache:
    """The private transactions of the last `RECENT_SECONDS`, as tasks by the key of their payload. A payload that is here
    need not be read again. Safe to use from any thread. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tasks: dict[tuple[bytes, bool], tuple[PrivateTask, float]] = {}
        self._bytes = 0

    def find(self, payload_key: bytes, *, admitted: bool) -> PrivateTask | None:
        """Return the task of the payload `payload_key` (32 bytes) that was added in the last `RECENT_SECONDS` with the
        same `admitted` (as in `PayloadReader.read_task`). None if there is none. Its index is that of the marker for
        which the payload was read."""
        with self._lock:
            task, until_seconds = self._tasks.get((payload_key, admitted), (None, 0.0))
        return task if self._clock() < until_seconds else None

    def add(self, payload_key: bytes, task: PrivateTask, *, admitted: bool) -> None:
        """Keep the task of the payload `payload_key` (32 bytes), which was read now. `admitted` is as in
        `PayloadReader.read_task`. A task above `MAX_RECENT_BYTES` is not kept. The oldest tasks are dropped if all
        together are above `MAX_RECENT_BYTES`, or more than `MAX_RECENT_TASKS`."""
        size = len(task.private.raw)
        if size > MAX_RECENT_BYTES:
            return
        with self._lock:
            self._remove((payload_key, admitted))
            self._tasks[payload_key, admitted] = task, self._clock() + RECENT_SECONDS
            self._bytes += size
            while self._bytes > MAX_RECENT_BYTES or len(self._tasks) > MAX_RECENT_TASKS:
                self._remove(next(iter(self._tasks)))

    def _remove(self, key: tuple[bytes, bool]) -> None:
        removed = self._tasks.pop(key, None)
        if removed is not None:
            self._bytes -= len(removed[0].private.raw)
