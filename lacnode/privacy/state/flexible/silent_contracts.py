"""The groups whose contract did not answer lately. Any member of a group can make its contract never answer."""

import threading
import time
from collections.abc import Callable

SILENCE_SECONDS = 60.0
"""The time after which a contract is asked again, although its group has not changed."""

MAX_SILENT_CONTRACTS = 10_000
"""The largest number of groups that are kept."""

FORGIVEN_SHARE = 0.1
"""The seconds of lost time that are forgotten in each second."""


class SilentContracts:
    """The flexible groups whose contract did not answer in time, and the time that such contracts have cost. A silent
    contract is not asked again until its group changes or `SILENCE_SECONDS` have passed.

    Safe to use from any thread. `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[bytes, tuple[bytes, float]] = {}
        self._recently_lost_seconds = 0.0
        self._updated_at = clock()

    def recently_lost_seconds(self) -> float:
        """Return the seconds that contracts without an answer have cost lately. In each second `FORGIVEN_SHARE` seconds
        of them are forgotten. 0 at the start."""
        with self._lock:
            return self._lost()

    def _lost(self) -> float:
        now = self._clock()
        self._recently_lost_seconds = max(0.0, self._recently_lost_seconds - FORGIVEN_SHARE * (now - self._updated_at))
        self._updated_at = now
        return self._recently_lost_seconds

    def record_silence(self, group_id: bytes, root: bytes, seconds: float) -> None:
        """Record that the contract of the group did not answer when the group's state root was `root` (32 bytes). The
        `seconds` count as lost. Above `MAX_SILENT_CONTRACTS` the oldest group is forgotten."""
        with self._lock:
            self._recently_lost_seconds = self._lost() + seconds
            self._groups.pop(group_id, None)
            self._groups[group_id] = root, self._clock() + SILENCE_SECONDS
            if len(self._groups) > MAX_SILENT_CONTRACTS:
                del self._groups[next(iter(self._groups))]

    def count_lost_time(self, seconds: float) -> None:
        """Count `seconds` of an answer that came late as lost. Nothing is counted if they are negative."""
        if seconds > 0:
            with self._lock:
                self._recently_lost_seconds = self._lost() + seconds

    def was_silent(self, group_id: bytes, root: bytes) -> bool:
        """Return True if the group's contract did not answer in the last `SILENCE_SECONDS`, when the group had this
        state root (32 bytes)."""
        with self._lock:
            before, until_seconds = self._groups.get(group_id, (b"", 0.0))
        # A changed state may have another contract, so it is asked again at once.
        return before == root and self._clock() < until_seconds
