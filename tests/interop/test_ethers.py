"""ethers against a running network: deploy a token, transfer, read logs and receipts, subscribe."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lacnode.testing.running_network import RunningNetwork
from tests.interop.node_packages import install_packages

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("ethereumjs")]

HERE = Path(__file__).parent / "node"
TOKEN = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "Token.json"
DEADLINE = 60


def test_ethers_deploys_transfers_and_subscribes(lacnode_network: RunningNetwork) -> None:
    install_packages()
    node = lacnode_network.nodes[2]
    key = lacnode_network.accounts[3].private_key
    command = [shutil.which("node") or "node", "ethers.mjs", node.rpc_url, node.ws_url, key, str(TOKEN)]
    finished = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=DEADLINE)
    assert finished.returncode == 0, finished.stderr
    said = json.loads(finished.stdout)
    assert said["status"] == 1
    assert said["balance"] == "42"
    assert said["logs"] == 1
    assert said["pushedTransaction"] == said["transaction"]
    assert said["head"] >= 1
    assert said["chainId"] == "648555"
