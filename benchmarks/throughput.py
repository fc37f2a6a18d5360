"""What four validators on this machine carry for a minute with blocks every two seconds, and the processor time it takes.

A rate counts as held if the 95th percentile of block intervals stays at 2.5 s or less and the transactions sent are mined.
The first rate tried is the aim. While a rate is held the next one is tried, and the one below it where it is not. The load
generator shares the machine with the validators: its time is shown, because it is taken from theirs.
`python -m benchmarks.throughput RATE [SECONDS [KIND]]` shows one rate, sent one a request.
"""

import itertools
import statistics
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import psutil  # type: ignore[import-untyped]

from benchmarks.load import BATCH_TRANSACTIONS, RELAY_CALLS, TOKENS, TRANSFERS, LoadGenerator
from benchmarks.measure import Measure
from benchmarks.networks import Network, block_shown, devnet, processor_seconds
from benchmarks.peer_networks import available, peer_network
from lacnode.rpc.json_rpc_client import block_number

SECONDS = 60
MAX_INTERVAL_SECONDS = 2.5
MINED_SHARE = 0.95
RATES = (25, 50, 75, 100, 150, 200, 300, 400, 500, 650, 800, 1000, 1250, 1500, 2000)
AIMS = {TRANSFERS: 500, TOKENS: 400, RELAY_CALLS: 200}
BATCH_AIMS = {TRANSFERS: 1500, TOKENS: 1000, RELAY_CALLS: 400}

Networks = Callable[[], AbstractContextManager[Network]]
OURS: Networks = partial(devnet, "--block-period", "2")


@dataclass(frozen=True)
class Held:
    """What one rate led to. Intervals in seconds, processor times in milliseconds a transaction."""

    sent: float
    mined: float
    interval: float
    node_milliseconds: float
    generator_milliseconds: float

    def __str__(self) -> str:
        return (
            f"{self.sent:.0f}/s sent, {self.mined:.0f}/s mined, p95 block interval {self.interval:.2f} s; processor time "
            f"a transaction: {self.node_milliseconds:.2f} ms of a validator, "
            f"{self.generator_milliseconds:.2f} ms of the generator"
        )


def measure() -> list[Measure]:
    """The highest rate held for each kind of transaction, in transactions a second."""
    measures = [_highest("one a request", kind, aim, OURS) for kind, aim in AIMS.items()]
    measures += [_highest(f"batches of {BATCH_TRANSACTIONS}", kind, aim, OURS) for kind, aim in BATCH_AIMS.items()]
    for peer in available():
        measures += [_highest(peer, kind, None, partial(peer_network, peer)) for kind in AIMS]
    return measures


def _highest(label: str, kind: str, aim: int | None, networks: Networks) -> Measure:
    batched = label.startswith("batches")
    # A peer has no aim: its search begins at half of ours.
    place = bisect_left(RATES, aim or AIMS[kind] // 2)
    results: dict[int, Held] = {}
    while 0 <= place < len(RATES) and place not in results:
        results[place] = hold_rate(networks, kind, RATES[place], batched)
        held = _is_held(results[place], RATES[place])
        print(f"  {kind}, {label}, {RATES[place]}/s: {results[place]} ({'held' if held else 'not held'})", flush=True)
        place += 1 if held else -1
    found = max((place for place, result in results.items() if _is_held(result, RATES[place])), default=None)
    name = f"highest rate held, {label}: {kind}"
    if found is None:
        return Measure(name, 0.0, "tx/s", aim, note="none of the rates tried was held")
    return Measure(name, RATES[found], "tx/s", aim, note=str(results[found]))


def _is_held(result: Held, rate: int) -> bool:
    return result.interval <= MAX_INTERVAL_SECONDS and result.mined >= MINED_SHARE * rate


def hold_rate(networks: Networks, kind: str, rate: int, batched: bool, seconds: int = SECONDS) -> Held:
    """Send `rate` transactions a second of `kind` to a new network of `networks` for `seconds`."""
    with networks() as network:
        generator = LoadGenerator(network)
        transactions = generator.prepare(kind, rate * seconds)
        url = network.nodes[0]["rpc_url"]
        nodes = [psutil.Process(node["pid"]) for node in network.nodes]
        first, used = block_number(url), processor_seconds(nodes)
        send = generator.send_in_batches if batched else generator.send_singly
        sending = send(transactions, rate)
        last = block_number(url)
        # Two more blocks take what the pool still has.
        time.sleep(2 * MAX_INTERVAL_SECONDS)
        used = processor_seconds(nodes) - used
        blocks = [block_shown(url, number) for number in range(first + 1, block_number(url) + 1)]
        mined = sum(len(block["transactions"]) for block in blocks)
        return Held(
            sent=len(transactions) / sending.seconds,
            mined=mined / max(seconds, sending.seconds),
            interval=_p95([int(block["timestamp"], 16) for block in blocks[: last - first]]),
            node_milliseconds=used / len(nodes) / max(1, mined) * 1000,
            generator_milliseconds=sending.processor_seconds / len(transactions) * 1000,
        )


def _p95(arrivals: Sequence[int]) -> float:
    intervals = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    return statistics.quantiles(intervals, n=20)[-1] if len(intervals) > 1 else float("inf")


if __name__ == "__main__":
    asked_rate, asked_seconds = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    for asked_kind in sys.argv[3:] or list(AIMS):
        print(f"{asked_kind}: {hold_rate(OURS, asked_kind, asked_rate, batched=False, seconds=asked_seconds)}")
