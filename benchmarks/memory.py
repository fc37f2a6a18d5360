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
        largest, readers = max(_resident_bytes(psutil.Process(node["pid"])) for node in network.nodes)
    note = (
        f"largest of four, blocks every 0.25 s; its reader processes have {readers / 1e6:.0f} MB, shared pages counted"
    )
    return [Measure("resident memory of an idle validator after 200 blocks", largest / 1e6, "MB", 150, True, note)]


def _resident_bytes(node: psutil.Process) -> tuple[int, int]:
    """Bytes of the node's own process, and of its children together."""
    children = sum(child.memory_info().rss for child in node.children(recursive=True))
    return node.memory_info().rss, children
