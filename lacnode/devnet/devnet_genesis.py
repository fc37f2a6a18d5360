"""The devnet's genesis: a free-gas IBFT 2.0 network with every fork up to Berlin, as LACChain's networks have it.

Must hold only what Besu's genesis format has, so that a Besu node could join.
"""

from collections.abc import Sequence

from lacnode.consensus.extra_data import ExtraData
from lacnode.devnet.accounts import BALANCE_WEI, DevnetAccount
from lacnode.primitives.hexadecimal import to_hex

CHAIN_ID = 648_555
GAS_LIMIT = 350_000_000
"""LACChain's block gas limit."""

IBFT_MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"


def devnet_genesis(
    validators: Sequence[bytes], accounts: Sequence[DevnetAccount], block_period: float, timestamp: int
) -> dict[str, object]:
    """The genesis document for `validators` (addresses) with a block every `block_period` seconds.

    A period that is no whole number of seconds is given by Besu's experimental `xblockperiodmilliseconds`.
    """
    ibft: dict[str, object] = {
        "blockperiodseconds": max(1, round(block_period)),
        "epochlength": 30_000,
        "requesttimeoutseconds": max(1, round(2 * block_period)),
    }
    if block_period != int(block_period):
        ibft["xblockperiodmilliseconds"] = max(1, round(block_period * 1000))
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
