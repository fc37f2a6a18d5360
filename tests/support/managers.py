"""Transaction managers as real processes: `lacnode privacy-manager`, and a Tessera where one is given.

`LACNODE_TESSERA_JAR` names a Tessera to test with: its runnable jar (up to 21.4.1), or `bin/tessera` of its distribution.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.key_files import load_public_key, save_key_pair
from tests.support.devnet import until

DEADLINE = 30.0
TESSERA = os.environ.get("LACNODE_TESSERA_JAR", "")

needs_tessera = pytest.mark.skipif(not TESSERA, reason="LACNODE_TESSERA_JAR names no Tessera to test with")
needs_tessera_jar = pytest.mark.skipif(
    not TESSERA.endswith(".jar"),
    reason="LACNODE_TESSERA_JAR names no jar, whose database can be read with what is in it",
)


@dataclass(frozen=True)
class KeyFiles:
    """`<stem>.pub` and `<stem>.key`, and the password that opens it, which is in `<stem>.passwords` too."""

    stem: Path
    password: str = ""

    @property
    def public(self) -> Path:
        return self.stem.with_suffix(".pub")

    @property
    def private(self) -> Path:
        return self.stem.with_suffix(".key")

    @property
    def password_file(self) -> Path:
        return self.stem.with_suffix(".passwords")


def new_keys(directory: Path) -> KeyFiles:
    """Of one pair, unlocked."""
    save_key_pair(directory / "node", KeyPair.generate())
    return KeyFiles(directory / "node")


class OwnManager:
    """`lacnode privacy-manager` with one key, under `path`. `others` and `tesseras` are URLs of its peers."""

    def __init__(
        self,
        path: Path,
        others: Sequence[str] = (),
        tesseras: Sequence[str] = (),
        keys: KeyFiles | None = None,
        node_port: int = 0,
        tls: bool = False,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """With `tls`, whom it meets is trusted on first use, both ways. `settings` go into its configuration."""
        self.path = path
        path.mkdir()
        self.keys = keys or new_keys(path)
        self.key_file = self.keys.public
        self.key = load_public_key(self.key_file)
        self.others, self.tesseras = list(others), list(tesseras)
        self.node_port, self.client_port = node_port, 0
        self.tls = tls
        self.settings = dict(settings or {})
        self.start()

    def start(self) -> None:
        config = self.path / "orion.toml"
        settings: dict[str, object] = {
            "nodeport": self.node_port,
            "clientport": self.client_port,
            "workdir": str(self.path),
            "publickeys": [str(self.keys.public)],
            "privatekeys": [str(self.keys.private)],
            "othernodes": self.others,
            "tesseranodes": self.tesseras,
        }
        if self.tls:
            settings |= {"tls": "strict", "tlsservertrust": "tofu", "tlsclienttrust": "tofu"}
        settings |= self.settings
        if self.keys.password:
            settings["passwords"] = str(self.keys.password_file)
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
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
        answer = httpx.get(f"{self.client_url}/knownnodes", timeout=30).json()
        return {to_base64(key) for key in keys} <= {entry["publicKey"] for entry in answer}


def tessera_command() -> list[str]:
    """What starts it."""
    return ["java", "-jar", TESSERA] if TESSERA.endswith(".jar") else [TESSERA]


def locked_keys(directory: Path, password: str) -> KeyFiles:
    """Made by Tessera itself, and locked by it; with less memory than its default of 1 GiB."""
    (directory / "argon2.json").write_text('{"variant": "id", "memory": 8192, "iterations": 3, "parallelism": 1}')
    keys = KeyFiles(directory / "made", password)
    keys.password_file.write_text(password + "\n")
    options = ("-keygen", "-filename", str(keys.stem), "-keygenconfig", str(directory / "argon2.json"))
    subprocess.run(
        [*tessera_command(), *options],
        input=f"{password}\n{password}\n".encode(),
        check=True,
        capture_output=True,
        timeout=60,
        cwd=directory,
    )
    return keys


class TesseraManager:
    """A Tessera in orion mode with one key and a database file, under `path`. `others` are URLs of its peers. With `tls`,
    whom it meets is trusted on first use, both ways."""

    def __init__(self, path: Path, others: Sequence[str] = (), keys: KeyFiles | None = None, tls: bool = False) -> None:
        self.path = path
        path.mkdir()
        self.tls = tls
        self.keys = keys or new_keys(path)
        self.key_file = self.keys.public
        self.key = load_public_key(self.key_file)
        self.others = list(others)
        self._ports = ExitStack()
        self.move()
        self.start()

    def move(self) -> None:
        """Have other ports from the next start on."""
        ports = node_ports(0, self._ports.enter_context(claim_port_offset(1)))
        self.node_port = ports.privacy
        scheme = "https" if self.tls else "http"
        self.node_url, self.client_url = f"{scheme}://127.0.0.1:{ports.privacy}", f"http://127.0.0.1:{ports.rpc}"

    def start(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self._config()))
        with (self.path / "log").open("ab") as log:
            words = [*tessera_command(), "-configfile", str(self.path / "config.json")]
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.path)
        until(lambda: self._is_up() or self.process.poll() is not None, "a Tessera that is up")
        assert self.process.poll() is None, (self.path / "log").read_text()[-3000:]

    @property
    def _database(self) -> str:
        return f"jdbc:h2:{self.path / 'database'};MODE=Oracle;TRACE_LEVEL_SYSTEM_OUT=0"

    def kept(self, column: str, table: str) -> list[bytes]:
        """What its database has, as Tessera writes it. It must be stopped."""
        shell = ["java", "-cp", TESSERA, "org.h2.tools.Shell", "-url", self._database, "-user", "sa", "-password", ""]
        query = [*shell, "-sql", f"SELECT {column} FROM {table}"]
        found = subprocess.run(query, check=True, capture_output=True, text=True, timeout=60).stdout
        return [bytes.fromhex(line) for line in found.split() if re.fullmatch(r"(?:[0-9a-f]{2}){32,}", line)]

    def _config(self) -> dict[str, object]:
        servers = [("Q2T", self.client_url, {"tls": "OFF"}), ("P2P", self.node_url, self._ssl_config())]
        return {
            "mode": "orion",
            "useWhiteList": False,
            "features": {"enableRemoteKeyValidation": True},
            "encryptor": {"type": "NACL", "properties": {}},
            "jdbc": {
                "username": "sa",
                "password": "",
                "url": self._database,
                "autoCreateTables": True,
            },
            "serverConfigs": [
                {
                    "app": app,
                    "serverAddress": url,
                    "sslConfig": ssl,
                    "communicationType": "REST",
                    "properties": {"partyInfoInterval": "500"},
                }
                for app, url, ssl in servers
            ],
            "keys": {
                **({"passwordFile": str(self.keys.password_file)} if self.keys.password else {}),
                "keyData": [{"privateKeyPath": str(self.keys.private), "publicKeyPath": str(self.keys.public)}],
            },
            "alwaysSendTo": [],
            "peer": [{"url": url} for url in (self.node_url, *self.others)],
        }

    def _ssl_config(self) -> dict[str, object]:
        if not self.tls:
            return {"tls": "OFF"}
        sides = {
            key: value
            for side in ("server", "client")
            for key, value in {
                f"{side}KeyStore": str(self.path / f"{side}-keystore"),
                f"{side}KeyStorePassword": "keystore",
                f"{side}TrustMode": "TOFU",
            }.items()
        }
        known = {f"known{who}File": str(self.path / f"known-{who}") for who in ("Clients", "Servers")}
        return {"tls": "STRICT", "generateKeyStoreIfNotExisted": True, **sides, **known}

    def _is_up(self) -> bool:
        urls = [self.client_url] if self.tls else [self.client_url, self.node_url]
        try:
            return all(httpx.get(f"{url}/upcheck").status_code == 200 for url in urls)
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
        answer = httpx.get(f"{self.node_url}/partyinfo", timeout=30).json()
        return {to_base64(key) for key in keys} <= {entry["key"] for entry in answer["keys"]}
