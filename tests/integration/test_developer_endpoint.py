"""The developer endpoint of a devnet of four validators and three private writers: accounts, blocks on demand, time, and
snapshots of all nodes with their private states."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.devnet import Devnet, ask, running_devnet, until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "private_deployment.py"
CALL_SECONDS = 120
RECIPIENT = "0x" + "12" * 20
CHANGED = "0x" + "34" * 20
READER = "0x60005460005260206000f3"
"""Returns slot 0."""

pytestmark = pytest.mark.xdist_group("developer-endpoint")


def word(value: int) -> str:
    return f"0x{value:064x}"


def block_hash(url: str, number: str) -> str | None:
    block = ask(url, "eth_getBlockByNumber", number, False)
    return None if block is None else str(block["hash"])


class Endpoint:
    """The developer endpoint of a network, and the nodes behind it."""

    def __init__(self, network: Devnet) -> None:
        self.network = network
        status = network.status()
        self.url = str(status["developer_url"])
        self.nodes = {node["name"]: str(node["rpc_url"]) for node in status["nodes"]}

    def reply(self, method: str, *params: object) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        found: dict[str, Any] = httpx.post(self.url, json=request, timeout=CALL_SECONDS).json()
        return found

    def ask(self, method: str, *params: object) -> Any:
        reply = self.reply(method, *params)
        assert "error" not in reply, reply
        return reply["result"]

    def pay(self, value: int = 1) -> str:
        """Send `value` wei to the recipient; the transaction's hash."""
        sender = self.ask("eth_accounts")[0]
        return str(self.ask("eth_sendTransaction", {"from": sender, "to": RECIPIENT, "value": hex(value)}))

    def head(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("eth_getBlockByNumber", "latest", False)
        return found

    def heads(self) -> set[str | None]:
        """The hashes of the last blocks of all nodes, None for a node that does not answer."""
        blocks = [ask(url, "eth_getBlockByNumber", "latest", False) for url in self.nodes.values()]
        return {None if block is None else block["hash"] for block in blocks}

    def balance(self, url: str) -> int:
        return int(ask(url, "eth_getBalance", RECIPIENT, "latest"), 16)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    path = tmp_path_factory.mktemp("developer") / "net"
    with running_devnet(path, "--privacy", "--blocks-on-demand") as network:
        yield Endpoint(network)


def deploy_privately(endpoint: Endpoint) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(endpoint.network.path)], capture_output=True, text=True, timeout=CALL_SECONDS
    )
    assert done.returncode == 0, done.stderr


def private_groups(endpoint: Endpoint) -> list[int]:
    """The number of privacy groups that each writer knows."""
    return [len(ask(url, "lac_privacyGroups")) for name, url in endpoint.nodes.items() if name.startswith("writer")]


def test_a_transaction_is_in_a_block_when_the_call_returns_and_idle_time_makes_none(endpoint: Endpoint) -> None:
    before = int(endpoint.head()["number"], 16)
    receipt = endpoint.ask("eth_getTransactionReceipt", endpoint.pay())
    assert receipt["status"] == "0x1"
    assert int(receipt["blockNumber"], 16) == before + 1
    assert int(endpoint.head()["number"], 16) == before + 1


def test_an_account_is_changed_on_every_node_and_a_node_that_joins_follows(endpoint: Endpoint) -> None:
    first = endpoint.ask("eth_accounts")[0]
    nonce = endpoint.ask("eth_getTransactionCount", first, "latest")
    assert endpoint.ask("hardhat_setBalance", CHANGED, "0x99") is True
    assert endpoint.ask("hardhat_setNonce", CHANGED, "0x7") is True
    assert endpoint.ask("hardhat_setCode", CHANGED, READER) is True
    assert endpoint.ask("hardhat_setStorageAt", CHANGED, "0x0", word(42)) is True
    assert endpoint.ask("anvil_setBalance", CHANGED, "0x1") is True
    assert endpoint.ask("eth_getTransactionCount", first, "latest") == nonce
    assert endpoint.ask("eth_call", {"to": CHANGED}, "latest") == word(42)
    assert "cannot fall to 6" in str(endpoint.reply("hardhat_setNonce", CHANGED, "0x6")["error"])
    head = endpoint.head()
    until(lambda: endpoint.heads() == {head["hash"]}, "every node has the blocks")
    endpoint.network.command("kill", "validator-3")
    assert endpoint.ask("anvil_setStorageAt", CHANGED, "0x0", word(43)) is True
    endpoint.network.command("start", "validator-3")
    endpoint.network.command("join", "joiner")
    head = endpoint.head()
    urls = [*endpoint.nodes.values(), endpoint.network.url("joiner")]
    until(lambda: all(block_hash(url, head["number"]) == head["hash"] for url in urls), "both have followed")
    assert {ask(url, "eth_getStorageAt", CHANGED, "0x0", head["number"]) for url in urls} == {word(43)}
    assert {ask(url, "eth_getBalance", CHANGED, head["number"]) for url in urls} == {"0x1"}


def test_the_endpoint_describes_the_chain(endpoint: Endpoint) -> None:
    head, found = endpoint.head(), endpoint.ask("anvil_nodeInfo")
    assert (found["currentBlockHash"], found["hardFork"]) == (head["hash"], "prague")
    assert found["environment"]["gasLimit"] == int(head["gasLimit"], 16)
    assert endpoint.ask("anvil_metadata")["latestBlockHash"] == head["hash"]


def test_a_contract_is_impersonated(endpoint: Endpoint) -> None:
    contract = "0x" + "56" * 20
    endpoint.ask("hardhat_setCode", contract, "0x00")
    endpoint.ask("hardhat_setBalance", contract, "0x9")
    assert "no account of this devnet" in str(endpoint.reply("eth_sendTransaction", {"from": contract, "to": CHANGED}))
    assert endpoint.ask("hardhat_impersonateAccount", contract) is True
    before = int(endpoint.ask("eth_getBalance", RECIPIENT, "latest"), 16)
    hash_ = endpoint.ask("eth_sendTransaction", {"from": contract, "to": RECIPIENT, "value": "0x4"})
    receipt = endpoint.ask("eth_getTransactionReceipt", hash_)
    assert receipt["status"] == "0x1"
    until(
        lambda: {endpoint.balance(url) for url in endpoint.nodes.values()} == {before + 4}, "every node has the block"
    )
    assert endpoint.ask("eth_getTransactionCount", contract, "latest") == "0x1"
    too_much = endpoint.reply("eth_sendTransaction", {"from": contract, "to": RECIPIENT, "value": "0x9"})
    assert "has 5 wei, less than the value 9" in str(too_much["error"])
    assert endpoint.ask("hardhat_stopImpersonatingAccount", contract) is True


def test_a_waiting_transaction_is_dropped_from_the_pools_of_all_nodes(endpoint: Endpoint) -> None:
    urls = [url for name, url in endpoint.nodes.items() if name.startswith("validator")]
    endpoint.ask("evm_setAutomine", False)
    try:
        hash_ = endpoint.pay()
        until(lambda: all(ask(url, "eth_getTransactionByHash", hash_) for url in urls), "every validator has it")
        assert endpoint.ask("hardhat_dropTransaction", hash_) is True
        assert [ask(url, "eth_getTransactionByHash", hash_) for url in urls] == [None] * len(urls)
        assert endpoint.ask("hardhat_dropTransaction", hash_) is False
        balance = endpoint.balance(endpoint.url)
        endpoint.ask("evm_mine")
        assert endpoint.balance(endpoint.url) == balance
    finally:
        endpoint.ask("evm_setAutomine", True)
    assert "in a block already" in str(endpoint.reply("hardhat_dropTransaction", endpoint.pay())["error"])
    assert "has no reset" in str(endpoint.reply("hardhat_reset")["error"])


def test_a_revert_takes_back_every_node_and_the_private_states(endpoint: Endpoint) -> None:
    endpoint.pay()
    balance = endpoint.balance(endpoint.url)
    groups = private_groups(endpoint)
    snapshot = endpoint.ask("evm_snapshot")
    head = endpoint.head()
    deploy_privately(endpoint)
    endpoint.ask("hardhat_setStorageAt", CHANGED, "0x0", word(44))
    endpoint.pay(5)
    other_history = endpoint.ask("eth_getBlockByNumber", hex(int(head["number"], 16) + 1), False)
    assert sum(private_groups(endpoint)) > sum(groups)
    assert endpoint.ask("evm_revert", snapshot) is True
    assert endpoint.heads() == {head["hash"]}
    assert private_groups(endpoint) == groups
    assert endpoint.ask("eth_call", {"to": CHANGED}, "latest") == word(43)
    # The consensus goes on from there: all nodes get another block at the same height.
    endpoint.pay(7)
    until(lambda: len(endpoint.heads()) == 1, "every node has the block")
    assert {endpoint.balance(url) for url in endpoint.nodes.values()} == {balance + 7}
    found = endpoint.ask("eth_getBlockByNumber", other_history["number"], False)
    assert found["hash"] != other_history["hash"]
    # And the private side: the managers find each other again.
    deploy_privately(endpoint)
    assert endpoint.ask("evm_revert", snapshot) is False
