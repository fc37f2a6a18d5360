"""LACNet's own writer configuration, unmodified, on that network's own chain: its account rules decide."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from tests.support.devnet import ask, height, until

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
WRITER = DATA / "lacnet-configs" / "local-writer.toml"
CHAIN = DATA / "lacnet-local"
HUB = "0x1Fa12C57ABab623beCc34A69cB526AD39c6338D6".lower()
LISTED = "0x211152ca21d5daedbcfbf61173886bbb1a217242"
CHAIN_ID = 648_550

pytestmark = pytest.mark.skipif(
    not WRITER.exists(), reason="LACNet's configuration and chain (shared/data) are not here"
)


@contextmanager
def writer(directory: Path, *options: str) -> Iterator[str]:
    """The node on a chain that was imported before; the URL of its JSON-RPC."""
    paths = (f"--data-path={directory}", f"--genesis-file={CHAIN / 'genesis.json'}")
    # Block 110 of that chain breaks its own rules: the network was run without them when it was made.
    imported = [*paths, "blocks", "import", f"--from={CHAIN / 'blocks-0-118.rlp'}"]
    subprocess.run([sys.executable, "-m", "lacnode", *imported], check=True, capture_output=True, timeout=60)
    with claim_port_offset(1) as offset:
        ports = node_ports(0, offset)
        places = [f"--p2p-port={ports.p2p}", f"--rpc-http-port={ports.rpc}", f"--rpc-ws-port={ports.ws}"]
        command = [*paths, f"--config-file={WRITER}", f"--node-private-key-file={directory / 'key'}", *places, *options]
        node = subprocess.Popen([sys.executable, "-m", "lacnode", *command], stderr=subprocess.PIPE, text=True)
        try:
            url = f"http://127.0.0.1:{ports.rpc}"
            until(lambda: node.poll() is not None or height(url) == 118, "the node up at block 118")
            assert node.poll() is None, node.stderr.read() if node.stderr else ""
            yield url
        finally:
            node.terminate()
            node.communicate(timeout=30)


def send(url: str, sender: Any, to: str | None, gas: int, price: int = 0) -> dict[str, Any]:
    fields = {"nonce": 0, "gas": gas, "gasPrice": price, "value": 0, "data": b"", "chainId": CHAIN_ID}
    raw = Account.sign_transaction(
        fields if to is None else {**fields, "to": bytes.fromhex(to[2:])}, sender.key
    ).raw_transaction
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x" + bytes(raw).hex()]}
    answer: dict[str, Any] = httpx.post(url, json=body, timeout=30).json()
    return answer


def test_the_networks_account_rules_decide_what_is_taken(tmp_path: Path) -> None:
    with writer(tmp_path / "data") as url:
        stranger = Account.create()
        refused = send(url, stranger, HUB, 400_000)["error"]
        assert (refused["code"], refused["message"]) == (-32007, "Sender account not authorized to send transactions")
        assert refused["data"]["reason"] == f"{stranger.address.lower()} is not in the contract's list of accounts"
        reasons = send(url, stranger, stranger.address, 100_000, price=1)["error"]["data"]["reason"].split("; ")
        assert reasons[1:] == [
            f"the target {stranger.address.lower()} is not in the contract's list of targets",
            "the gas price must be 0 and is 1",
            "the gas limit must be at least 300000 for this payload and is 100000",
        ]
        assert (
            "the creation of contracts is not in the contract's list of targets"
            in (send(url, stranger, None, 400_000)["error"]["data"]["reason"])
        )


def test_the_networks_own_writer_may_send_to_its_relay_hub(tmp_path: Path) -> None:
    with writer(tmp_path / "data", "--rpc-http-api=ETH,LAC") as url:
        call = {"from": LISTED, "to": HUB, "gas": hex(400_000), "data": "0x" + "00" * 100}
        assert ask(url, "lac_explainTransaction", call)["allowed"] is True
        decision = ask(url, "lac_explainTransaction", {**call, "gas": hex(100_000)})
        assert decision["allowed"] is False
        assert decision["reason"] == "the gas limit must be at least 310500 for this payload and is 100000"
        assert decision["source"] == "0x1e6ae553606bcceeee8eb61d7dc9a810ae32f2f2"
        status = ask(url, "lac_permissioningStatus")
        assert (status["accountContract"], status["nodeContract"]) == ("0x" + "8888".rjust(40, "0"), None)
        assert status["troubles"] == []
