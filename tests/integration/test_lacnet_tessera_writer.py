"""LACNet's configuration of a writer with a Tessera, unmodified: paths and the manager's URL are told besides.

The manager is lacnode's own, which has the same client API, and a real Tessera where one is given.
"""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from lacnode.privacy.keys import to_base64
from lacnode.privacy.service.http_manager import HttpTransactionManager
from tests.support.devnet import height, until
from tests.support.managers import OwnManager, TesseraManager, needs_tessera
from tests.support.private_nodes import ALICE, private

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
WRITER = DATA / "lacnet-configs" / "tessera-writer.toml"
CHAIN = DATA / "lacnet-local"
CHAIN_ID = 648_550
HTTP_PORT, WS_PORT = 4545, 4546
"""As the file has them. It has none for p2p, whose default is any devnet's beside this test: that one is told."""

URL = f"http://127.0.0.1:{HTTP_PORT}"
Manager = OwnManager | TesseraManager

pytestmark = [
    pytest.mark.skipif(not WRITER.exists(), reason="LACNet's configuration and chain (shared/data) are not here"),
    pytest.mark.xdist_group("lacnet-ports"),
]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=["own", pytest.param("tessera", marks=needs_tessera)])
def managers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Manager]]:
    """The writer's manager and a partner's, which know each other."""
    path, kind = tmp_path_factory.mktemp("managers"), OwnManager if request.param == "own" else TesseraManager
    with ExitStack() as stack:
        first = kind(path / "writer")
        stack.callback(first.close)
        second = kind(path / "partner", [first.node_url])
        stack.callback(second.close)
        until(lambda: first.knows(second.key) and second.knows(first.key), "managers that know each other")
        yield [first, second]


@pytest.fixture(scope="module")
def log(managers: list[Manager], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The writer on LACNet's chain, up with that file; what it logs."""
    if is_taken(HTTP_PORT) or is_taken(WS_PORT):
        pytest.skip(f"port {HTTP_PORT} or {WS_PORT}, which the file names, is taken on this machine")
    directory = tmp_path_factory.mktemp("writer")
    paths = (f"--data-path={directory / 'data'}", f"--genesis-file={CHAIN / 'genesis.json'}")
    imported = [*paths, "blocks", "import", f"--from={CHAIN / 'blocks-0-118.rlp'}"]
    subprocess.run([sys.executable, "-m", "lacnode", *imported], check=True, capture_output=True, timeout=60)
    manager = (f"--privacy-public-key-file={managers[0].key_file}", f"--privacy-url={managers[0].client_url}")
    file = directory / "log"
    with claim_port_offset(1) as offset, file.open("wb") as output:
        p2p = f"--p2p-port={node_ports(0, offset).p2p}"
        command = [sys.executable, "-m", "lacnode", f"--config-file={WRITER}", *paths, *manager, p2p]
        node = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until(lambda: node.poll() is not None or height(URL) == 118, "the node up at block 118")
            assert node.poll() is None, file.read_text()
            yield file
        finally:
            node.terminate()
            node.wait(30)


def call(method: str, *params: object, **headers: str) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer: dict[str, Any] = httpx.post(URL, json=body, headers=headers, timeout=30).json()
    return answer


def result(method: str, *params: object) -> Any:
    answer = call(method, *params)
    assert "error" not in answer, answer
    return answer["result"]


def test_every_option_of_the_file_has_its_effect(log: Path) -> None:
    assert (result("net_version"), int(result("eth_gasPrice"), 16)) == (str(CHAIN_ID), 0)
    for method in ("ibft_getValidatorsByBlockNumber", "priv_getCode"):
        assert call(method)["error"]["code"] == -32602, "the group is enabled: only the parameters are missing"
    assert call("admin_peers")["error"]["message"] == "Method not enabled"
    assert call("eth_chainId", host="any.name.example")["result"] == hex(CHAIN_ID)
    preflight = {"origin": "https://any.example", "access-control-request-method": "POST"}
    assert httpx.options(URL, headers=preflight).headers["access-control-allow-origin"] == "https://any.example"
    said = log.read_text()
    assert "INFO" in said
    assert "DEBUG" not in said

    async def over_websocket() -> Any:
        async with open_websocket_url(f"ws://127.0.0.1:{WS_PORT}") as socket_:
            await socket_.send_message(
                json.dumps({"jsonrpc": "2.0", "id": 1, "method": "priv_getPrivacyPrecompileAddress", "params": []})
            )
            return json.loads(await socket_.get_message())["result"]

    assert int(trio.run(over_websocket), 16) == 0x7E


def test_a_private_transaction_is_in_the_partners_manager(log: Path, managers: list[Manager]) -> None:
    member, partner = managers
    sent = private(ALICE, chain_id=CHAIN_ID, private_from=member.key, private_for=[partner.key])
    key = bytes.fromhex(result("priv_distributeRawTransaction", "0x" + sent.raw.hex())[2:])
    with HttpTransactionManager(partner.client_url) as client:
        received = client.receive(key)
    assert (base64.b64decode(received.payload), received.sender) == (sent.raw, member.key)


def test_groups_are_the_managers(log: Path, managers: list[Manager]) -> None:
    keys = [to_base64(manager.key) for manager in managers]
    group = result("priv_createPrivacyGroup", {"addresses": keys, "name": "customs", "description": "two"})
    (found,) = (one for one in result("priv_findPrivacyGroup", keys) if one["privacyGroupId"] == group)
    assert (found["name"], sorted(found["members"])) == ("customs", sorted(keys))
    with HttpTransactionManager(managers[1].client_url) as client:
        assert client.retrieve_group(base64.b64decode(group)).name == "customs"
    assert result("priv_deletePrivacyGroup", group) == group
    assert group not in [one["privacyGroupId"] for one in result("priv_findPrivacyGroup", keys)]


def test_markers_of_random_keys_do_not_pass_the_networks_account_rules(log: Path, managers: list[Manager]) -> None:
    member, partner = managers
    sent = private(ALICE, chain_id=CHAIN_ID, private_from=member.key, private_for=[partner.key])
    error = call("eea_sendRawTransaction", "0x" + sent.raw.hex())["error"]
    assert (error["code"], error["message"]) == (-32007, "Sender account not authorized to send transactions")
    assert error["data"].startswith("the contract refuses a transaction of 0x")
    assert f"sent to 0x{0x7E:040x}" in error["data"]
