"""The share of one processor's time that a kind of work may take in this process.

The event loop and the execution of blocks share one interpreter lock with the methods. Work that has used up its share
waits until enough time has passed.
"""

import threading
import time
from collections.abc import Callable


class TimeShare:
    """An account of processor time. It earns `share` (0 to 1) of the passing time, up to `burst_seconds`, which it
    begins with.

    Safe to use from several threads. `now` is a monotonic clock in seconds.
    """

    def __init__(self, share: float, burst_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._burst_seconds = burst_seconds
        self._now = now
        self._lock = threading.Lock()
        self._left_seconds = burst_seconds
        self._counted_at = now()

    def spend(self, seconds: float) -> None:
        """Subtract `seconds` of used processor time. The account may become negative, which is a debt. It does not
        wait."""
        with self._lock:
            self._count()
            self._left_seconds -= seconds

    def delay_seconds(self) -> float:
        """Return the seconds of real time until the debt is paid, or 0 if there is none. It does not wait."""
        # The debt is in processor time. It is paid by `share` of each second that passes, hence the division.
        with self._lock:
            self._count()
            return max(0.0, -self._left_seconds) / self._share

    def _count(self) -> None:
        now = self._now()
        earned = (now - self._counted_at) * self._share
        self._left_seconds = min(self._burst_seconds, self._left_seconds + earned)
        self._counted_at = now
