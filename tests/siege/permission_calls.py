"""Transactions of the administrator of a permissioned network, and of accounts that its rules permit.

The rules are lacnode's contracts, as `make_devnet` puts them into the genesis. Every account of the devnet may send and
create contracts, and the first one is the administrator.
"""

from collections.abc import Mapping, Sequence

import trio
from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.permissioning.abi import RULES_NAME
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import keccak256
from tests.siege.http import ask
from tests.siege.transactions import SiegeSender, raw

ACCOUNT_INGRESS, ACCOUNT_RULES, ADMIN_CONTRACT = (
    bytes.fromhex(digits.rjust(40, "0")) for digits in ("8888", "8889", "9997")
)
"""Of every permissioned devnet. `lacnode.devnet.permissioned_genesis` has them with an engine that is slow to import."""

MINED_SECONDS = 20.0
"""That an administrator or a permitted account may have to wait for a block with its transaction."""

POLL_SECONDS = 0.2
GAS = 2_000_000
TARGET = b"\x5e" * 20


def call_data(signature: str, *values: object) -> bytes:
    """The call of a function such as `addAccount(address)`."""
    types = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode("ascii"))[:4] + encode(types.split(",") if types else [], values)


def setting_rules(contract: bytes) -> bytes:
    """The call of the ingress that makes `contract` the rules."""
    return call_data("setContractAddress(bytes32,address)", RULES_NAME, contract)


def key_of_account(manifest: Manifest, index: int) -> NodeKey:
    """The key of an account of the devnet."""
    return NodeKey.from_private_key(from_hex(manifest.accounts[index].private_key))


def transfer_senders(manifest: Manifest) -> Mapping[str, NodeKey]:
    """An account for each node, by its name, that sends the ordinary transfers which the watch waits for."""
    return {node.name: key_of_account(manifest, 1 + index) for index, node in enumerate(manifest.nodes)}


def admin_of(manifest: Manifest) -> "PermittedAccount":
    return PermittedAccount(key_of_account(manifest, 0), manifest.nodes[0])


def ordinary_account_of(manifest: Manifest) -> "PermittedAccount":
    """One that neither the watch nor an administrator uses."""
    return PermittedAccount(key_of_account(manifest, len(manifest.nodes) + 1), manifest.nodes[1])


def spare_accounts_of(manifest: Manifest) -> "list[PermittedAccount]":
    """The other permitted accounts, each with another node in turn."""
    first = len(manifest.nodes) + 2
    return [
        PermittedAccount(key_of_account(manifest, index), manifest.nodes[index % len(manifest.nodes)])
        for index in range(first, len(manifest.accounts))
    ]


class PermittedAccount:
    """An account that sends by one node, one transaction after the other."""

    def __init__(self, key: NodeKey, node: DevnetNode) -> None:
        self.key, self._node = key, node

    @property
    def address(self) -> bytes:
        return self.key.address

    async def submit(self, to: bytes | None = TARGET, data: bytes = b"", gas: int = GAS) -> str | None:
        """Hand a transaction to the node. Its hash, None if it was refused."""
        nonce = await ask(self._node.rpc_port, "eth_getTransactionCount", to_hex(self.address), "pending")
        if not isinstance(nonce, str):
            return None
        transaction = SiegeSender(self.key, int(nonce, 16)).sign(to=to, data=data, gas=gas)
        found = await ask(self._node.rpc_port, "eth_sendRawTransaction", raw(transaction))
        return found if isinstance(found, str) else None

    async def send(self, to: bytes | None = TARGET, data: bytes = b"", gas: int = GAS) -> dict[str, object] | None:
        """The receipt of a new transaction. None if it is in no block in time. It is offered again while it is refused."""
        with trio.move_on_after(MINED_SECONDS):
            while (hash_ := await self.submit(to, data, gas)) is None:  # noqa: ASYNC110
                await trio.sleep(POLL_SECONDS)
            while True:
                receipt = await ask(self._node.rpc_port, "eth_getTransactionReceipt", hash_)
                if isinstance(receipt, dict):
                    return receipt
                await trio.sleep(POLL_SECONDS)
        return None

    async def transfers(self) -> bool:
        """Whether a new transfer of this account comes into a block in time."""
        return await self.send(gas=21_000) is not None

    async def transfers_by_all(self, nodes: Sequence[DevnetNode]) -> bool:
        """Whether a transfer of this account comes into a block in time that is offered to all `nodes` again and again."""
        nonce = await ask(self._node.rpc_port, "eth_getTransactionCount", to_hex(self.address), "latest")
        if not isinstance(nonce, str):
            return False
        transaction = SiegeSender(self.key, int(nonce, 16)).sign(to=TARGET, gas=21_000)
        hash_ = to_hex(transaction.hash)
        with trio.move_on_after(MINED_SECONDS):
            while not isinstance(await ask(self._node.rpc_port, "eth_getTransactionReceipt", hash_), dict):
                for node in nodes:
                    await ask(node.rpc_port, "eth_sendRawTransaction", raw(transaction))
                await trio.sleep(POLL_SECONDS)
            return True
        return False

    async def changes(self, contract: bytes, data: bytes) -> bool | None:
        """Whether a call of this account that changes `contract` succeeds. None if it is in no block in time."""
        receipt = await self.send(contract, data)
        return None if receipt is None else receipt["status"] == "0x1"
