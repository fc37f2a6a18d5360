"""A devnet of processes to measure on."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from lacnode.rpc.json_rpc_client import call_all


class Network:
    """A running devnet: `nodes` and `accounts` as `lacnode devnet --json` gives them."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.nodes: list[dict[str, Any]] = document["nodes"]
        self.accounts: list[dict[str, str]] = document["accounts"]

    def command(self, *words: str) -> None:
        """`lacnode devnet WORDS` on this network."""
        subprocess.run(_devnet(*words, "--data-path", str(self.path)), check=True, stdout=subprocess.DEVNULL)


@contextmanager
def devnet(*options: str) -> Iterator[Network]:
    """Four validators that have reached block 1; they stop at the end."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "net"
        started = subprocess.run(
            _devnet("--detach", "--json", *options, "--data-path", str(path)), check=True, stdout=subprocess.PIPE
        )
        network = Network(path, json.loads(started.stdout))
        try:
            yield network
        finally:
            network.command("stop")


def _devnet(*words: str) -> list[str]:
    return [sys.executable, "-m", "lacnode", "devnet", *words]


def block_shown(url: str, number: int) -> dict[str, Any]:
    """The block `number` as `eth_getBlockByNumber` shows it."""
    (found,) = call_all(url, [("eth_getBlockByNumber", [hex(number), False])], timeout=20)
    assert isinstance(found, dict)
    return found


def processor_seconds(nodes: Sequence[psutil.Process]) -> float:
    """Seconds of processor time that the nodes and their children have used."""
    processes = [each for node in nodes for each in (node, *node.children(recursive=True))]
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))
