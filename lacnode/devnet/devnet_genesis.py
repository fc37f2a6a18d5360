"""The devnet's genesis: an IBFT 2.0 or QBFT network with free gas, by the rules of a chosen fork.

It says that it is a devnet's: only then may a node be stopped, taken back and given another clock. It names the account
that may change the state (`hardhat_setCode` and its kin). Must contain only keys that Besu knows or ignores, so that a
Besu node can join, and follow until the state is changed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.protocols import PROTOCOLS
from lacnode.devnet.accounts import BALANCE_WEI, DevnetAccount, state_administrator
from lacnode.primitives.hexadecimal import to_hex

CHAIN_ID = 648_555
GAS_LIMIT = 350_000_000
"""The block gas limit of LACChain's networks."""

LACCHAIN_CODE_SIZE_BYTES = 8_000_000
"""The longest code of a contract in LACChain's networks. Other devnets have the limit of their fork."""

_BERLIN: dict[str, object] = {"berlinBlock": 0}
_LONDON = {**_BERLIN, "londonBlock": 0, "zeroBaseFee": True}
_SHANGHAI = {**_LONDON, "shanghaiTime": 0}
_CANCUN = {**_SHANGHAI, "cancunTime": 0}
_REQUEST_CONTRACTS = {
    "withdrawalRequestContractAddress": "0x00000961ef480eb55e80d19ad83579a64c007002",
    "consolidationRequestContractAddress": "0x0000bbddc7ce488642fb579f8b00f3a590007251",
}
"""The contracts that each block of Prague calls, at their addresses on Ethereum. An IBFT network has no use for their
requests."""

_NO_REQUESTS_CODE = "0x00"
"""The code STOP. A block in which a request contract has no code is invalid."""

_PRAGUE = {
    **_CANCUN,
    "pragueTime": 0,
    "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
    **_REQUEST_CONTRACTS,
}

DEVNET_FORKS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "prague": _PRAGUE,
        "cancun": _CANCUN,
        "shanghai": _SHANGHAI,
        "london": _LONDON,
        "berlin": _BERLIN,
        "lacchain": {**_BERLIN, "contractSizeLimit": LACCHAIN_CODE_SIZE_BYTES},
    }
)
"""The values of `--fork`, newest first, and what each adds to the object `config` of the genesis. Every fork before the
named one is active too."""

DEFAULT_FORK, LACCHAIN_FORK = "prague", "lacchain"

DEFAULT_CONSENSUS = "ibft2"

IBFT_MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"


def devnet_genesis(
    validators: Sequence[bytes],
    accounts: Sequence[DevnetAccount],
    block_period: float,
    timestamp: int,
    fork: str = LACCHAIN_FORK,
    consensus: str = DEFAULT_CONSENSUS,
    qbft_start_block: int | None = None,
) -> dict[str, object]:
    """Return the genesis document for `validators` (20-byte addresses, in any order) with a block every `block_period`
    seconds.

    `accounts` get `BALANCE_WEI` each. `timestamp` is in Unix seconds. `fork` is a key of `DEVNET_FORKS`, and
    `consensus` a key of `PROTOCOLS`, such as `ibft2`. KeyError for an unknown one. The protocol is QBFT from block
    `qbft_start_block` on. If that is None, `consensus` stays. A period that is no whole number of seconds is written as
    Besu's experimental `xblockperiodmilliseconds`.
    """
    section: dict[str, object] = {
        "blockperiodseconds": max(1, round(block_period)),
        "epochlength": 30_000,
        "requesttimeoutseconds": max(1, round(2 * block_period)),
    }
    if block_period != int(block_period):
        section["xblockperiodmilliseconds"] = max(1, round(block_period * 1000))
    # The genesis block has no seals. Its validators are sorted by address, as in every block.
    extra_data = ExtraData(vanity=bytes(32), validators=tuple(sorted(validators)), vote=None, round=0, seals=())
    rules = DEVNET_FORKS[fork]
    sections = {consensus: section}
    if qbft_start_block is not None:
        sections["qbft"] = {**section, "startBlock": qbft_start_block}
    return {
        "config": {"chainId": CHAIN_ID, **rules, **sections, "lacnode": _own_section()},
        "nonce": "0x0",
        "timestamp": hex(timestamp),
        "extraData": to_hex(PROTOCOLS[consensus].encode_extra_data(extra_data)),
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x1",
        "mixHash": IBFT_MIX_HASH,
        "coinbase": "0x" + "0" * 40,
        # Without it, the genesis block alone would have a base fee of 1 gwei.
        **({"baseFeePerGas": "0x0"} if "zeroBaseFee" in rules else {}),
        "alloc": {**_funded(accounts), **(_request_contracts() if "pragueTime" in rules else {})},
    }


def _own_section() -> dict[str, object]:
    return {"devnet": True, "stateAdministrator": state_administrator().address}


def _funded(accounts: Sequence[DevnetAccount]) -> dict[str, dict[str, str]]:
    return {account.address: {"balance": str(BALANCE_WEI)} for account in accounts}


def _request_contracts() -> dict[str, dict[str, str]]:
    return {address: {"balance": "0", "code": _NO_REQUESTS_CODE} for address in _REQUEST_CONTRACTS.values()}
