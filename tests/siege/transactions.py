"""Transactions that attackers and ordinary senders sign. Gas is free in the devnet: any key can send."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account

from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.devnet.devnet_genesis import CHAIN_ID, GAS_LIMIT
from lacnode.primitives import rlp
from lacnode.primitives.access_list import AccessListEntry
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import ACCESS_LIST, Transaction, encode_signed_transaction


@dataclass
class SiegeSender:
    """An account with a key of its own; it counts its nonces itself."""

    key: NodeKey = field(default_factory=NodeKey.generate)
    nonce: int = 0

    def sign(self, *, to: bytes | None, data: bytes = b"", gas: int = GAS_LIMIT, gas_price: int = 0) -> Transaction:
        """The next transaction of this account, without value."""
        fields: dict[str, Any] = {
            "nonce": self.nonce,
            "gas": gas,
            "gasPrice": gas_price,
            "value": 0,
            "data": data,
            "chainId": CHAIN_ID,
        }
        if to is not None:
            fields["to"] = to
        self.nonce += 1
        return Transaction.decode(bytes(Account.sign_transaction(fields, self.key.private_key).raw_transaction))

    def sign_access_list(self, access_list: Sequence[AccessListEntry], *, gas: int) -> Transaction:
        """A transaction of type 1 that names what `access_list` does. `eth_account` would take minutes for a long one."""
        payload: list[RlpValue] = [
            rlp.encode_scalar(CHAIN_ID),
            rlp.encode_scalar(self.nonce),
            b"",
            rlp.encode_scalar(gas),
            b"\x5e" * 20,
        ]
        payload += [b"", b"", [[address, list(keys)] for address, keys in access_list]]
        signature = sign(keccak256(bytes([ACCESS_LIST]) + rlp.encode(payload)), self.key.private_key)
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
        self.nonce += 1
        return Transaction.decode(encode_signed_transaction(ACCESS_LIST, payload, signature[64], r, s))

    def transfer(self) -> Transaction:
        """An ordinary transfer."""
        return self.sign(to=b"\x5e" * 20, gas=21_000)


def raw(transaction: Transaction) -> str:
    """The parameter of `eth_sendRawTransaction`."""
    return to_hex(transaction.raw)
