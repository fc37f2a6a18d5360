"""web3.py against a running network: deploy, transfer, read logs and receipts, subscribe, filter, fail."""

import json
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3
from web3.exceptions import Web3RPCError
from web3.types import Wei
from websockets.sync.client import connect

from lacnode.testing.running_network import RunningNetwork
from tests.support.devnet import until

CONTRACTS = Path(__file__).resolve().parents[2] / "examples" / "contracts"
TOKEN = json.loads((CONTRACTS / "Token.json").read_text())
SUPPLY = 10**24


class Wallet:
    """A funded account that pays nothing for gas."""

    def __init__(self, web3: Web3, key: str) -> None:
        self.web3 = web3
        self.account = web3.eth.account.from_key(key)
        self.address = self.account.address

    def sign(self, fields: dict[str, Any]) -> bytes:
        nonce = self.web3.eth.get_transaction_count(self.address, "pending")
        defaults = {"nonce": nonce, "gasPrice": 0, "chainId": self.web3.eth.chain_id, "value": 0}
        return bytes(self.account.sign_transaction({**defaults, **fields}).raw_transaction)

    def send(self, call: Any) -> Any:
        """Send a contract call and wait for its receipt."""
        fields = call.build_transaction({"from": self.address, "gasPrice": 0, "nonce": self.nonce()})
        sent = self.web3.eth.send_raw_transaction(self.sign({**fields, "nonce": self.nonce()}))
        return self.web3.eth.wait_for_transaction_receipt(sent, timeout=30, poll_latency=0.05)

    def nonce(self) -> int:
        return self.web3.eth.get_transaction_count(self.address, "pending")


@pytest.fixture(scope="module")
def web3(lacnode_network: RunningNetwork) -> Web3:
    return lacnode_network.web3(0)


@pytest.fixture(scope="module")
def wallet(lacnode_network: RunningNetwork, web3: Web3) -> Wallet:
    return Wallet(web3, lacnode_network.accounts[0].private_key)


@pytest.fixture(scope="module")
def token(web3: Web3, wallet: Wallet) -> Any:
    receipt = wallet.send(web3.eth.contract(abi=TOKEN["abi"], bytecode=TOKEN["bytecode"]).constructor(SUPPLY))
    assert receipt["status"] == 1
    return web3.eth.contract(address=receipt["contractAddress"], abi=TOKEN["abi"])


RECIPIENT = Web3.to_checksum_address("0x" + "ab" * 20)


def test_a_token_is_deployed_and_transferred_on_every_node(
    lacnode_network: RunningNetwork, token: Any, wallet: Wallet
) -> None:
    before = token.functions.balanceOf(RECIPIENT).call()
    receipt = wallet.send(token.functions.transfer(RECIPIENT, 7))
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert (event["args"]["from"], event["args"]["to"], event["args"]["value"]) == (wallet.address, RECIPIENT, 7)
    for index in range(len(lacnode_network.nodes)):
        other = lacnode_network.web3(index)
        found = other.eth.wait_for_transaction_receipt(receipt["transactionHash"], timeout=10, poll_latency=0.05)
        assert found["blockHash"] == receipt["blockHash"]
        contract = other.eth.contract(address=token.address, abi=TOKEN["abi"])
        assert contract.functions.balanceOf(RECIPIENT).call() == before + 7


def test_logs_are_found_by_address_and_topic(web3: Web3, token: Any, wallet: Wallet) -> None:
    receipt = wallet.send(token.functions.transfer(RECIPIENT, 3))
    number = receipt["blockNumber"]
    topic = "0x" + "00" * 12 + RECIPIENT[2:].lower()
    found = web3.eth.get_logs(
        {"fromBlock": number, "toBlock": number, "address": token.address, "topics": [None, None, topic]}
    )
    assert [entry["transactionHash"] for entry in found] == [receipt["transactionHash"]]
    elsewhere = web3.eth.get_logs({"fromBlock": number, "toBlock": number, "address": RECIPIENT})
    assert elsewhere == []


def test_filters_give_what_is_new(web3: Web3, token: Any, wallet: Wallet) -> None:
    logs, blocks = web3.eth.filter({"address": token.address}), web3.eth.filter("latest")
    assert logs.filter_id is not None
    receipt = wallet.send(token.functions.transfer(RECIPIENT, 1))
    until(lambda: receipt["transactionHash"] in [log["transactionHash"] for log in logs.get_new_entries()], "the log")
    assert logs.get_new_entries() == []
    until(lambda: receipt["blockHash"] in blocks.get_new_entries(), "the block")
    assert web3.eth.uninstall_filter(logs.filter_id)
    with pytest.raises(Web3RPCError, match="Filter not found"):
        logs.get_new_entries()


def test_a_revert_says_why(web3: Web3, token: Any, wallet: Wallet) -> None:
    with pytest.raises(Web3RPCError, match=r"Execution reverted \(balance too low\)"):
        token.functions.transfer(RECIPIENT, SUPPLY * 2).call({"from": wallet.address})
    data = token.encode_abi("transfer", args=[RECIPIENT, SUPPLY * 2])
    sent = web3.eth.send_raw_transaction(wallet.sign({"to": token.address, "gas": 100_000, "data": data}))
    receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=30, poll_latency=0.05)
    assert receipt["status"] == 0
    assert b"balance too low".hex() in dict(receipt)["revertReason"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chainId": 1}, "Wrong chainId"),
        ({"gas": 20_999}, "Intrinsic gas exceeds gas limit"),
        ({"gas": 10**12}, "Transaction gas limit exceeds block gas limit"),
        ({"value": 10**30}, "Upfront cost exceeds account balance"),
        ({"nonce": 0}, "Nonce too low"),
        ({"nonce": 10**6}, "Transaction nonce is too distant from current sender nonce"),
    ],
)
def test_a_refused_transaction_is_told_why_in_besus_words(
    web3: Web3, wallet: Wallet, token: Any, fields: dict[str, Any], message: str
) -> None:
    raw = wallet.sign({"to": RECIPIENT, "gas": 21_000, **fields})
    with pytest.raises(Web3RPCError, match=message):
        web3.eth.send_raw_transaction(raw)


def test_the_same_transaction_twice_is_known(web3: Web3, wallet: Wallet) -> None:
    raw = wallet.sign({"to": RECIPIENT, "gas": 21_000, "nonce": wallet.nonce() + 1})
    web3.eth.send_raw_transaction(raw)
    with pytest.raises(Web3RPCError, match="Known transaction"):
        web3.eth.send_raw_transaction(raw)
    filler = web3.eth.send_raw_transaction(wallet.sign({"to": RECIPIENT, "gas": 21_000, "nonce": wallet.nonce()}))
    web3.eth.wait_for_transaction_receipt(filler, timeout=30, poll_latency=0.05)


def test_proofs_and_history_are_served(web3: Web3, wallet: Wallet, token: Any) -> None:
    proof = web3.eth.get_proof(token.address, [0], "latest")  # type: ignore[call-arg]
    assert proof["codeHash"] != b"\0" * 32
    history = web3.eth.fee_history(2, "latest", [50.0])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert web3.eth.get_block("latest", full_transactions=True)["number"] >= 1
    assert web3.eth.estimate_gas({"from": wallet.address, "to": RECIPIENT, "value": Wei(1)}) == 21_000


def _is_of(receipt: Any, log: Any) -> bool:
    return log is not None and log["transactionHash"] == receipt["transactionHash"].to_0x_hex()


def test_heads_and_logs_are_pushed(lacnode_network: RunningNetwork, token: Any, wallet: Wallet) -> None:
    with connect(lacnode_network.nodes[1].ws_url) as client:

        def ask(id_: int, *params: object) -> str:
            client.send(json.dumps({"jsonrpc": "2.0", "id": id_, "method": "eth_subscribe", "params": params}))
            while True:
                message = json.loads(client.recv(timeout=10))
                if message.get("id") == id_:
                    return str(message["result"])

        heads, logs = ask(1, "newHeads"), ask(2, "logs", {"address": token.address})
        receipt = wallet.send(token.functions.transfer(RECIPIENT, 9))
        seen: dict[str, Any] = {}
        # The node may still have to get the block with the token, which has a log too.
        while not _is_of(receipt, seen.get(logs)) or int(seen[heads]["number"], 16) < receipt["blockNumber"]:
            message = json.loads(client.recv(timeout=10))
            assert message["method"] == "eth_subscription"
            seen[message["params"]["subscription"]] = message["params"]["result"]
    assert seen[heads]["miner"] in [node.address for node in lacnode_network.nodes]
    assert isinstance(seen[heads]["transactions"], list), "Besu pushes the whole block"
