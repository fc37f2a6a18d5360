"""Votes between running nodes: what is refused with a reason, what is forced, and what becomes of the network."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from lacnode.node.node import Node
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.wire.enode import Enode
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.connected_validators import VALIDATOR_LAG_BLOCKS
from tests.integration.test_node_roles import KEYS, PATIENCE, ask, connected, make, place_of, running
from tests.support.ibft2_blocks import CAPABILITIES
from tests.support.p2p_nodes import Recorder

VALIDATOR, CANDIDATE, STRANGER = KEYS
ALONE = "2 of 2 validators must agree and 1 are here: no block would be made"


@asynccontextmanager
async def stuck_at_genesis(node: Node, place: Enode) -> AsyncIterator[None]:
    """The node's network alone, with nothing behind it that imports blocks: connected to `place`, and behind for ever."""
    config = P2pNetworkConfig(
        client_id="stuck",
        capabilities=CAPABILITIES,
        interface="127.0.0.1",
        port=0,
        discovery=False,
        static_nodes=(place,),
    )
    network = P2pNetwork(
        config, node.key, status=node.local_status, chain=node.chain, pool=node.pool, handler=Recorder()
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        yield
        nursery.cancel_scope.cancel()


async def warnings_of(client: Any, node: Node, *params: object) -> list[str]:
    answer = await ask(client, node, "ibft_proposeValidatorVote", *params)
    if "error" not in answer:
        assert answer["result"] is True
        return []
    warnings: list[str] = answer["error"]["data"]["warnings"]
    return warnings


async def test_a_newcomer_is_voted_for_when_it_has_come_and_caught_up() -> None:
    voter, recipient = make(VALIDATOR, None), to_hex(CANDIDATE.address)
    async with running(voter) as client:
        await voter.wait_for_block(VALIDATOR_LAG_BLOCKS + 2)
        absent, halt = await warnings_of(client, voter, recipient, True)
        assert absent == f"{recipient} is not connected to this node"
        assert ALONE in halt

        place = place_of(voter)
        async with stuck_at_genesis(make(CANDIDATE, None), place):
            await connected(lambda: bool(voter.network.peers))
            behind, halt = await warnings_of(client, voter, recipient, True)
            assert behind.startswith(f"{recipient} is connected but does not have block ")
            assert ALONE in halt
        await connected(lambda: not voter.network.peers)

        newcomer = make(CANDIDATE, None, static=(place,))
        async with trio.open_nursery() as nursery:
            await nursery.start(newcomer.run)
            await connected(lambda: bool(voter.network.peers))
            await newcomer.wait_for_block(voter.chain.head.header.number)
            while await warnings_of(client, voter, recipient, True):
                """It has fallen behind again: blocks are many here, and a refused vote changes nothing."""
            await connected(lambda: len(voter.chain.validators_after(voter.chain.head.header)) == 2)
            await newcomer.wait_for_block(voter.chain.head.header.number + 2)
            nursery.cancel_scope.cancel()


async def test_a_forced_vote_does_what_the_warning_said() -> None:
    voter, recipient = make(VALIDATOR, None), to_hex(STRANGER.address)
    async with running(voter) as client:
        assert len(await warnings_of(client, voter, recipient, True)) == 2
        assert (await ask(client, voter, "lac_pendingVotes"))["result"] == []
        assert await warnings_of(client, voter, recipient, True, True) == []
        (prospect,) = (await ask(client, voter, "lac_pendingVotes"))["result"]
        assert ALONE in prospect["warnings"][0]
        await connected(lambda: len(voter.chain.validators_after(voter.chain.head.header)) == 2)
        halted_at = voter.chain.head.header.number
        await connected(lambda: (voter.validator.machine.status.round or 0) >= 1)
        assert voter.chain.head.header.number == halted_at

        absent = make(STRANGER, None, static=(place_of(voter),))
        async with trio.open_nursery() as nursery:
            await nursery.start(absent.run)
            with trio.fail_after(PATIENCE):
                await voter.wait_for_block(halted_at + 2)
            nursery.cancel_scope.cancel()
