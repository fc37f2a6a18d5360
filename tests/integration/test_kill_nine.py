"""`kill -9` at any moment: nothing that a node once had is lost, and the network goes on.

`python -m tests.integration.test_kill_nine 100` kills a hundred times; the test a few times.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.support.devnet import Devnet, ask, height, running_devnet, until

NAMES = [f"validator-{number}" for number in range(1, 5)]


def kill_at_random(network: Devnet, rng: random.Random, times: int) -> None:
    """Kill a random node at a random moment and start it again, `times` times, comparing what it has with what it had."""
    urls = {name: network.url(name) for name in NAMES}
    for _ in range(times):
        victim = rng.choice(NAMES)
        had = height(urls[victim])
        before = ask(urls[victim], "eth_getBlockByNumber", hex(max(0, had)), False)
        time.sleep(rng.random() * 0.6)
        network.command("kill", victim)
        network.command("start", victim)
        until(lambda: height(urls[victim]) >= had, f"{victim} has block {had} again")  # noqa: B023
        after = ask(urls[victim], "eth_getBlockByNumber", hex(max(0, had)), False)
        assert before is None or after["hash"] == before["hash"], f"{victim} changed block {had}"
    reached = max(height(url) for url in urls.values())
    for name, url in urls.items():
        until(lambda url=url: height(url) >= reached + 2, f"{name} goes on")  # type: ignore[misc]
    for number in range(reached + 1):
        hashes = {ask(url, "eth_getBlockByNumber", hex(number), False)["hash"] for url in urls.values()}
        assert len(hashes) == 1, f"two blocks at height {number}"


def test_killed_nodes_lose_nothing(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", "--block-period", "0.5") as network:
        kill_at_random(network, random.Random(7), 6)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory, running_devnet(Path(directory) / "net") as running:
        kill_at_random(running, random.Random(), int(sys.argv[1]))
        print(f"{sys.argv[1]} kills, nothing lost, head {height(running.url(NAMES[0]))}")
