"""The groups whose contract did not answer in time lately: anybody can have a group with us whose contract never does."""

import threading
import time
from collections.abc import Callable

SILENCE_SECONDS = 60.0
"""After which a contract is asked again, though its group has not changed."""

MAX_SILENT_CONTRACTS = 10_000
"""Groups that are remembered."""


class SilentContracts:
    """Safe from any thread. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[bytes, tuple[bytes, float]] = {}

    def add(self, group_id: bytes, root: bytes) -> None:
        """The contract did not answer when the group's state root was `root`."""
        with self._lock:
            self._groups.pop(group_id, None)
            self._groups[group_id] = root, self._clock() + SILENCE_SECONDS
            if len(self._groups) > MAX_SILENT_CONTRACTS:
                del self._groups[next(iter(self._groups))]

    def has(self, group_id: bytes, root: bytes) -> bool:
        """Whether it did not lately, and the root is the same."""
        with self._lock:
            before, until_seconds = self._groups.get(group_id, (b"", 0.0))
        return before == root and self._clock() < until_seconds
