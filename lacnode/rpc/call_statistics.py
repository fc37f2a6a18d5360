"""Times and errors of calls by method, for the metrics. Must not decide anything.

A method that this node does not have is not counted, so a caller cannot add names.
"""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from lacnode.rpc import errors
from lacnode.rpc.errors import RpcError

REMEMBERED_CALLS = 256
"""Calls of a method whose times are remembered, for the quantiles."""

QUANTILES = (0.2, 0.5, 0.8, 0.95, 0.99, 1.0)
"""The quantiles of Besu's timers."""

_ERROR_TYPES = {
    errors.INVALID_REQUEST: "INVALID_REQUEST",
    errors.INVALID_PARAMS: "INVALID_PARAMS",
    errors.INTERNAL_ERROR: "INTERNAL_ERROR",
    errors.METHOD_NOT_ENABLED: "METHOD_NOT_ENABLED",
    errors.LIMIT_EXCEEDED: "EXCEEDS_LIMIT",
    errors.SERVER_ERROR: "SERVER_ERROR",
    errors.ENODE_ERROR: "PARSE_ENODE_ERROR",
    errors.UNAUTHORIZED: "UNAUTHORIZED",
}
OTHER_ERROR = "OTHER"
"""The type of an error with a code of its own, such as a reason of the pool."""


@dataclass(slots=True)
class _Times:
    count: int = 0
    total_seconds: float = 0.0
    last_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_CALLS))


@dataclass(frozen=True, slots=True)
class MethodTimes:
    """The times of one RPC method: `count` is the number of its calls that have ended since the start, and
    `total_seconds` the sum of their times. `quantiles` (seconds) are those of the last `REMEMBERED_CALLS` of them, in
    the order of `QUANTILES`."""

    method: str
    count: int
    total_seconds: float
    quantiles: tuple[float, ...]


class CallStatistics:
    """Counts the calls of each RPC method, their times and their errors since the start, for all ports of a node. Safe
    to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, _Times] = {}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._shown: dict[str, MethodTimes] = {}

    def count_call(self, method: str, seconds: float) -> None:
        """Count a call of `method`, which this node has, that has ended after `seconds`, with a result or an error."""
        with self._lock:
            times = self._times.setdefault(method, _Times())
            times.count += 1
            times.total_seconds += seconds
            times.last_seconds.append(seconds)

    def count_error(self, method: str, error: RpcError) -> None:
        """Count that a call of `method`, which this node has, ended in `error`. It does not count the call itself."""
        with self._lock:
            self._errors[method, _ERROR_TYPES.get(error.code, OTHER_ERROR)] += 1

    def times(self) -> list[MethodTimes]:
        """Return the times of each method that was called since the start. Empty before the first call."""
        shown = self._shown
        with self._lock:
            # Most methods are not called between two scrapes: their quantiles are those of the last one.
            copies = [
                (name, times.count, times.total_seconds, list(times.last_seconds))
                for name, times in self._times.items()
                if name not in shown or shown[name].count != times.count
            ]
        # Sorted without the lock: calls must not wait for a scrape.
        new = {name: MethodTimes(name, count, total, _quantiles(sorted(last))) for name, count, total, last in copies}
        # A new dictionary, because two scrapes may run at the same time.
        self._shown = {**shown, **new}
        return list(self._shown.values())

    def errors(self) -> Counter[tuple[str, str]]:
        """Return a copy of the counts of errors since the start. A key is the method and Besu's name of the error's
        type, or `OTHER_ERROR`."""
        with self._lock:
            return self._errors.copy()


def _quantiles(ordered: Sequence[float]) -> tuple[float, ...]:
    return tuple(ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] for quantile in QUANTILES)
