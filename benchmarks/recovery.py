"""How long a network that lost its quorum for a minute needs for its next block, once the quorum is back."""

import time

from benchmarks.measure import Measure
from benchmarks.networks import devnet
from lacnode.rpc.json_rpc_client import NodeUnreachableError, block_number

DOWN_SECONDS = 60.0
TIMEOUT = 2.0
"""The devnet's request timeout with a block period of one second."""


def measure() -> list[Measure]:
    """Seconds from `devnet start` to the next block, the starting of the processes included."""
    with devnet() as network:
        survivor = network.nodes[0]["rpc_url"]
        network.command("kill", "validator-3", "validator-4")
        stopped_at = _settled(survivor)
        time.sleep(DOWN_SECONDS)
        started = time.monotonic()
        network.command("start", "validator-3", "validator-4")
        while _height(survivor) <= stopped_at:
            time.sleep(0.01)
        elapsed = time.monotonic() - started
    rounds = int(DOWN_SECONDS / TIMEOUT).bit_length()
    bound = sum(TIMEOUT * 2 ** (rounds + extra) for extra in range(2))
    note = f"two of four down for {DOWN_SECONDS:.0f} s; bound {bound:.0f} s: the round reached and the next one"
    return [Measure("quorum back to next block", elapsed, "s", note=note)]


def _settled(url: str) -> int:
    """The height at which it stopped."""
    height = block_number(url)
    while True:
        time.sleep(3)
        if block_number(url) == height:
            return height
        height = block_number(url)


def _height(url: str) -> int:
    try:
        return block_number(url)
    except NodeUnreachableError:
        return -1
