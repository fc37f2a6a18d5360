"""Transaction managers as real processes: `lacnode privacy-manager`, and a Tessera where one is given.

`LACNODE_TESSERA_JAR` names a Tessera to test with: its runnable jar (up to 21.4.1), or `bin/tessera` of its distribution.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from lacnode.devnet.ports import claimed_ports, node_ports
from lacnode.privacy.key_files import load_public_key, save_key_pair
from lacnode.privacy.keys import KeyPair, to_text
from tests.integration.devnet import until

DEADLINE = 30.0
TESSERA = os.environ.get("LACNODE_TESSERA_JAR", "")

needs_tessera = pytest.mark.skipif(not TESSERA, reason="LACNODE_TESSERA_JAR names no Tessera to test with")


class OwnManager:
    """`lacnode privacy-manager` with one key, under `path`. `others` and `tesseras` are URLs of its peers."""

    def __init__(self, path: Path, others: Sequence[str] = (), tesseras: Sequence[str] = ()) -> None:
        self.path = path
        path.mkdir()
        save_key_pair(path / "node", KeyPair.generate())
        self.key_file = path / "node.pub"
        self.key = load_public_key(self.key_file)
        self.others, self.tesseras = list(others), list(tesseras)
        self.node_port = self.client_port = 0
        self.start()

    def start(self) -> None:
        config = self.path / "orion.toml"
        config.write_text(
            f"nodeport = {self.node_port}\nclientport = {self.client_port}\nworkdir = {json.dumps(str(self.path))}\n"
            f'publickeys = ["node.pub"]\nprivatekeys = ["node.key"]\nothernodes = {json.dumps(self.others)}\n'
            f"tesseranodes = {json.dumps(self.tesseras)}\n"
        )
        with (self.path / "log").open("ab") as log:
            command = [sys.executable, "-m", "lacnode", "privacy-manager", str(config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        ports = self.path / "orion.ports"
        until(lambda: ports.exists() or self.process.poll() is not None, "orion.ports", DEADLINE)
        assert self.process.poll() is None, (self.path / "log").read_text()
        found = dict(line.split("=") for line in ports.read_text().split())
        self.node_port, self.client_port = int(found["http-node-port"]), int(found["http-client-port"])

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        """Stop it."""
        self.stop()

    @property
    def node_url(self) -> str:
        return f"http://127.0.0.1:{self.node_port}"

    @property
    def client_url(self) -> str:
        return f"http://127.0.0.1:{self.client_port}"

    def knows(self, *keys: bytes) -> bool:
        answer = httpx.get(f"{self.client_url}/knownnodes").json()
        return {to_text(key) for key in keys} <= {entry["publicKey"] for entry in answer}


class TesseraManager:
    """A Tessera in orion mode with one key and a database file, under `path`. `others` are URLs of its peers."""

    def __init__(self, path: Path, others: Sequence[str] = ()) -> None:
        self.path = path
        path.mkdir()
        save_key_pair(path / "node", KeyPair.generate())
        self.key_file = path / "node.pub"
        self.key = load_public_key(self.key_file)
        self.others = list(others)
        self._ports = ExitStack()
        ports = node_ports(0, self._ports.enter_context(claimed_ports(1)))
        self.node_url, self.client_url = f"http://127.0.0.1:{ports.privacy}", f"http://127.0.0.1:{ports.rpc}"
        self.start()

    def start(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self._config()))
        command = ["java", "-jar", TESSERA] if TESSERA.endswith(".jar") else [TESSERA]
        with (self.path / "log").open("ab") as log:
            words = [*command, "-configfile", str(self.path / "config.json")]
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.path)
        until(lambda: self._is_up() or self.process.poll() is not None, "a Tessera that is up")
        assert self.process.poll() is None, (self.path / "log").read_text()[-3000:]

    def _config(self) -> dict[str, object]:
        servers = [("Q2T", self.client_url), ("P2P", self.node_url)]
        return {
            "mode": "orion",
            "useWhiteList": False,
            "features": {"enableRemoteKeyValidation": True},
            "encryptor": {"type": "NACL", "properties": {}},
            "jdbc": {
                "username": "sa",
                "password": "",
                "url": f"jdbc:h2:{self.path / 'database'};MODE=Oracle;TRACE_LEVEL_SYSTEM_OUT=0",
                "autoCreateTables": True,
            },
            "serverConfigs": [
                {
                    "app": app,
                    "enabled": True,
                    "serverAddress": url,
                    "communicationType": "REST",
                    "properties": {"partyInfoInterval": "500"},
                }
                for app, url in servers
            ],
            "keys": {
                "passwords": [],
                "keyData": [
                    {"privateKeyPath": str(self.path / "node.key"), "publicKeyPath": str(self.path / "node.pub")}
                ],
            },
            "alwaysSendTo": [],
            "peer": [{"url": url} for url in (self.node_url, *self.others)],
        }

    def _is_up(self) -> bool:
        try:
            return all(httpx.get(f"{url}/upcheck").status_code == 200 for url in (self.client_url, self.node_url))
        except httpx.HTTPError:
            return False

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        """Stop, and give its ports back."""
        self.stop()
        self._ports.close()

    def knows(self, *keys: bytes) -> bool:
        answer = httpx.get(f"{self.node_url}/partyinfo").json()
        return {to_text(key) for key in keys} <= {entry["key"] for entry in answer["keys"]}
