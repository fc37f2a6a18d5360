"""docs/operators/authentication.md, tried: its users, its settings and its commands, and two tenants on one process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.key_files import save_key_pair
from tests.support.devnet import until
from tests.support.private_nodes import deploying, private
from tests.support.single_node import single_node

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operators" / "authentication.md").read_text("utf-8")
HASH_PASSWORD, LOG_IN, CALL = re.findall(r"```sh\n(.*?)\n```", PAGE, re.S)
USERS, PORT, _, TENANTS = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
CODE = bytes.fromhex("602a60005260206000f3")


pytestmark = pytest.mark.xdist_group("metrics")


class Node:
    """A node for two tenants, as the page sets it up; the third key is another manager's that there is not."""

    def __init__(self, url: str, keys: list[KeyPair]) -> None:
        self.url = url
        self.keys = keys

    def token(self, name: str, password: str) -> str:
        return str(
            httpx.post(f"{self.url}/login", json={"username": name, "password": password}, timeout=30).json()["token"]
        )

    def ask(self, token: str, method: str, *params: object) -> Any:
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        reply = httpx.post(self.url, json=document, headers=headers, timeout=30).json()
        return reply.get("result", reply.get("error", {}).get("message"))


def shell(command: str, **environment: str) -> str:
    lacnode = f"{sys.executable} -m lacnode"
    done = subprocess.run(
        ["bash", "-c", command.replace("lacnode ", f"{lacnode} ", 1)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    path = tmp_path_factory.mktemp("tenants")
    hashed = shell(HASH_PASSWORD)
    keys = [KeyPair.generate() for _ in range(2)]
    for number, pair in enumerate(keys):
        save_key_pair(path / f"tenant-{number}", pair)
    first, second = (f'privacyPublicKey = "{to_base64(pair.public)}"' for pair in keys)
    users = re.sub('privacyPublicKey = ".*"', first, USERS).replace("$2a$10$…", hashed)
    users = users.replace("[Users.explorer]", f"[Users.explorer]\n{second}")
    users += f'\n[Users.bank]\npassword = "{hashed}"\npermissions = ["*:*"]\n{second}\n'
    (path / "users.toml").write_text(users)
    api = 'rpc-http-api=["ETH","NET","EEA","PRIV"]\n'
    (path / "manager.toml").write_text(
        f'nodeport=0\nclientport=0\nworkdir="{path}"\n'
        'publickeys=["tenant-0.pub","tenant-1.pub"]\nprivatekeys=["tenant-0.key","tenant-1.key"]\n'
    )
    (path / "config.toml").write_text(api + PORT + TENANTS)
    with single_node(path, f"--config-file={path / 'config.toml'}") as ports:
        yield Node(f"http://127.0.0.1:{ports['json-rpc']}", keys)


def test_the_pages_commands(node: Node) -> None:
    port = node.url.rpartition(":")[2]
    token = json.loads(shell(LOG_IN.replace("8545", port)))["token"]
    answer = json.loads(shell(CALL.replace("8545", port), TOKEN=token))
    assert int(answer["result"], 16) >= 0
    assert node.ask("", "net_version") == str(CHAIN_ID), "it needs no token"
    assert node.ask("", "eth_blockNumber") == "Unauthorized"
    assert node.ask(token, "net_listening") == "Unauthorized"


def test_tenants_send_by_their_own_keys_and_see_their_own_groups(node: Node) -> None:
    customs, bank = node.token("customs", "change-me"), node.token("bank", "change-me")
    sender, own, other = NodeKey.from_private_key(keccak256(b"a sender")), node.keys[0].public, node.keys[1].public

    def sent(token: str, private_from: bytes, private_for: bytes) -> str:
        named: dict[str, Any] = {"private_from": private_from, "private_for": (private_for,)}
        raw = private(sender, 0, data=deploying(CODE), chain_id=CHAIN_ID, **named).raw
        return str(node.ask(token, "eea_sendRawTransaction", to_hex(raw)))

    def receipt(token: str, marker: str) -> Any:
        return node.ask(token, "priv_getTransactionReceipt", marker)

    alone, shared = sent(customs, own, own), sent(bank, other, own)
    assert sent(bank, own, other) == "Private from does not match enclave public key"
    for marker in (alone, shared):
        until(lambda marker=marker: receipt(customs, marker) is not None, "both are carried out")  # type: ignore[misc]
        assert receipt(customs, marker)["status"] == "0x1"
    assert receipt(bank, shared) == receipt(customs, shared)
    assert receipt(bank, alone) is None
