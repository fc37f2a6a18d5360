"""Four validators of another project to measure beside, where an environment variable names its program.

`LACNODE_BESU` and `LACNODE_GOQUORUM_GETH` are those of the tests with real peers (`tests/support/mixed_network.py`).
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.networks import Network
from lacnode.devnet.accounts import funded_accounts
from tests.support.besu_network import BESU_VARIABLE, BesuNode, besu_genesis, besu_program
from tests.support.goquorum_network import GETH_VARIABLE, GoQuorumNode, geth_binary, goquorum_genesis
from tests.support.mixed_network import MixedNode, running_network, wait_for_height

VALIDATORS = 4
PERIOD_SECONDS = 2
_IBFT2 = {"blockperiodseconds": PERIOD_SECONDS, "epochlength": 30_000, "requesttimeoutseconds": 4}
_QBFT = {**_IBFT2, "policy": 0, "ceil2Nby3Block": 0}
_GOQUORUM_OPTIONS = (
    *("--istanbul.blockperiod", str(PERIOD_SECONDS), "--verbosity", "2"),
    *("--txpool.accountslots", "4096", "--txpool.globalslots", "16384", "--txpool.accountqueue", "4096"),
)
_WARM_BLOCKS = 30
"""A Java program is slow until it has run a while: the load begins after this many blocks."""


def available() -> Sequence[str]:
    """The names of the peers whose variable is set."""
    return [name for name, (variable, _) in _PEERS.items() if os.environ.get(variable)]


@contextmanager
def peer_network(name: str) -> Iterator[Network]:
    """Four validators of the peer `name` that make blocks every two seconds; they are killed at the end."""
    _, prepared = _PEERS[name]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        nodes, genesis = prepared(path)
        with running_network(path, genesis, nodes):
            wait_for_height(nodes, _WARM_BLOCKS)
            yield Network(path, {"nodes": [_described(node) for node in nodes], "accounts": _accounts()})


def _besu(path: Path) -> tuple[Sequence[MixedNode], dict[str, Any]]:
    program = besu_program()
    nodes = [BesuNode(f"besu-{n}", path / f"b{n}", (1000 + n).to_bytes(32), program) for n in range(VALIDATORS)]
    return nodes, besu_genesis("ibft2", [node.key.address for node in nodes], _IBFT2)


def _goquorum(path: Path) -> tuple[Sequence[MixedNode], dict[str, Any]]:
    geth = geth_binary()
    nodes = [
        GoQuorumNode(f"goquorum-{n}", path / f"g{n}", (1000 + n).to_bytes(32), geth, _GOQUORUM_OPTIONS)
        for n in range(VALIDATORS)
    ]
    return nodes, goquorum_genesis("qbft", [node.key.address for node in nodes], {"qbft": _QBFT})


_PEERS: dict[str, tuple[str, Callable[[Path], tuple[Sequence[MixedNode], dict[str, Any]]]]] = {
    "Besu, IBFT 2.0": (BESU_VARIABLE, _besu),
    "GoQuorum, QBFT": (GETH_VARIABLE, _goquorum),
}


def _described(node: MixedNode) -> dict[str, Any]:
    assert node.process is not None
    return {"rpc_url": f"http://127.0.0.1:{node.http_port}", "pid": node.process.pid}


def _accounts() -> list[dict[str, str]]:
    return [{"address": account.address, "private_key": account.private_key} for account in funded_accounts()]
