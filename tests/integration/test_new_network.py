"""When a validator without a chain begins one (docs/adr/0005)."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.node import Node
from lacnode.node.node_resources import NodeResources
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.wire.enode import Enode
from lacnode.primitives.keccak import keccak256
from lacnode.storage.consensus_log import MemoryConsensusLog
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.ibft2_blocks import CAPABILITIES
from tests.support.p2p_nodes import DEADLINE, Recorder

KEYS = [NodeKey.generate() for _ in range(2)]


def validator(key: NodeKey, *static: Enode) -> Node:
    """One of a network of two."""
    genesis = parse_genesis(devnet_genesis([each.address for each in KEYS], (), 0.2, 1))
    p2p = P2pSettings(interface="127.0.0.1", port=0, discovery=False, static_nodes=static)
    config = NodeConfig(data_path=Path("in-memory"), genesis_file=Path("in-memory"), p2p=p2p)
    return build_node(config, NodeResources(genesis, key, MemoryDatabase(), MemoryConsensusLog()))


async def has_taken_part_after(claimed: int, seconds: float) -> bool:
    """Whether a validator says something about block 1 to the other, who says to have `claimed` blocks, within a while."""
    silent, said = validator(KEYS[1]), Recorder()

    def status() -> LocalStatus:
        own = silent.local_status()
        ahead = replace(own, head_number=claimed, total_difficulty=own.total_difficulty + claimed)
        return replace(ahead, head_hash=keccak256(b"a head")) if claimed else own

    config = P2pNetworkConfig(
        client_id="silent", capabilities=CAPABILITIES, interface="127.0.0.1", port=0, discovery=False
    )
    network = P2pNetwork(config, KEYS[1], status=status, chain=silent.chain, pool=silent.pool, handler=said)
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            place = await nursery.start(network.run)
            await nursery.start(validator(KEYS[0], replace(place, host="127.0.0.1")).run)
            with trio.move_on_after(seconds) as waiting:
                await said.wait("consensus")
            nursery.cancel_scope.cancel()
    return not waiting.cancelled_caught


async def test_at_once_where_everybody_is_at_genesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.consensus.bft.resumption.MAX_MEETING_MS", 2_000 * DEADLINE)
    assert await has_taken_part_after(0, DEADLINE - 1)


async def test_not_while_the_only_other_validator_has_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.consensus.bft.resumption.MAX_MEETING_MS", 1_000)
    assert not await has_taken_part_after(7, 4.0)
