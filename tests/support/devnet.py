"""A devnet of real processes for tests, driven by the public command line."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.manifest import DevnetNode, Manifest, load_manifest
from lacnode.rpc.json_rpc_client import NodeUnreachableError, call_all

DEADLINE = 60.0
COMMAND_SECONDS = 180.0
"""For a command of the devnet, which has deadlines of its own."""

PATIENCE = 20.0
"""Seconds that a node may take for one answer on a machine with much else to do; one that is down refuses at once."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.1
"""Between two looks at what is waited for. A look is a call of a node, which takes its time from the network."""

NODES = 10


class Devnet:
    """A network under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `lacnode devnet WORDS --data-path PATH`."""
        done = subprocess.run(
            [sys.executable, "-m", "lacnode", "devnet", *words, "--data-path", str(self.path)],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def up(self, *options: str) -> dict[str, Any]:
        """Start it; what `--json` says."""
        found: dict[str, Any] = json.loads(self.command(*options, "--detach", "--json").stdout)
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return found

    def node(self, name: str) -> dict[str, Any]:
        """What `status` says of a node."""
        return next(node for node in self.status()["nodes"] if node["name"] == name)

    @property
    def manifest(self) -> Manifest:
        """What stays as it is while nodes come and go, read without a command: it is asked in many a loop."""
        found = load_manifest(self.path)
        assert found is not None, f"no devnet under {self.path}"
        return found

    def made(self, name: str) -> DevnetNode:
        """A node's identity and addresses."""
        return self.manifest.node(name)

    def url(self, name: str) -> str:
        return self.made(name).rpc_url


@contextmanager
def running_devnet(path: Path, *options: str) -> Iterator[Devnet]:
    """A devnet that is stopped however the test ends; its ports stay its own while nodes are down."""
    network = Devnet(path)
    with claim_port_offset(NODES) as port_offset:
        try:
            network.up(*options, "--port-offset", str(port_offset))
            yield network
        finally:
            network.command("stop", check=False)


def until(reached: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Return once `reached()`, which is looked at often; fail with `what` after `seconds`."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)


def height(url: str) -> int:
    """The node's head, -1 while it does not answer."""
    found = ask(url, "eth_blockNumber")
    return -1 if found is None else int(found, 16)


def ask(url: str, method: str, *params: object) -> Any:
    """One call's result, None while the node does not answer."""
    try:
        return call_all(url, [(method, list(params))], PATIENCE)[0]
    except NodeUnreachableError:
        return None
