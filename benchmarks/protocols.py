"""QBFT against IBFT 2.0 in one run, each round with both: start-up, memory, and the processor time of a transaction."""

import statistics
from collections.abc import Callable
from functools import partial

from benchmarks.load import TRANSFERS
from benchmarks.measure import Measure
from benchmarks.memory import resident_bytes_after_blocks
from benchmarks.networks import devnet
from benchmarks.start_up import seconds_to_block_1
from benchmarks.throughput import Held, hold_rate

ROUNDS = 3
RATE = 200
SECONDS = 30
AT_MOST = 1.05
AT_LEAST = 0.95


def measure() -> list[Measure]:
    """Ratios of QBFT to IBFT 2.0: medians of a few rounds."""
    start = _compared(lambda protocol: seconds_to_block_1("--consensus", protocol))
    memory = _compared(lambda protocol: resident_bytes_after_blocks("--consensus", protocol)[0] / 1e6)
    loads: dict[str, list[Held]] = {protocol: [] for protocol in ("ibft2", "qbft")}
    processor = _compared(partial(_processor_milliseconds, loads))
    mined = {protocol: statistics.median(held.mined for held in found) for protocol, found in loads.items()}
    return [
        _ratio("command to block 1", start, "s"),
        _ratio("resident memory of an idle validator", memory, "MB"),
        _ratio(f"processor time of a transfer and validator, {RATE}/s one a request", processor, "ms"),
        _ratio(f"transfers mined a second, {RATE}/s sent", mined, "tx/s", at_most=False),
    ]


def _processor_milliseconds(loads: dict[str, list[Held]], protocol: str) -> float:
    networks = partial(devnet, "--block-period", "2", "--consensus", protocol)
    held = hold_rate(networks, TRANSFERS, RATE, batched=False, seconds=SECONDS)
    loads[protocol].append(held)
    return held.node_milliseconds


def _compared(measured: Callable[[str], float]) -> dict[str, float]:
    """The median of what is measured for each protocol. They take turns, so that other work meets both."""
    rounds = [(measured("ibft2"), measured("qbft")) for _ in range(ROUNDS)]
    ibft2, qbft = zip(*rounds, strict=True)
    return {"ibft2": statistics.median(ibft2), "qbft": statistics.median(qbft)}


def _ratio(name: str, values: dict[str, float], unit: str, at_most: bool = True) -> Measure:
    note = f"IBFT 2.0 {values['ibft2']:.2f} {unit}, QBFT {values['qbft']:.2f} {unit}, medians of {ROUNDS}"
    aim = AT_MOST if at_most else AT_LEAST
    return Measure(f"QBFT against IBFT 2.0: {name}", values["qbft"] / values["ibft2"], "x", aim, at_most, note)
