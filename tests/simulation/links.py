"""The wire between simulated nodes: delay, loss, duplication, reordering, partition."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.clock import VirtualClock


@dataclass(slots=True)
class Weather:
    """How bad the network is. Delays in milliseconds; `bytes_per_ms` is what a wire carries each way, 0 for any number; the
    rest are probabilities."""

    min_delay_ms: int = 5
    max_delay_ms: int = 40
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    bytes_per_ms: int = 0

    @property
    def fair(self) -> "Weather":
        """The same distances under a clear sky."""
        return Weather(self.min_delay_ms, self.max_delay_ms)


class Links:
    """Carries messages between nodes, which are numbered from 0. In order per pair unless the weather reorders."""

    def __init__(self, clock: VirtualClock, rng: random.Random, weather: Weather) -> None:
        self.weather = weather
        self._clock = clock
        self._rng = rng
        self.permits: Callable[[int, int], bool] = lambda a, b: True
        """Whether node `a` lets a connection to node `b` be, as it sees things now."""
        self.lag_ms: Counter[int] = Counter()
        """How much later node `index` gets to what it sends and receives, for want of a processor."""
        self._sides: dict[int, int] = {}
        self._last_arrival: dict[tuple[int, int], int] = {}

    def partition(self, sides: dict[int, int]) -> None:
        """Cut the network: nodes talk only within their side. An empty mapping heals it."""
        self._sides = sides

    def connected(self, a: int, b: int) -> bool:
        """Whether a message from `a` would reach `b` now."""
        return self._sides.get(a, 0) == self._sides.get(b, 0) and self.permits(a, b) and self.permits(b, a)

    def busy_ms(self, size_bytes: int) -> int:
        """For how long a message of this size keeps a wire busy."""
        return size_bytes // self.weather.bytes_per_ms if self.weather.bytes_per_ms else 0

    def carry(self, source: int, target: int, deliver: Callable[[], None], *, may_lose: bool) -> bool:
        """Deliver after a while; where the weather may do so, twice or never. False if the wire is cut."""
        if not self.connected(source, target):
            return False
        if may_lose and self._rng.random() < self.weather.loss:
            return True
        copies = 2 if may_lose and self._rng.random() < self.weather.duplication else 1
        for _ in range(copies):
            delay = self._rng.randint(self.weather.min_delay_ms, self.weather.max_delay_ms)
            arrival = self._clock.now_ms + delay + self.lag_ms[source] + self.lag_ms[target]
            if not may_lose or self._rng.random() >= self.weather.reordering:
                arrival = max(arrival, self._last_arrival.get((source, target), 0))
                self._last_arrival[source, target] = arrival
            self._clock.at(arrival, lambda: self._arrive(source, target, deliver))
        return True

    def _arrive(self, source: int, target: int, deliver: Callable[[], None]) -> None:
        if self.connected(source, target):
            deliver()
