"""lacnode's permissioning contracts on the real engine: what callers may change, and what nodes are told."""

from typing import Any

from eth_abi.abi import decode, encode

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.permissioned_genesis import (
    ACCOUNT_INGRESS,
    ACCOUNT_RULES,
    ADMIN,
    NODE_INGRESS,
    NODE_RULES,
    NodeEntry,
    permissioning_alloc,
)
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.topology import NodeType
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.keccak import keccak256
from tests.support.evm_network import RICH, Network, deploying, signed

__all__ = ["ACCOUNT_INGRESS", "ACCOUNT_RULES", "ADMIN", "NODE_INGRESS", "NODE_RULES"]

OUTSIDER = NodeKey.from_private_key(keccak256(b"outsider"))
GAS = 5_000_000


def enode(word: str, port: int = 30303) -> Enode:
    """A node whose key is made of `word`."""
    return Enode(NodeKey.from_private_key(keccak256(word.encode())).public_key, "10.0.0.1", port, None)


class Contracts:
    """A chain whose genesis has the contracts; RICH is their admin and the only account that may send."""

    def __init__(self, nodes: dict[str, NodeType] | None = None) -> None:
        entries = [NodeEntry(enode(word), type_, word) for word, type_ in (nodes or {}).items()]
        alloc = permissioning_alloc([RICH.address], entries, [RICH.address])
        self.network = Network({from_hex(address): fields for address, fields in alloc.items()})
        self._nonces: dict[bytes, int] = {}

    def next_nonce(self, by: NodeKey = RICH) -> int:
        """The nonce of the next transaction, which is counted as sent."""
        nonce = self._nonces.get(by.address, 0)
        self._nonces[by.address] = nonce + 1
        return nonce

    def send(self, contract: bytes, signature: str, *values: Any, by: NodeKey = RICH) -> list[Any] | None:
        """The logs of a call that changes `contract`, None if it reverted."""
        nonce = self.next_nonce(by)
        data = call_data(signature, *values)
        executed = self.network.execute(signed(by, nonce, to=contract, data=data, gas=GAS))
        (receipt,) = executed.receipts
        return list(receipt.logs) if receipt.status == 1 else None

    def create(self, code: bytes, by: NodeKey = RICH) -> bytes:
        """The address of a new contract with `code`."""
        transaction = signed(by, self.next_nonce(by), data=deploying(code), gas=GAS)
        (address,) = self.network.execute(transaction).created
        assert address is not None
        return address

    def refusal(self, contract: bytes, signature: str, *values: Any, by: NodeKey = RICH) -> str | None:
        """The reason with which a change would revert, None if it would work."""
        result = self.network.call(sender=by.address, to=contract, data=call_data(signature, *values), gas=GAS)
        if result.success:
            return None
        (reason,) = decode(["string"], result.output[4:])
        return str(reason)

    def ask(self, contract: bytes, signature: str, *values: Any, returns: str) -> Any:
        """What a view answers."""
        result = self.network.call(to=contract, data=call_data(signature, *values), gas=GAS)
        assert result.success, signature
        answer = decode(returns.split(","), result.output)
        return answer[0] if len(answer) == 1 else answer


def call_data(signature: str, *values: Any) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode())[:4] + encode(types.split(",") if types else [], values)
