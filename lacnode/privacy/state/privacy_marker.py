"""Privacy marker transactions: the public trace of a private transaction.

A marker carries the key of the payload to a reserved address. A node without privacy sees an ordinary call without
effect. Besu signs a marker without a chain id, by a fixed key or by a new key each time. A marker must not be made
before the manager has stored the payload.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction
from lacnode.privacy.state.private_transaction import PrivateTransaction

PRIVACY_ADDRESS = bytes(19) + b"\x7e"
FLEXIBLE_PRIVACY_ADDRESS = bytes(19) + b"\x7d"
PROXY_ADDRESS = bytes(19) + b"\x7c"
MANAGEMENT_ADDRESS = bytes(19) + b"\x7b"
PLUGIN_PRIVACY_ADDRESS = bytes(19) + b"\x7a"
"""Besu's reserved addresses: three targets of markers, and two contracts in the private state of flexible groups."""

PAYLOAD_KEY_BYTES = 32


class GroupMode(Enum):
    """The kind of groups of a node. OFFCHAIN groups are in the manager. A contract lists the members of FLEXIBLE
    groups.

    As in Besu, a node has one of the two kinds. The value is the address (20 bytes) that markers call.
    """

    OFFCHAIN = PRIVACY_ADDRESS
    FLEXIBLE = FLEXIBLE_PRIVACY_ADDRESS

    def may_be_marker(self, transaction: Transaction) -> bool:
        """Return True if a public transaction can be a marker for this kind of groups: it calls the address with the
        key of a payload (32 bytes). For new members of a flexible group, the key of the history follows (32 bytes
        more). Whether the payload exists is not known here.
        """
        sizes = (PAYLOAD_KEY_BYTES,) if self is GroupMode.OFFCHAIN else (PAYLOAD_KEY_BYTES, 2 * PAYLOAD_KEY_BYTES)
        return transaction.to == self.value and len(transaction.data) in sizes


def read_payload_key(marker: Transaction) -> bytes:
    """Return the key of the private transaction that `marker` announces (32 bytes). The caller must have checked `marker`
    by `GroupMode.may_be_marker`: other data gives a wrong or a short key, and no error."""
    return marker.data[:PAYLOAD_KEY_BYTES]


def read_history_key(marker: Transaction) -> bytes | None:
    """Return the key (32 bytes) of the group history that `marker` announces to new members. None if it announces none,
    or if its second key is the first one again: one payload cannot be a private transaction and a history. The caller
    must have checked `marker` by `GroupMode.may_be_marker`."""
    key = marker.data[PAYLOAD_KEY_BYTES:]
    # A marker that waits for a history is executed again when a payload with the key is there. With two equal keys the
    # payload would be there always, so the group would be executed again for ever.
    return None if key in (b"", read_payload_key(marker)) else key


class MarkerSigner(Protocol):
    """Signs markers, by a key that it chooses for each of them."""

    def sign_marker(
        self, nonce_of: Callable[[bytes], int], private: PrivateTransaction, mode: GroupMode, keys: bytes
    ) -> Transaction:
        """Return the signed marker of `private`. Nothing is sent. The marker goes to the address of `mode`. Its data
        are `keys`: the key of the payload (32 bytes). If new members of a flexible group receive a history, the key of
        the history follows (32 bytes more).

        Gas price and gas limit are those of `private`. `nonce_of` returns the next public nonce of an account (20
        bytes). A signer that makes a new key does not call it.
        """
        ...


class FixedKeySigner:
    """Signs every marker by one key. Its account must be able to send. The markers then show that they have one source."""

    def __init__(self, key: NodeKey) -> None:
        self._key = key

    def sign_marker(
        self, nonce_of: Callable[[bytes], int], private: PrivateTransaction, mode: GroupMode, keys: bytes
    ) -> Transaction:
        """Return the marker of `private` to the address of `mode` with the data `keys` (32 or 64 bytes, see
        `MarkerSigner`), signed by the fixed key. `nonce_of` returns the next public nonce of its account."""
        return create_marker(self._key, nonce_of(self._key.address), private, mode, keys)


class RandomKeySigner:
    """Signs each marker by a new key, as Besu does by default. It needs free gas and no account permissioning."""

    def sign_marker(
        self, nonce_of: Callable[[bytes], int], private: PrivateTransaction, mode: GroupMode, keys: bytes
    ) -> Transaction:
        """Return the marker of `private` to the address of `mode` with the data `keys` (32 or 64 bytes, see
        `MarkerSigner`), signed by a new key with the public nonce 0. `nonce_of` is not called."""
        # A new account has the nonce 0. Its markers have no connection that an observer could see.
        return create_marker(NodeKey.generate(), 0, private, mode, keys)


def create_marker(
    signer: NodeKey, nonce: int, private: PrivateTransaction, mode: GroupMode, keys: bytes
) -> Transaction:
    """Return the marker of `private`, signed by `signer` without a chain id. It calls the address of `mode` with the
    public `nonce` and the data `keys` (32 or 64 bytes, see `MarkerSigner`). It has the gas price and limit of `private`
    and no value (Besu's `AbstractEeaSendRawTransaction`)."""
    # Besu signs it without a chain id (v 27 or 28). Another form would be another transaction hash for the same
    # payload.
    fields: list[RlpValue] = [
        rlp.encode_scalar(nonce),
        rlp.encode_scalar(private.gas_price),
        rlp.encode_scalar(private.gas_limit),
        mode.value,
        b"",
        keys,
    ]
    signature = sign(keccak256(rlp.encode(fields)), signer.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return Transaction.decode(encode_signed_transaction(LEGACY, fields, signature[64] + 27, r, s))
