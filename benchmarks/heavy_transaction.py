"""One transaction that spends the gas of a whole block on computation: is it mined, and how long is the longest interval?"""

import itertools
import time

from eth_account import Account

from benchmarks.measure import Measure
from benchmarks.networks import Network, block_shown, devnet
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.evm.engine_kind import why_no_library
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.json_rpc_client import block_number, call_all

PERIOD_SECONDS = 2
LOOP = bytes.fromhex("5b600056")
"""Jumps to its own start until the gas is used."""

WAIT_SECONDS = 60.0


def measure() -> list[Measure]:
    """The longest block interval around the transaction, in seconds. Nothing where the native library is not built."""
    reason = why_no_library()
    if reason is not None:
        print(f"  a block of computation is not measured: {reason}")
        return []
    with devnet("--block-period", str(PERIOD_SECONDS)) as network:
        return [_measured(network)]


def _measured(network: Network) -> Measure:
    url = network.nodes[0]["rpc_url"]
    first = block_shown(url, block_number(url))
    gas = int(first["gasLimit"], 16)
    (hash_,) = call_all(url, [("eth_sendRawTransaction", [_creation(network, gas)])])
    mined = _mined_gas(url, hash_)
    while block_number(url) < int(first["number"], 16) + 10:
        time.sleep(0.2)
    times = [
        int(block_shown(url, number)["timestamp"], 16) for number in range(int(first["number"], 16), block_number(url))
    ]
    longest = max(later - earlier for earlier, later in itertools.pairwise(times))
    note = f"{mined / 1e6:.0f} of {gas / 1e6:.0f} million gas used in one block; period {PERIOD_SECONDS} s"
    return Measure("longest block interval with a block of computation", longest, "s", 2 * PERIOD_SECONDS, True, note)


def _creation(network: Network, gas: int) -> str:
    fields = {"nonce": 0, "gasPrice": 0, "gas": gas, "value": 0, "data": LOOP, "chainId": CHAIN_ID}
    signed = Account.sign_transaction(fields, network.accounts[0]["private_key"])
    return to_hex(bytes(signed.raw_transaction))


def _mined_gas(url: str, hash_: object) -> int:
    """The gas that the transaction used. RuntimeError if it is not mined in time."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        (receipt,) = call_all(url, [("eth_getTransactionReceipt", [hash_])])
        if isinstance(receipt, dict):
            return int(receipt["gasUsed"], 16)
        time.sleep(0.2)
    raise RuntimeError(f"the transaction was not mined within {WAIT_SECONDS:.0f} s")
