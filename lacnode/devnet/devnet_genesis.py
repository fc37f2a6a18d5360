"""The devnet's genesis: an IBFT 2.0 network with free gas and every fork up to Berlin, like LACChain's networks.

Must contain only keys of Besu's genesis format, so that a Besu node can join.
"""

from collections.abc import Sequence

from lacnode.consensus.ibft2.extra_data import ExtraData
from lacnode.devnet.accounts import BALANCE_WEI, DevnetAccount
from lacnode.primitives.hexadecimal import to_hex

CHAIN_ID = 648_555
GAS_LIMIT = 350_000_000
"""The block gas limit of LACChain's networks."""

IBFT_MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"


def devnet_genesis(
    validators: Sequence[bytes], accounts: Sequence[DevnetAccount], block_period: float, timestamp: int
) -> dict[str, object]:
    """Return the genesis document for `validators` (20-byte addresses) with a block every `block_period` seconds.
    `timestamp` is in Unix seconds.

    A period that is no whole number of seconds is written as Besu's experimental `xblockperiodmilliseconds`.
    """
    ibft: dict[str, object] = {
        "blockperiodseconds": max(1, round(block_period)),
        "epochlength": 30_000,
        "requesttimeoutseconds": max(1, round(2 * block_period)),
    }
    if block_period != int(block_period):
        ibft["xblockperiodmilliseconds"] = max(1, round(block_period * 1000))
    # The genesis block has no seals. Its validators are sorted by address, as in every IBFT block.
    extra_data = ExtraData(vanity=bytes(32), validators=tuple(sorted(validators)), vote=None, round=0, seals=())
    return {
        "config": {"chainId": CHAIN_ID, "berlinBlock": 0, "contractSizeLimit": 8_000_000, "ibft2": ibft},
        "nonce": "0x0",
        "timestamp": hex(timestamp),
        "extraData": to_hex(extra_data.encode()),
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x1",
        "mixHash": IBFT_MIX_HASH,
        "coinbase": "0x" + "0" * 40,
        "alloc": {account.address: {"balance": str(BALANCE_WEI)} for account in accounts},
    }
