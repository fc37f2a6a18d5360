"""Besu nodes for `mixed_network.py`.

The environment variable `LACNODE_BESU` names the program. Nothing of Besu is in this repository. The start script of a
published release is such a program.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.mixed_network import BERLIN, MixedNode, mixed_genesis, program_of

BESU_VARIABLE = "LACNODE_BESU"
LONDON: Mapping[str, Any] = {**BERLIN, "londonBlock": 0, "zeroBaseFee": True}


def besu_program() -> str:
    """The path of Besu's program. Skips the test, with the reason, where there is none."""
    return program_of(BESU_VARIABLE, "Besu program (Besu 24.1 or 25.5)")


def besu_genesis(protocol: str, validators: Sequence[bytes], section: Mapping[str, Any]) -> dict[str, Any]:
    """A genesis whose blocks are all of `protocol`: IBFT 2.0 with Berlin as LACChain, QBFT with London and no base fee."""
    if protocol == "ibft2":
        return mixed_genesis(protocol, validators, {**BERLIN, protocol: dict(section)})
    return {**mixed_genesis(protocol, validators, {**LONDON, protocol: dict(section)}), "baseFeePerGas": "0x0"}


class BesuNode(MixedNode):
    """A Besu node. `options` are added to its command."""

    def __init__(self, name: str, path: Path, secret: bytes, besu: str, options: Sequence[str] = ()) -> None:
        super().__init__(name, path, secret)
        self._besu = besu
        self._options = options
        self._genesis = path

    def prepare(self, genesis: Path, peers: Sequence[str]) -> None:
        (self.path / "key").write_text(self.secret.hex())
        (self.path / "static-nodes.json").write_text(json.dumps(list(peers)))
        self._genesis = genesis

    def command(self) -> list[str]:
        return [
            *(self._besu, f"--data-path={self.path}", f"--genesis-file={self._genesis}", "--sync-mode=FULL"),
            *(f"--node-private-key-file={self.path / 'key'}", "--discovery-enabled=false", "--nat-method=NONE"),
            *("--p2p-host=127.0.0.1", "--p2p-interface=127.0.0.1", f"--p2p-port={self.p2p_port}"),
            *("--rpc-http-enabled", "--rpc-http-host=127.0.0.1", f"--rpc-http-port={self.http_port}"),
            *("--rpc-http-api=ETH,NET,IBFT,QBFT,ADMIN", "--min-gas-price=0", "--data-storage-format=FOREST"),
            *self._options,
        ]
