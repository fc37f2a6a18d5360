"""A network of whole nodes in this process for every protocol: blocks come also in the turns of a validator that is down."""

from typing import Any

import httpx
import pytest
import trio

from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.protocols import VALIDATOR_PROTOCOLS
from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.in_process import MemoryNetwork, build_memory_network
from lacnode.primitives.hexadecimal import from_hex

DEADLINE_SECONDS = 120
VALIDATORS, RUNNING = 4, 3
LAST_BLOCK = 5
"""More blocks than validators: the validator that is down has had its turn."""


async def block_at(client: httpx.AsyncClient, url: str, number: int) -> dict[str, Any]:
    """The block, as soon as the node has it."""
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
    while True:
        answer = (await client.post(url, json=question)).json()
        if answer["result"] is not None:
            return dict(answer["result"])
        await trio.sleep(0.05)


async def rounds_of_blocks(protocol: BftProtocol, port_offset: int) -> list[int]:
    """The round in which each block was agreed, after the blocks of all running nodes were compared."""
    rounds = []
    built = build_memory_network(VALIDATORS, 0.3, port_offset, consensus=protocol.name)
    network = MemoryNetwork(built.nodes[:RUNNING], built.accounts)
    with trio.fail_after(DEADLINE_SECONDS):
        async with httpx.AsyncClient(timeout=20) as client, trio.open_nursery() as nursery:
            await nursery.start(network.run)
            urls = [f"http://127.0.0.1:{node.rpc.http_port}" for node in network.nodes if node.rpc is not None]
            for number in range(1, LAST_BLOCK + 1):
                blocks = [await block_at(client, url, number) for url in urls]
                assert len({block["hash"] for block in blocks}) == 1
                extra = protocol.decode_extra_data(from_hex(blocks[0]["extraData"]))
                assert len(extra.seals) == RUNNING
                rounds.append(extra.round)
            nursery.cancel_scope.cancel()
    return rounds


@pytest.mark.parametrize("name", sorted(VALIDATOR_PROTOCOLS))
def test_three_of_four_validators_make_blocks(name: str) -> None:
    with claim_port_offset(VALIDATORS) as port_offset:
        rounds = trio.run(rounds_of_blocks, VALIDATOR_PROTOCOLS[name], port_offset)
    assert len(rounds) == LAST_BLOCK
    assert max(rounds) > 0
