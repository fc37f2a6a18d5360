"""One node in a process of its own, on a chain that it makes blocks of alone."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import devnet_genesis
from tests.support.devnet import DEADLINE, until


@contextmanager
def single_node(path: Path, *options: str, status: int = 0) -> Iterator[dict[str, str]]:
    """A running node with its data in `path`; the ports that it told, by name. It has stopped, with `status`, when the
    block is left."""
    key = NodeKey.generate()
    save_node_key(path / "key", key)
    genesis = devnet_genesis([key.address], funded_accounts(), 0.2, int(time.time()) - 1)
    (path / "genesis.json").write_text(json.dumps(genesis))
    command = [
        f"--data-path={path}",
        f"--genesis-file={path / 'genesis.json'}",
        "--p2p-enabled=false",
        "--rpc-http-enabled",
        "--rpc-http-port=0",
        "--min-gas-price=0",
        *options,
    ]
    with (path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "lacnode", *command], stdout=log, stderr=log, cwd=path)
    try:
        until(lambda: (path / "besu.ports").exists() or process.poll() is not None, "the node is up")
        until(lambda: "json-rpc=" in (path / "besu.ports").read_text(), "its ports are told")
        yield dict(line.split("=") for line in (path / "besu.ports").read_text().split())
    except BaseException:
        # The error of the test is told, not the end of a node that it did not stop.
        process.kill()
        process.wait(DEADLINE)
        raise
    if process.poll() is None and not status:
        process.terminate()
    assert process.wait(DEADLINE) == status, (path / "log").read_text()
