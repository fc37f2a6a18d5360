"""The requests of MetaMask, of Remix and of Blockscout, in their order and with their default settings, against a devnet.

They run in browsers or need a database, so that their requests are repeated here. Blockscout's are those of its variant
for Besu.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from lacnode.devnet.accounts import mnemonic_accounts
from tests.support.devnet import Devnet, running_devnet, until

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("developer-clients")]

TOKEN = json.loads((Path(__file__).resolve().parents[2] / "examples" / "contracts" / "Token.json").read_text())
OWNER = mnemonic_accounts()[0]
RECIPIENT = "0x" + "cd" * 20
METAMASK, REMIX = "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn", "https://remix.ethereum.org"
CALL_SECONDS = 120


def transfer(value: int) -> str:
    """The data of a transfer of tokens to the recipient."""
    return "0xa9059cbb" + RECIPIENT[2:].zfill(64) + f"{value:064x}"


class Client:
    """Asks `url` as a page or an extension of `origin` does, or as a program if that is None."""

    def __init__(self, url: str, origin: str | None) -> None:
        self._url, self._origin = url, origin
        self._headers = {} if origin is None else {"Origin": origin}

    def ask(self, method: str, *params: object) -> Any:
        (found,) = self.ask_all((method, *params))
        return found

    def ask_all(self, *calls: tuple[object, ...]) -> list[Any]:
        """The results of a batch. Every call must have one."""
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, *params) in enumerate(calls)
        ]
        answer = httpx.post(self._url, json=batch, headers=self._headers, timeout=CALL_SECONDS)
        if self._origin is not None:
            assert answer.headers["access-control-allow-origin"] in (self._origin, "*")
        replies: list[dict[str, Any]] = answer.json()
        for call, reply in zip(calls, replies, strict=True):
            assert "result" in reply, (call, reply)
        return [reply["result"] for reply in replies]

    def preflight(self) -> httpx.Response:
        """What a browser asks before it lets a page send JSON."""
        headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        return httpx.options(self._url, headers={**self._headers, **headers}, timeout=CALL_SECONDS)

    def receipt(self, hash_: object) -> dict[str, Any]:
        """The receipt of a transaction, once there is one."""
        until(lambda: self.ask("eth_getTransactionReceipt", hash_) is not None, "the transaction is in a block")
        found: dict[str, Any] = self.ask("eth_getTransactionReceipt", hash_)
        return found


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    path = tmp_path_factory.mktemp("wallets") / "net"
    with running_devnet(path, "--validators", "1", "--blocks-on-demand") as made:
        yield made


@pytest.fixture(scope="module")
def url(network: Devnet) -> str:
    return str(network.status()["developer_url"])


@pytest.fixture(scope="module")
def token(url: str) -> str:
    """A token whose whole supply the first account of the mnemonic has."""
    client = Client(url, None)
    data = TOKEN["bytecode"] + f"{1000:064x}"
    made = client.receipt(client.ask("eth_sendTransaction", {"from": OWNER.address, "data": data}))
    assert made["status"] == "0x1"
    return str(made["contractAddress"])


def test_metamask_adds_the_network_shows_a_balance_and_sends(url: str, token: str) -> None:
    wallet = Client(url, METAMASK)
    # Adding the network.
    chain, network_id = wallet.ask_all(("eth_chainId",), ("net_version",))
    assert int(chain, 16) == int(network_id)
    # Whether the fees are those of EIP-1559, and what the account and the token have.
    block = wallet.ask("eth_getBlockByNumber", "latest", False)
    assert block["baseFeePerGas"] == "0x0"
    balance_of = "0x70a08231" + OWNER.address[2:].zfill(64)
    balance, symbol, decimals, tokens = wallet.ask_all(
        ("eth_getBalance", OWNER.address, block["number"]),
        ("eth_call", {"to": token, "data": "0x95d89b41"}, block["number"]),
        ("eth_call", {"to": token, "data": "0x313ce567"}, block["number"]),
        ("eth_call", {"to": token, "data": balance_of}, block["number"]),
    )
    assert (int(balance, 16) > 0, len(symbol) > 66, int(decimals, 16), int(tokens, 16)) == (True, True, 18, 1000)
    # The proposal of a transaction.
    call = {"from": OWNER.address, "to": token, "value": "0x0", "data": transfer(7)}
    nonce, gas, price, fees, code = wallet.ask_all(
        ("eth_getTransactionCount", OWNER.address, "pending"),
        ("eth_estimateGas", call),
        ("eth_gasPrice",),
        ("eth_feeHistory", "0x5", "latest", [10, 20, 30]),
        ("eth_getCode", token, "latest"),
    )
    assert (price, fees["baseFeePerGas"][-1], len(code) > 2) == ("0x0", "0x0", True)
    fields = {
        "type": 2, "chainId": int(chain, 16), "nonce": int(nonce, 16), "gas": int(gas, 16), "to": call["to"], "value": 0,
        "data": call["data"], "maxFeePerGas": 0, "maxPriorityFeePerGas": 0,
    }  # fmt: skip
    fields["to"] = bytes.fromhex(token[2:])
    raw = Account.sign_transaction(fields, OWNER.private_key).raw_transaction.hex()
    sent = wallet.ask("eth_sendRawTransaction", raw if raw.startswith("0x") else f"0x{raw}")
    receipt = wallet.receipt(sent)
    assert (receipt["status"], len(receipt["logs"]), receipt["type"]) == ("0x1", 1, "0x2")
    assert wallet.ask("eth_getTransactionByHash", sent)["blockHash"] == receipt["blockHash"]


def test_remix_deploys_calls_and_debugs_through_an_external_provider(url: str) -> None:
    page = Client(url, REMIX)
    allowed = page.preflight()
    assert allowed.status_code in (200, 204)
    assert "content-type" in allowed.headers["access-control-allow-headers"].lower()
    network_id, accounts, block = page.ask_all(
        ("net_version",), ("eth_accounts",), ("eth_getBlockByNumber", "latest", False)
    )
    sender = accounts[0]
    assert (int(network_id), sender) == (int(page.ask("eth_chainId"), 16), OWNER.address)
    assert int(page.ask("eth_getBalance", sender, "latest"), 16) > 0
    creation = {"from": sender, "data": TOKEN["bytecode"] + f"{1000:064x}", "value": "0x0"}
    gas = page.ask("eth_estimateGas", creation)
    fees = {"maxPriorityFeePerGas": "0x0", "maxFeePerGas": block["baseFeePerGas"], "type": "0x2"}
    made = page.receipt(page.ask("eth_sendTransaction", {**creation, **fees, "gas": gas}))
    address = made["contractAddress"]
    assert (made["status"], page.ask("eth_getCode", address, "latest") != "0x") == ("0x1", True)
    sent = page.ask(
        "eth_sendTransaction", {"from": sender, "to": address, "data": transfer(3), "value": "0x0", "gas": "0x2dc6c0"}
    )
    found, shown = page.receipt(sent), page.ask("eth_getTransactionByHash", sent)
    assert page.ask("eth_call", {"from": sender, "to": address, "data": "0x18160ddd"}, "latest")[-4:] == "03e8"
    # The debugger.
    trace = page.ask("debug_traceTransaction", sent, {"disableStorage": True, "disableMemory": False})
    assert (trace["failed"], trace["structLogs"][0]["op"], "memory" in trace["structLogs"][-1]) == (
        False,
        "PUSH1",
        True,
    )
    index = int(shown["transactionIndex"], 16)
    storage = page.ask("debug_storageRangeAt", found["blockHash"], index, address, "0x" + "00" * 32, 1000)
    assert storage["storage"]
    # A message, signed by the account of the node.
    message = "0x" + b"hello".hex()
    assert page.ask("personal_sign", message, sender) == page.ask("eth_sign", sender, message)


def test_blockscout_reads_blocks_receipts_and_internal_transactions(network: Devnet, url: str, token: str) -> None:
    node = Client(network.url("validator-1"), None)
    client = Client(url, None)
    sent = client.ask("eth_sendTransaction", {"from": OWNER.address, "to": token, "data": transfer(1)})
    number = client.receipt(sent)["blockNumber"]
    block, head, genesis = node.ask_all(
        ("eth_getBlockByNumber", number, True),
        ("eth_getBlockByNumber", "latest", False),
        ("eth_getBlockByNumber", "earliest", False),
    )
    assert (block["transactions"][0]["hash"], head["number"], genesis["number"]) == (sent, number, "0x0")
    receipts, receipt, balance, code, uncle, pending = node.ask_all(
        ("eth_getBlockReceipts", number),
        ("eth_getTransactionReceipt", sent),
        ("eth_getBalance", OWNER.address, number),
        ("eth_getCode", token, number),
        ("eth_getUncleByBlockHashAndIndex", block["hash"], "0x0"),
        ("txpool_besuTransactions",),
    )
    assert (receipts, int(balance, 16) > 0, len(code) > 2, uncle, pending) == ([receipt], True, True, None, [])
    (replayed,), replay, flat = node.ask_all(
        ("trace_replayBlockTransactions", number, ["trace"]),
        ("trace_replayTransaction", sent, ["trace"]),
        ("trace_block", number),
    )
    assert (replayed["transactionHash"], replay["trace"]) == (sent, replayed["trace"])
    (call,) = replayed["trace"]
    assert (call["type"], call["action"]["callType"], call["action"]["to"], call["traceAddress"]) == (
        "call", "call", token, [],
    )  # fmt: skip
    assert call["result"].keys() == {"gasUsed", "output"}
    # Beneficiaries come from the rewards, which are zero here.
    assert [(each["type"], each["action"].get("value")) for each in flat] == [("call", "0x0"), ("reward", "0x0")]
