"""QBFT against IBFT 2.0 in one run, each round with both: start-up, memory, and the processor time of a transaction."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

from benchmarks.load import TRANSFERS
from benchmarks.measure import Measure
from benchmarks.networks import Network, devnet
from benchmarks.throughput import Held, hold_rate

ROUNDS = 3
RATE = 200
SECONDS = 30
AT_MOST = 1.05
AT_LEAST = 0.95


@dataclass
class Seen:
    """What the networks of one protocol showed, a value for each round."""

    protocol: str
    start_seconds: list[float] = field(default_factory=list)
    resident_megabytes: list[float] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)

    def run(self) -> None:
        """Start a network, send transfers, and stop it."""
        self.held.append(hold_rate(self._network, TRANSFERS, RATE, batched=False, seconds=SECONDS))

    @contextmanager
    def _network(self) -> Iterator[Network]:
        began = time.perf_counter()
        with devnet("--block-period", "2", "--consensus", self.protocol) as network:
            self.start_seconds.append(time.perf_counter() - began)
            yield network
            largest = max(psutil.Process(node["pid"]).memory_info().rss for node in network.nodes)
            self.resident_megabytes.append(largest / 1e6)


def measure() -> list[Measure]:
    """Ratios of QBFT to IBFT 2.0: medians of a few rounds. The protocols take turns, so that other work meets both."""
    ibft2, qbft = Seen("ibft2"), Seen("qbft")
    for _ in range(ROUNDS):
        ibft2.run()
        qbft.run()
    both = (ibft2, qbft)
    processor = tuple([held.node_milliseconds for held in seen.held] for seen in both)
    mined = tuple([held.mined for held in seen.held] for seen in both)
    load = f"{RATE}/s one a request"
    return [
        _ratio("command to block 1", [seen.start_seconds for seen in both], "s"),
        _ratio("resident memory of a validator after the load", [seen.resident_megabytes for seen in both], "MB"),
        _ratio(f"processor time of a transfer and validator, {load}", processor, "ms"),
        _ratio(f"transfers mined a second, {load}", mined, "tx/s", at_most=False),
    ]


def _ratio(name: str, values: Sequence[Sequence[float]], unit: str, at_most: bool = True) -> Measure:
    ibft2, qbft = (statistics.median(of_protocol) for of_protocol in values)
    note = f"IBFT 2.0 {ibft2:.2f} {unit}, QBFT {qbft:.2f} {unit}, medians of {ROUNDS}"
    aim = AT_MOST if at_most else AT_LEAST
    return Measure(f"QBFT against IBFT 2.0: {name}", qbft / ibft2, "x", aim, at_most, note)


if __name__ == "__main__":
    for result in measure():
        print(f"{result.name}: {result.value:.3f} {result.unit} ({result.verdict}; {result.note})")
