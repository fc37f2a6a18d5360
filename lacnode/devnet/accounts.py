"""The devnet's funded accounts. They are the same in every devnet, so that scripts may contain their keys.

All keys are public and must never be used elsewhere. Those of `funded_accounts` are derived from a fixed phrase and belong
to no wallet. Those of `mnemonic_accounts` are the ones that Hardhat, Foundry and many tutorials use.
"""

from dataclasses import dataclass

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

BALANCE_WEI = 10**27
"""The first balance of each account: a billion ether."""

TEST_MNEMONIC = "test test test test test test test test test test test junk"

_MNEMONIC_KEYS = (
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)
"""The private keys of `TEST_MNEMONIC` at the paths m/44'/60'/0'/0/0 to 9. Their derivation needs a library that the node
does not need."""


@dataclass(frozen=True, slots=True)
class DevnetAccount:
    """A funded account: address and private key in hexadecimal digits after `0x`."""

    address: str
    private_key: str


def funded_accounts(count: int = 5) -> tuple[DevnetAccount, ...]:
    """Return the first `count` of lacnode's own funded accounts. Their keys are derived from a fixed text, and are
    public."""
    return tuple(_account(keccak256(b"lacnode devnet account %d" % number)) for number in range(1, count + 1))


def mnemonic_accounts() -> tuple[DevnetAccount, ...]:
    """Return the first ten accounts of `TEST_MNEMONIC`, which Hardhat and Foundry use. Their keys are public."""
    return tuple(_account(bytes.fromhex(digits)) for digits in _MNEMONIC_KEYS)


def state_administrator() -> DevnetAccount:
    """Return the account whose transactions change the state of a devnet for `hardhat_setBalance` and similar methods
    (`state_changes`). It has no ether."""
    return _account(keccak256(b"lacnode devnet state administrator"))


def _account(private_key: bytes) -> DevnetAccount:
    key = NodeKey.from_private_key(private_key)
    return DevnetAccount(to_hex(key.address), to_hex(key.private_key))
