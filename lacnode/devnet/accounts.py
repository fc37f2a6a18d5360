"""The devnet's funded accounts: the same in every devnet, so that scripts may hold their keys.

Derived from a fixed phrase, not from anybody's wallet. Never use them anywhere else: everybody knows them.
"""

from dataclasses import dataclass

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

BALANCE_WEI = 10**27
"""Wei that each account starts with: a billion ether."""


@dataclass(frozen=True, slots=True)
class DevnetAccount:
    """A funded account: hexadecimal address and private key, `0x` each."""

    address: str
    private_key: str


def funded_accounts(count: int = 5) -> tuple[DevnetAccount, ...]:
    """The first `count` accounts."""
    keys = (
        NodeKey.from_private_key(keccak256(b"lacnode devnet account %d" % number)) for number in range(1, count + 1)
    )
    return tuple(DevnetAccount(to_hex(key.address), to_hex(key.private_key)) for key in keys)
