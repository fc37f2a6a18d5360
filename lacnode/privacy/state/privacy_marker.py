"""Marker transactions: the public trace of a private one. They carry the payload's key to a reserved address, where a
node without privacy sees an ordinary call without effect.

Besu signs them without a chain id, with a fixed key or a new one each time. Must not be made before the manager has the
payload.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import LEGACY, Transaction, sign_payload
from lacnode.privacy.state.private_transaction import PrivateTransaction

PRIVACY_ADDRESS = bytes(19) + b"\x7e"
FLEXIBLE_PRIVACY_ADDRESS = bytes(19) + b"\x7d"
PROXY_ADDRESS = bytes(19) + b"\x7c"
MANAGEMENT_ADDRESS = bytes(19) + b"\x7b"
PLUGIN_PRIVACY_ADDRESS = bytes(19) + b"\x7a"
"""Besu's reserved addresses: three targets of markers, and two contracts of flexible groups' private state."""

PAYLOAD_KEY_BYTES = 32


class GroupMode(Enum):
    """Which groups a node has: the transaction manager's, or flexible ones, whose members a contract in the group's own
    state lists. As in Besu it is the one or the other. The value is the address that markers go to."""

    OFFCHAIN = PRIVACY_ADDRESS
    FLEXIBLE = FLEXIBLE_PRIVACY_ADDRESS

    def may_announce(self, transaction: Transaction) -> bool:
        """Whether a public transaction may announce a private one: a call of the address with a payload's key, after
        which, where members are added to a flexible group, that of its history may follow."""
        sizes = (PAYLOAD_KEY_BYTES,) if self is GroupMode.OFFCHAIN else (PAYLOAD_KEY_BYTES, 2 * PAYLOAD_KEY_BYTES)
        return transaction.to == self.value and len(transaction.data) in sizes


def read_payload_key(marker: Transaction) -> bytes:
    """The key of the private transaction that `marker` announces."""
    return marker.data[:PAYLOAD_KEY_BYTES]


def read_history_key(marker: Transaction) -> bytes | None:
    """The key of the history that `marker` announces to a flexible group's new members, if it does."""
    return marker.data[PAYLOAD_KEY_BYTES:] or None


class MarkerSigner(Protocol):
    """Chooses the key of a marker."""

    def sign(
        self, nonce_of: Callable[[bytes], int], private: PrivateTransaction, mode: GroupMode, keys: bytes
    ) -> Transaction:
        """The signed marker of `private`, whose data are `keys`. `nonce_of` gives an account's next public nonce."""
        ...


class FixedKeySigner:
    """Every marker by one key: needs its account to be known, reveals that the markers have one source."""

    def __init__(self, key: NodeKey) -> None:
        self._key = key

    def sign(
        self, nonce_of: Callable[[bytes], int], private: PrivateTransaction, mode: GroupMode, keys: bytes
    ) -> Transaction:
        return marker(self._key, nonce_of(self._key.address), private, mode, keys)


class RandomKeySigner:
    """Each marker by a key of its own, as Besu does by default: only where gas is free and accounts are not permissioned."""

    def sign(
        self, nonce_of: Callable[[bytes], int], private: PrivateTransaction, mode: GroupMode, keys: bytes
    ) -> Transaction:
        return marker(NodeKey.generate(), 0, private, mode, keys)


def marker(signer: NodeKey, nonce: int, private: PrivateTransaction, mode: GroupMode, keys: bytes) -> Transaction:
    """The marker of `private`, whose gas price and limit it takes over (Besu, `AbstractEeaSendRawTransaction`)."""
    fields: list[RlpValue] = [
        rlp.scalar(nonce),
        rlp.scalar(private.gas_price),
        rlp.scalar(private.gas_limit),
        mode.value,
        b"",
        keys,
    ]
    signature = sign(keccak256(rlp.encode(fields)), signer.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return Transaction.decode(sign_payload(LEGACY, fields, signature[64] + 27, r, s))
