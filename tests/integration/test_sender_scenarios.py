"""Failures that senders of transactions have met: free gas that was not free, and a queue that let go at once."""

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from lacnode.consensus.ibft2.extra_data import decode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.transaction import Transaction
from tests.support.devnet import ask, height, running_devnet, until
from tests.support.rpc_chain import GAS_LIMIT, LOGGER_ADDRESS, LONDON, POOR, RICH, node, signed, typed

QUEUED = 800


@pytest.mark.parametrize("scenario", ["besu_4218", "besu_10751"])
def test_full_blocks_on_a_free_network_stay_free(scenario: str) -> None:
    """besu 4218: full blocks must not raise a base fee of zero. besu 10751: senders without any balance are included."""
    at = node(forks={**LONDON, "zeroBaseFee": True})
    sender = RICH if scenario == "besu_4218" else POOR
    assert (at.chain.state_at(at.chain.head.header).balance(POOR.address)) == 0
    # The first transactions of a new sender share a quarter of a block's bytes. Full blocks need a known sender.
    at.send(typed(sender, 0, to=LOGGER_ADDRESS, gas=100_000, fees=(0, 0)))
    at.grow()
    for block in range(4):
        sent = [_free(sender, 2 * block + 1, legacy=False), _free(sender, 2 * block + 2, legacy=True)]
        at.send(*sent)
        imported = at.grow()
        assert list(imported.transactions) == sent
        assert imported.header.gas_used > GAS_LIMIT / 2, "more than half full: where a base fee would rise"
        assert imported.header.base_fee == 0
        assert at.chain.next_base_fee(imported.header.timestamp + 1) == 0
    assert at.call("eth_gasPrice") == "0x0"


def _free(sender: NodeKey, nonce: int, *, legacy: bool) -> Transaction:
    """A transaction that pays nothing and fills near half a block with its data."""
    data = b"\x01" * 200_000
    if legacy:
        return signed(sender, nonce, to=LOGGER_ADDRESS, gas=4_500_000, data=data)
    return typed(sender, nonce, to=LOGGER_ADDRESS, gas=4_500_000, data=data, fees=(0, 0))


def test_besu_7589_a_long_queue_behind_a_gap_lets_go_at_once(tmp_path: Path) -> None:
    """Eight hundred transactions wait for one nonce; when it comes they are mined, and no round is lost over it."""
    with running_devnet(tmp_path / "net", "--block-period", "4") as network:
        url = network.url("validator-1")
        sender = Account.from_key(network.manifest.accounts[2].private_key)
        for nonce in range(QUEUED, 0, -1):
            assert ask(url, "eth_sendRawTransaction", _transfer(sender, nonce)) is not None
        waiting = height(url)
        assert ask(url, "eth_getTransactionCount", sender.address, "latest") == "0x0"
        ask(url, "eth_sendRawTransaction", _transfer(sender, 0))
        until(
            lambda: ask(url, "eth_getTransactionCount", sender.address, "latest") == hex(QUEUED + 1),
            "all of them mined",
            120,
        )
        for number in range(waiting, height(url) + 1):
            block = ask(url, "eth_getBlockByNumber", hex(number), False)
            assert decode_extra_data(from_hex(block["extraData"])).round == 0, f"block {number}"


def _transfer(sender: Any, nonce: int) -> str:
    fields = {"nonce": nonce, "gas": 21_000, "gasPrice": 0, "value": 1, "to": b"\x42" * 20, "chainId": CHAIN_ID}
    return "0x" + bytes(sender.sign_transaction(fields).raw_transaction).hex()
