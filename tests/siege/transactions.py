"""Transactions that attackers and ordinary senders sign. Gas is free in the devnet: any key can send."""

from dataclasses import dataclass, field
from typing import Any

from eth_account import Account

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID, GAS_LIMIT
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction


@dataclass
class SiegeSender:
    """An account with a key of its own; it counts its nonces itself."""

    key: NodeKey = field(default_factory=NodeKey.generate)
    nonce: int = 0

    def sign(self, *, to: bytes | None, data: bytes = b"", gas: int = GAS_LIMIT) -> Transaction:
        """The next transaction of this account, without value."""
        fields: dict[str, Any] = {
            "nonce": self.nonce,
            "gas": gas,
            "gasPrice": 0,
            "value": 0,
            "data": data,
            "chainId": CHAIN_ID,
        }
        if to is not None:
            fields["to"] = to
        self.nonce += 1
        return Transaction.decode(bytes(Account.sign_transaction(fields, self.key.private_key).raw_transaction))

    def transfer(self) -> Transaction:
        """An ordinary transfer."""
        return self.sign(to=b"\x5e" * 20, gas=21_000)


def raw(transaction: Transaction) -> str:
    """The parameter of `eth_sendRawTransaction`."""
    return to_hex(transaction.raw)
