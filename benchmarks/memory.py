"""Resident memory of an idle validator after 200 blocks."""

import time

import psutil  # type: ignore[import-untyped]

from benchmarks.measure import Measure
from benchmarks.networks import devnet
from lacnode.rpc.json_rpc_client import block_number

BLOCKS = 200


def measure() -> list[Measure]:
    """The largest of four validators, in megabytes (10^6 bytes)."""
    with devnet("--block-period", "0.25") as network:
        while min(block_number(node["rpc_url"]) for node in network.nodes) < BLOCKS:
            time.sleep(0.2)
        largest = max(psutil.Process(node["pid"]).memory_info().rss for node in network.nodes)
    note = "largest of four, blocks every 0.25 s"
    return [Measure("resident memory of an idle validator after 200 blocks", largest / 1e6, "MB", 150, True, note)]
