"""Validators with different engines in one network under a mixed load: do all of them agree on each block?

Two validators execute with py-evm, two with the native engine, and one with both, which compares each block.
`python -m benchmarks.mixed_engines MINUTES` runs for so long.
"""

import sys
import time
from itertools import cycle
from pathlib import Path

from benchmarks.load import RELAY_CALLS, TOKENS, TRANSFERS, LoadGenerator
from benchmarks.measure import Measure
from benchmarks.networks import Network, block_shown, devnet
from lacnode.evm.engine_differences import DIFFERENCES_DIRECTORY
from lacnode.evm.engine_kind import why_no_library
from lacnode.rpc.json_rpc_client import NodeUnreachableError, block_number

MINUTES = 5
RATE = 10
"""Transactions a second: py-evm and the comparison of both engines must keep up on the same two cores."""

ENGINES = ("python", "python", "native", "native", "both")


def measure(minutes: int = MINUTES) -> list[Measure]:
    """The number of blocks that differ between the nodes. Nothing where the native library is not built."""
    reason = why_no_library()
    if reason is not None:
        print(f"  networks of several engines are not measured: {reason}")
        return []
    with devnet("--validators", str(len(ENGINES))) as network:
        _choose_engines(network)
        sent = _send_mixed(network, minutes)
        return [_compared(network, sent, minutes)]


def _choose_engines(network: Network) -> None:
    for node, engine in zip(network.nodes, ENGINES, strict=True):
        network.command("kill", node["name"])
        with _directory(network, node).joinpath("config.toml").open("a") as file:
            file.write(f'\nevm = "{engine}"\n')
        network.command("start", node["name"])
    _await_answers(network)


def _await_answers(network: Network) -> None:
    """Wait until each node answers. NodeUnreachableError of the last question if one does not in two minutes."""
    end = time.monotonic() + 120
    for node in network.nodes:
        while True:
            try:
                block_number(node["rpc_url"])
                break
            except NodeUnreachableError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)


def _directory(network: Network, node: dict[str, str]) -> Path:
    return network.path / "nodes" / node["name"]


def _send_mixed(network: Network, minutes: int) -> int:
    """Send transfers, tokens and relay-like calls in turn, a minute each. Return the number of transactions."""
    generator, sent = LoadGenerator(network), 0
    for _, kind in zip(range(minutes), cycle((TRANSFERS, TOKENS, RELAY_CALLS)), strict=False):
        transactions = generator.prepare(kind, 60 * RATE)
        generator.send_singly(transactions, RATE)
        sent += len(transactions)
        print(f"  {sent} transactions sent, block {block_number(network.nodes[0]['rpc_url'])}", flush=True)
    return sent


def _compared(network: Network, sent: int, minutes: int) -> Measure:
    last = _common_block(network)
    differing, mined = 0, 0
    for number in range(1, last + 1):
        shown = [block_shown(node["rpc_url"], number) for node in network.nodes]
        differing += len({(block["hash"], block["stateRoot"], block["receiptsRoot"]) for block in shown}) > 1
        mined += len(shown[0]["transactions"])
    reports = [
        report
        for node in network.nodes
        for report in (_directory(network, node) / "data" / DIFFERENCES_DIRECTORY).glob("*")
    ]
    note = (
        f"{mined} transactions in {last} blocks, {sent} sent, {minutes} minutes, validators with {', '.join(ENGINES)}"
    )
    return Measure("blocks on which engines differ", differing + len(reports), "blocks", 0, True, note)


def _common_block(network: Network) -> int:
    """Wait until all nodes have the block that the first one has. RuntimeError if they do not get it in a minute."""
    last, end = block_number(network.nodes[0]["rpc_url"]), time.monotonic() + 60
    while min(block_number(node["rpc_url"]) for node in network.nodes) < last:
        if time.monotonic() > end:
            raise RuntimeError(f"a node has not reached block {last}")
        time.sleep(0.5)
    return last


if __name__ == "__main__":
    for measured in measure(int(sys.argv[1]) if len(sys.argv) > 1 else MINUTES):
        print(f"{measured.name}: {measured.value:.0f} ({measured.note})")
