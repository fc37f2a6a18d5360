"""The devnet's funded accounts. They are the same in every devnet, so that scripts may contain their keys.

The keys are derived from a fixed phrase and belong to no wallet. They are public and must never be used elsewhere.
"""

from dataclasses import dataclass

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

BALANCE_WEI = 10**27
"""The first balance of each account: a billion ether."""


@dataclass(frozen=True, slots=True)
class DevnetAccount:
    """A funded account: address and private key in hexadecimal digits after `0x`."""

    address: str
    private_key: str


def funded_accounts(count: int = 5) -> tuple[DevnetAccount, ...]:
    """Return the first `count` accounts."""
    keys = (
        NodeKey.from_private_key(keccak256(b"lacnode devnet account %d" % number)) for number in range(1, count + 1)
    )
    return tuple(DevnetAccount(to_hex(key.address), to_hex(key.private_key)) for key in keys)
