"""A permissioned network of real processes, changed by the public command line while it runs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from lacnode.crypto.node_key import NodeKey
from tests.support.devnet import Devnet, ask, height, running_devnet, until

SHAPE = ("--permissioned", "--validators", "2", "--boots", "1", "--writers", "2", "--observers", "1")
SLOWLY = ("--block-period", "2")
"""What must have happened two blocks later is not to hang on how busy the machine is."""

CONNECTED = {
    "validator": {"validator", "boot"},
    "boot": {"validator", "boot", "writer", "observer"},
    "writer": {"boot", "writer"},
    "observer": {"boot"},
}
"""LACChain's topology."""

CHAIN_ID = 648_555
TRANSFER_GAS = 21_000
BIG_GAS = 350_000_000
"""A whole block's: whatever it uses, no second one fits into the same block."""


class Permissioned:
    """The network and its administrator."""

    def __init__(self, network: Devnet, path: Path) -> None:
        self.network = network
        self.path = path
        self.nodes: dict[str, dict[str, Any]] = {node["name"]: node for node in network.status()["nodes"]}

    def url(self, name: str) -> str:
        return str(self.nodes[name]["rpc_url"])

    def permissions(self, *words: str, at: str = "validator-1", check: bool = True) -> str:
        """What `lacnode permissions WORDS` prints, asked of the node `at`."""
        command = [sys.executable, "-m", "lacnode", "permissions", *words, "--rpc", self.url(at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def change(self, *words: str) -> str:
        return self.permissions(*words, "--key-file", str(self.path / "admin.key"))

    def peers(self, name: str) -> set[str]:
        """The names of a node's peers."""
        names = {node["enode"].removeprefix("enode://")[:128]: other for other, node in self.nodes.items()}
        found = ask(self.url(name), "admin_peers") or []
        return {names[peer["id"].removeprefix("0x")] for peer in found}

    def expected_peers(self, name: str, without: set[str] | frozenset[str] = frozenset()) -> set[str]:
        role = self.nodes[name]["role"]
        return {
            other
            for other, node in self.nodes.items()
            if other != name and node["role"] in CONNECTED[role] and not {name, other} & without
        }


@pytest.fixture(scope="module")
def permissioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Permissioned]:
    path = tmp_path_factory.mktemp("permissioned") / "net"
    with running_devnet(path, *SHAPE, *SLOWLY) as network:
        yield Permissioned(network, path)


pytestmark = pytest.mark.xdist_group("permissioned-devnet")


def test_nodes_connect_by_their_roles(permissioned: Permissioned) -> None:
    for name in permissioned.nodes:
        expected = permissioned.expected_peers(name)
        until(lambda name=name, expected=expected: permissioned.peers(name) == expected, f"{name} with {expected}")  # type: ignore[misc]
    listed = json.loads(permissioned.permissions("nodes", "list", "--json"))
    assert {entry["name"]: entry["role"] for entry in listed} == {
        name: node["role"] for name, node in permissioned.nodes.items()
    }


def test_a_removed_writer_is_disconnected_everywhere_and_returns_when_it_is_added_again(
    permissioned: Permissioned,
) -> None:
    writer = permissioned.nodes["writer-1"]["enode"]
    others = [name for name in permissioned.nodes if name != "writer-1"]
    until(lambda: permissioned.peers("writer-1") == permissioned.expected_peers("writer-1"), "the writer connected")
    removed = int(json.loads(permissioned.change("nodes", "remove", writer, "--json"))["blockNumber"], 16)
    connected_at = dict.fromkeys(others, 0)

    def is_out_everywhere() -> bool:
        heads = {name: height(permissioned.url(name)) for name in others}
        connected = [name for name in others if "writer-1" in permissioned.peers(name)]
        connected_at.update({name: heads[name] for name in connected})
        return not connected

    until(is_out_everywhere, "the writer out everywhere")
    assert max(connected_at.values()) < removed + 2
    told = permissioned.permissions("explain", "--node", writer, at="boot-1", check=False)
    assert told.startswith("no: the connecting node's key is not in the contract's list (rule node-contract of 0x")
    until(lambda: "writer-1" in _refused(permissioned, "boot-1"), "the boot node's table of refusals")
    permissioned.change("nodes", "add", writer, "--role", "writer", "--name", "writer-1")
    until(
        lambda: permissioned.peers("writer-1") == permissioned.expected_peers("writer-1"), "the writer back by itself"
    )
    until(
        lambda: height(permissioned.url("writer-1")) >= height(permissioned.url("boot-1")) - 1, "the writer caught up"
    )
    assert permissioned.permissions("explain", "--node", writer, at="boot-1").startswith("yes: ")


def _refused(permissioned: Permissioned, name: str) -> set[str]:
    """Whom the node has refused a connection."""
    refused = ask(permissioned.url(name), "lac_refusedConnections") or []
    ids = {node["enode"].removeprefix("enode://")[:128]: other for other, node in permissioned.nodes.items()}
    return {ids[entry["enode"].removeprefix("enode://")[:128]] for entry in refused if "reason" in entry}


def test_two_roles_apart_are_told_so(permissioned: Permissioned) -> None:
    observer, validator = (permissioned.nodes[name]["enode"] for name in ("observer-1", "validator-2"))
    told = permissioned.permissions("explain", "--node", observer, "--to", validator, check=False)
    assert told.startswith("no: the two nodes are in groups that may not connect")


def test_a_changed_address_is_a_hint_that_is_reported(permissioned: Permissioned) -> None:
    moved = permissioned.nodes["writer-2"]["enode"].partition("@")[0] + "@127.0.0.9:30303"
    told = permissioned.permissions("explain", "--node", moved, at="boot-1")
    listed = permissioned.nodes["writer-2"]["enode"].partition("@")[2]
    assert told.startswith("yes: the contract permits this connection; ")
    assert f"is at 127.0.0.9:30303 and listed with {listed}" in told


def test_a_node_with_an_ipv6_address_is_removed_as_it_is_listed(permissioned: Permissioned) -> None:
    node = f"enode://{NodeKey.generate().public_key.hex()}@[2001:db8::1]:30303"
    permissioned.change("nodes", "add", node, "--role", "writer", "--name", "six")
    (listed,) = [
        entry["enode"]
        for entry in json.loads(permissioned.permissions("nodes", "list", "--json"))
        if entry["name"] == "six"
    ]
    assert listed == node
    permissioned.change("nodes", "remove", listed)
    assert node not in permissioned.permissions("nodes", "list")


def test_none_of_a_removed_accounts_waiting_transactions_is_mined(permissioned: Permissioned) -> None:
    writer = permissioned.url("writer-1")
    sender = Account.create()
    permissioned.change("accounts", "add", sender.address)
    added = height(permissioned.url("validator-1"))
    until(lambda: height(writer) >= added, "the block that lists the account at the writer")
    hashes = [_send(writer, sender, nonce, BIG_GAS)["result"] for nonce in range(12)]
    permissioned.change("accounts", "remove", sender.address)
    removed = _removal(permissioned, sender.address)
    until(lambda: height(writer) >= removed + 3, "blocks after the removal")
    receipts = [ask(writer, "eth_getTransactionReceipt", hash_) for hash_ in hashes]
    mined = [int(receipt["blockNumber"], 16) for receipt in receipts if receipt]
    assert all(number <= removed for number in mined)
    assert len(mined) < len(hashes), "some were waiting when the account was removed"
    answer = _send(writer, sender, len(mined), TRANSFER_GAS)
    assert answer["error"]["code"] == -32007
    assert answer["error"]["data"]["reason"] == "the sender is not in the contract's list of accounts"
    assert answer["error"]["data"]["rule"] == "account-contract"


def _removal(permissioned: Permissioned, account: str) -> int:
    """The block whose log says that the account was removed."""
    topic = "0xf9cfee605255fa33725274ecbb6100757021c2c1679bb4538c8fad791751a4d9"
    query = {"fromBlock": "0x0", "toBlock": "latest", "topics": [topic]}
    logs = ask(permissioned.url("validator-1"), "eth_getLogs", query)
    return max(int(log["blockNumber"], 16) for log in logs if log["data"].endswith(account[2:].lower()))


def _send(url: str, sender: Any, nonce: int, gas: int) -> dict[str, Any]:
    """The whole answer to `eth_sendRawTransaction`."""
    fields = {
        "nonce": nonce,
        "gas": gas,
        "gasPrice": 0,
        "to": sender.address,
        "value": 0,
        "data": b"",
        "chainId": CHAIN_ID,
    }
    raw = Account.sign_transaction(fields, sender.key).raw_transaction
    return _call(url, "eth_sendRawTransaction", "0x" + bytes(raw).hex())


def _call(url: str, method: str, *params: object) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer: dict[str, Any] = httpx.post(url, json=body, timeout=30).json()
    return answer


def test_an_account_without_the_right_may_send_and_not_deploy(permissioned: Permissioned) -> None:
    account = Account.create().address
    permissioned.change("accounts", "add", account)
    target = permissioned.nodes["boot-1"]["address"]
    assert permissioned.permissions("explain", "--sender", account, "--target", target).startswith("yes: ")
    told = permissioned.permissions("explain", "--sender", account, check=False)
    assert told.startswith("no: the sender may not create contracts")
    permissioned.change("accounts", "add", account, "--may-deploy")
    assert permissioned.permissions("explain", "--sender", account).startswith("yes: ")


def test_admins_are_added_and_removed_and_the_last_one_stays(permissioned: Permissioned) -> None:
    (first,) = json.loads(permissioned.permissions("admins", "list", "--json"))
    second = Account.create().address.lower()
    permissioned.change("admins", "add", second)
    assert json.loads(permissioned.permissions("admins", "list", "--json")) == [first, second]
    permissioned.change("admins", "remove", second)
    words = ("admins", "remove", first, "--key-file", str(permissioned.path / "admin.key"))
    assert "an admin cannot remove itself" in permissioned.permissions(*words, check=False)


def test_an_observer_takes_no_transactions(permissioned: Permissioned) -> None:
    answer = _call(permissioned.url("observer-1"), "eth_sendRawTransaction", "0x00")
    assert answer["error"]["message"] == "This node is an observer and takes no transactions: send them to a writer"
    assert ask(permissioned.url("observer-1"), "lac_nodeRole") == {
        "configured": "observer",
        "isValidator": False,
        "byContract": "observer",
        "conflicts": [],
    }
