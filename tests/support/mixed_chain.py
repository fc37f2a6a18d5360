"""What a network of `mixed_network.py` did: transactions through nodes of either kind, their receipts, and late blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lacnode.consensus.bft.proposer import proposer_for
from lacnode.consensus.protocols import PROTOCOLS
from lacnode.crypto.node_key import NodeKey
from tests.support.evm_network import deploying, signed
from tests.support.mixed_network import CHAIN_ID, MixedNode, wait_for

STORING = bytes.fromhex("60003580600c5760006000fd5b4181554260005260206000a100")
"""Stores COINBASE in the slot that the call data names, and logs TIMESTAMP with it as topic. It reverts for slot 0."""


@dataclass
class MixedSender:
    """A funded account. It counts its nonces itself. `sent` has the hashes of its transactions."""

    private_key: str
    nonce: int = 0
    sent: list[str] = field(default_factory=list)

    def sign(self, **fields: Any) -> str:
        """The next transaction, encoded. Its nonce is not counted. Gas is free unless `fields` says otherwise."""
        key = NodeKey.from_private_key(bytes.fromhex(self.private_key.removeprefix("0x")))
        return "0x" + signed(key, self.nonce, chainId=CHAIN_ID, **fields).raw.hex()

    def send(self, node: MixedNode, **fields: Any) -> str:
        """Send the next transaction through `node`, and return its hash."""
        self.sent.append(node.call("eth_sendRawTransaction", self.sign(**fields)))
        self.nonce += 1
        return self.sent[-1]

    def deploy(self, node: MixedNode) -> str:
        return self.send(node, data=deploying(STORING))

    def use(self, node: MixedNode, contract: bytes) -> None:
        """A transfer, a call that stores and logs, and one that reverts. `contract` has the code `STORING`."""
        self.send(node, to=b"\x5e" * 20, value=self.nonce + 1)
        self.send(node, to=contract, data=self.nonce.to_bytes(32))
        self.send(node, to=contract, data=bytes(32))


def receipt_of(node: MixedNode, transaction: str) -> dict[str, Any] | None:
    """The receipt. None while the transaction is in no block of `node`, or the node is not up."""
    try:
        found: dict[str, Any] | None = node.call("eth_getTransactionReceipt", transaction)
    except OSError:
        return None
    return found


def contract_of(node: MixedNode, transaction: str) -> bytes:
    """The address of the contract that a transaction deployed. Waits until it is in a block of `node`."""
    wait_for(lambda: receipt_of(node, transaction), "the contract is deployed", [node])
    return bytes.fromhex((receipt_of(node, transaction) or {})["contractAddress"][2:])


def all_have_receipts(nodes: Sequence[MixedNode], transactions: Sequence[str]) -> bool:
    return all(receipt_of(node, transaction) is not None for node in nodes for transaction in transactions)


def differing_receipts(nodes: Sequence[MixedNode], transactions: Sequence[str]) -> list[list[Any]]:
    """For each transaction whose receipt differs: the receipts of all nodes."""
    seen = [[receipt_of(node, transaction) for node in nodes] for transaction in transactions]
    return [receipts for receipts in seen if any(receipt != receipts[0] for receipt in receipts)]


@dataclass(frozen=True)
class LateBlock:
    """A block of a round after 0. `turn` is the address of the validator whose turn round 0 was."""

    number: int
    round: int
    turn: bytes


def late_blocks(node: MixedNode, protocol: str, first: int, last: int) -> list[LateBlock]:
    """The late blocks among those from `first` to `last`."""
    creator = bytes.fromhex(node.block(first - 1)["miner"][2:])
    found = []
    for number in range(first, last + 1):
        block = node.block(number)
        extra = PROTOCOLS[protocol].decode_extra_data(bytes.fromhex(block["extraData"][2:]))
        if extra.round:
            found.append(LateBlock(number, extra.round, proposer_for(extra.validators, creator, 0)))
        creator = bytes.fromhex(block["miner"][2:])
    return found
