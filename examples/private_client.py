"""What the examples with private transactions share: the members of a devnet, and signing what they send one another.

Needs web3, eth-keys and rlp. Wallets have this in libraries, such as web3js-quorum.
"""

import base64
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rlp
from eth_account.signers.local import LocalAccount
from eth_keys import keys
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3

GAS = 3_000_000
DEADLINE = 60


@dataclass(frozen=True)
class Member:
    """A writer of the devnet. `key` is its transaction manager's public key, in base64."""

    name: str
    key: str
    web3: Web3

    def ask(self, method: str, *params: object) -> Any:
        """The result of a call; an error ends the example with its text."""
        answer = self.web3.provider.make_request(method, list(params))
        if "error" in answer:
            raise SystemExit(f"{self.name}: {method}: {answer['error']['message']}")
        return answer["result"]

    def send(self, account: LocalAccount, group: str, data: bytes, to: str | None = None) -> str:
        """Send a private transaction of `account` to a group (base64 id); the hash of its marker."""
        count = int(self.ask("priv_getTransactionCount", account.address, group), 16)
        between = [base64.b64decode(self.key), base64.b64decode(group), b"restricted"]
        fields = [count, 0, GAS, bytes.fromhex((to or "0x")[2:]), 0, data]
        chain_id = self.web3.eth.chain_id
        digest = Web3.keccak(rlp.encode([*fields, chain_id, b"", b"", *between]))
        signature = keys.PrivateKey(account.key).sign_msg_hash(digest)
        signed = [*fields, 35 + 2 * chain_id + signature.v, signature.r, signature.s, *between]
        return str(self.ask("eea_sendRawTransaction", "0x" + rlp.encode(signed).hex()))

    def wait_until_mined(self, transaction: HexBytes) -> None:
        """Return when this member's node has the block of a public transaction. Other nodes may have had it before."""
        self.web3.eth.wait_for_transaction_receipt(transaction, timeout=DEADLINE)

    def receipt(self, marker: str) -> dict[str, Any]:
        """The private receipt, once the marker is mined and what it announces is carried out here."""
        self.web3.eth.wait_for_transaction_receipt(marker, timeout=DEADLINE)
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            receipt: dict[str, Any] | None = self.ask("priv_getTransactionReceipt", marker)
            if receipt is not None:
                return receipt
        raise SystemExit(f"{self.name}: no private receipt of {marker} within {DEADLINE} s")

    def call(self, group: str, to: str, data: bytes, block: str = "latest") -> bytes:
        """What a private contract answers as of `block`; nothing where this member does not have it."""
        answer = self.ask("priv_call", group, {"to": to, "data": "0x" + data.hex()}, block)
        return bytes.fromhex(answer[2:])


def load(path: Path) -> tuple[list[Member], list[LocalAccount]]:
    """The members and the funded accounts of the devnet at `path`, which runs."""
    start = f"start a network first: lacnode devnet --privacy --data-path {path}"
    if not (path / "devnet.json").exists():
        raise SystemExit(f"{path} holds no devnet; {start}")
    devnet = json.loads((path / "devnet.json").read_text("utf-8"))
    writers = [node for node in devnet["nodes"] if node["privacy_key"]]
    members = [Member(node["name"], node["privacy_key"], Web3(HTTPProvider(node["rpc_url"]))) for node in writers]
    if len(members) < 3 or not all(member.web3.is_connected() for member in members):
        raise SystemExit(f"three members with transaction managers are needed, and they do not answer; {start}")
    accounts = [members[0].web3.eth.account.from_key(account["private_key"]) for account in devnet["accounts"]]
    return members, accounts


def new_group_id() -> str:
    """An id for a flexible group: any 32 bytes that no other has."""
    return base64.b64encode(secrets.token_bytes(32)).decode()
