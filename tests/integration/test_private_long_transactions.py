"""An endless private transaction on a devnet of real processes: its recipient goes on with other groups, stops at once,
takes it up again, and ends like its sender."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.manifest import NetworkShape, make_devnet
from lacnode.devnet.processes import find_pid
from lacnode.primitives.hexadecimal import to_hex
from tests.support.devnet import NODES, Devnet, ask, until
from tests.support.private_nodes import ALICE, BOB, KEEPER, LOOP, deploying, private

pytestmark = pytest.mark.xdist_group("private-devnet")

GAS_LIMIT = 3_000_000
"""Of a block, and so of a private transaction: seconds of a loop, more than a slice, not minutes."""

HONEST, RECIPIENT, HOSTILE = "writer-1", "writer-2", "writer-3"
STOPPING_SECONDS = 10.0
"""The node has two; the rest is for a machine with much else to do."""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Devnet]:
    with claim_port_offset(NODES) as port_offset:
        manifest = make_devnet(
            tmp_path / "net", NetworkShape(1, writers=3, privacy=True, fork="lacchain"), 0.5, port_offset
        )
        genesis = json.loads(manifest.genesis_file.read_text())
        manifest.genesis_file.write_text(json.dumps({**genesis, "gasLimit": hex(GAS_LIMIT)}))
        network = Devnet(tmp_path / "net")
        try:
            network.up()
            yield network
        finally:
            network.command("stop", check=False)


def key_of(network: Devnet, name: str) -> bytes:
    return base64.b64decode(str(network.made(name).privacy_key))


def sent(network: Devnet, name: str, key: NodeKey, nonce: int, data: bytes) -> str:
    """The marker of a private transaction to the recipient."""
    parties: dict[str, Any] = {"private_from": key_of(network, name), "private_for": [key_of(network, RECIPIENT)]}
    chain_id = int(ask(network.url(name), "eth_chainId"), 16)
    raw = private(key, nonce, data=data, chain_id=chain_id, **parties).raw
    markers: list[str] = []

    def is_sent() -> bool:
        """Not while the recipient's manager is not there again."""
        marker = ask(network.url(name), "eea_sendRawTransaction", to_hex(raw))
        markers.extend([str(marker)] if isinstance(marker, str) else [])
        return bool(markers)

    until(is_sent, f"{name} sends")
    return markers[0]


def status(network: Devnet, name: str, marker: str) -> str | None:
    """How a private transaction ended; None while it did not."""
    receipt = ask(network.url(name), "priv_getTransactionReceipt", marker)
    return None if receipt is None else str(receipt["status"])


def is_executing(network: Devnet) -> bool:
    groups = ask(network.url(RECIPIENT), "lac_privacyGroups") or []
    return any(group["waitingReason"] for group in groups if group["status"] == "waiting")


def stop_by_signal(network: Devnet, name: str) -> None:
    node = network.made(name)
    os.kill(int(node.pid_file.read_text("ascii")), signal.SIGTERM)
    until(lambda: find_pid(node) is None, f"{name} stopped", STOPPING_SECONDS)


def test_an_endless_private_transaction_holds_up_only_its_own_group(network: Devnet) -> None:
    endless = sent(network, HOSTILE, BOB, 0, LOOP)
    until(lambda: is_executing(network), "the endless one is executed apart")
    for nonce in range(2):
        honest = sent(network, HONEST, ALICE, nonce, deploying(KEEPER))
        until(lambda honest=honest: status(network, RECIPIENT, honest) == "0x1", "another group's")  # type: ignore[misc]
    stop_by_signal(network, RECIPIENT)
    network.command("start", RECIPIENT)
    later = sent(network, HONEST, ALICE, 2, deploying(KEEPER))
    until(lambda: status(network, RECIPIENT, later) == "0x1", "another group's after the restart")
    for name in (RECIPIENT, HOSTILE):
        until(lambda name=name: status(network, name, endless) == "0x0", f"it failed at {name}", 180)  # type: ignore[misc]
    until(lambda: not is_executing(network), "nothing waits any more")
    log = (network.path / "nodes" / RECIPIENT / "node.log").read_text()
    assert "Traceback" not in log
