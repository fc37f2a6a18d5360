"""GoQuorum nodes for `mixed_network.py`.

The environment variable `LACNODE_GOQUORUM_GETH` names the binary. Nothing of GoQuorum is in this repository. Its public
source builds with `go build -ldflags=-checklinkname=0 ./cmd/geth`.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.mixed_network import BERLIN, CHAIN_ID, MixedNode, mixed_genesis, program_of

GETH_VARIABLE = "LACNODE_GOQUORUM_GETH"


def geth_binary() -> str:
    """The path of the GoQuorum binary. Skips the test, with the reason, where there is none."""
    return program_of(GETH_VARIABLE, "GoQuorum binary (geth of GoQuorum 24.4)")


def goquorum_genesis(
    protocol: str, validators: Sequence[bytes], config: Mapping[str, Any], vanity: bytes = b""
) -> dict[str, Any]:
    """The genesis of a GoQuorum network. `protocol` is the name of the one of block 1, and `config` has its section."""
    quorum = {"isQuorum": True, "txnSizeLimit": 64, "maxCodeSizeConfig": [{"block": 0, "size": 64}]}
    return mixed_genesis(protocol, validators, {**BERLIN, **quorum, **config}, vanity)


class GoQuorumNode(MixedNode):
    """A GoQuorum node. `options` are added to its command."""

    def __init__(self, name: str, path: Path, secret: bytes, geth: str, options: Sequence[str] = ()) -> None:
        super().__init__(name, path, secret, {"PRIVATE_CONFIG": "ignore"})
        self._geth = geth
        self._options = options

    def prepare(self, genesis: Path, peers: Sequence[str]) -> None:
        # A node that has a chain already keeps it: the genesis is the same.
        self.run("init", str(genesis))
        (self.path / "geth" / "static-nodes.json").write_text(json.dumps([f"{peer}?discport=0" for peer in peers]))

    def run(self, *words: str) -> None:
        """Run a command of the binary that ends by itself, on the data of this node."""
        with (self.path / "log").open("ab") as log:
            command = [self._geth, "--datadir", str(self.path), *words]
            subprocess.run(command, check=True, stdout=log, stderr=log, env=self._environment)

    def command(self) -> list[str]:
        return [
            self._geth,
            *("--datadir", str(self.path), "--nodekeyhex", self.secret.hex()),
            *("--networkid", str(CHAIN_ID), "--nodiscover", "--nat", "none", "--syncmode", "full"),
            *("--port", str(self.p2p_port), "--http", "--http.addr", "127.0.0.1", "--http.port", str(self.http_port)),
            *("--http.api", "eth,net,istanbul,admin,txpool", "--ipcdisable", "--nousb", "--verbosity", "3"),
            *("--mine", "--miner.threads", "1", "--miner.gasprice", "0", "--istanbul.blockperiod", "1"),
            *self._options,
        ]
