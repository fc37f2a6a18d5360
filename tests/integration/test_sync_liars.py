"""Peers that promise a longer chain, in real sessions, while two validators make blocks: the blocks keep coming."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.node import Node
from lacnode.node.node_resources import NodeResources
from lacnode.p2p.rlpx import ConnectionFailedError, ConnectionTimeouts, open_rlpx
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    NewBlock,
    NewBlockHashes,
)
from lacnode.p2p.wire.p2p_messages import P2P_VERSION, Hello
from lacnode.primitives.block import Block, BlockBody
from lacnode.storage.consensus_log import MemoryConsensusLog
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.ibft2_blocks import CAPABILITIES
from tests.support.p2p_nodes import Client, MemoryChain, transaction
from tests.support.sync_peers import invented

KEYS = [NodeKey.generate() for _ in range(2)]
LIARS = 4
"""At each validator."""

BLOCKS = 8
"""That are made while the liars are there. A validator that waited for one of them would make none."""

SECONDS = 60.0
HUGE = 2**60

Manner = Callable[["Liar"], Awaitable[None]]


class Liar:
    """One session with `node`, for as long as the node bears it, and then the next with another key."""

    def __init__(self, node: Node, claims: int) -> None:
        self.node = node
        self.sessions = 0
        self._claims = claims

    async def run(self, manner: Manner) -> None:
        while True:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", self.node.network.local_enode.tcp) as stream:
                    await self._meet(stream)
                    await manner(self)
            except* (ConnectionFailedError, OSError, trio.BrokenResourceError):
                pass
            await trio.sleep(0.5)

    async def _meet(self, stream: trio.SocketStream) -> None:
        enode = self.node.network.local_enode
        key = NodeKey.generate()
        connection = await open_rlpx(stream, key, enode.id, ConnectionTimeouts())
        theirs = await connection.exchange_hellos(Hello(P2P_VERSION, "liar", CAPABILITIES, 0, key.public_key))
        table = CapabilityTable.negotiate(CAPABILITIES, theirs.capabilities)
        self.client = Client(connection, table, cast(MemoryChain, _Claims(self.node)))
        await self.client.become_peer(total_difficulty=self._claims)
        self.sessions += 1

    async def answer(self, delay: float, headers: Callable[[int], Sequence[Block]], bodies: int = 1) -> None:
        """Answer for ever, each time after a delay."""
        while True:
            match await self.client.message():
                case GetBlockHeaders(id_, int(start), _):
                    await trio.sleep(delay)
                    given = tuple(block.header for block in headers(start))
                    await self.client.send(BlockHeaders(id_, given))
                case GetBlockBodies(id_, _):
                    await trio.sleep(4.5)
                    await self.client.send(BlockBodies(id_, (BlockBody(),) * bodies))

    def invented(self, start: int) -> list[Block]:
        parent = self.node.chain.header_at(start - 1)
        return [] if parent is None else invented(parent, 192, [NodeKey.generate()] * 2)


class _Claims:
    """What a liar says of itself is what the node says of itself, but for what is changed."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def status(self) -> Any:
        return self._node.local_status()


async def invents_headers(liar: Liar) -> None:
    await liar.answer(0.0, liar.invented)


async def is_late_with_headers(liar: Liar) -> None:
    await liar.answer(4.5, liar.invented)


async def announces_what_is_not_there(liar: Liar) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(liar.answer, 4.5, liar.invented)
        while True:
            head = liar.node.chain.head
            block = invented(head.header, 1, [NodeKey.generate()])[0]
            await liar.client.send(NewBlockHashes(((bytes(32), head.header.number + 1_000),)))
            await liar.client.send(NewBlock(block, HUGE))
            await trio.sleep(0.2)


async def relays_false_bodies(liar: Liar) -> None:
    """Each true block, with a body that is not its own."""
    while True:
        match await liar.client.message():
            case NewBlock(block, total_difficulty):
                false = Block(block.header, BlockBody((transaction(block.number),)))
                await liar.client.send(NewBlock(false, total_difficulty))
            case GetBlockHeaders(id_, _, _):
                await liar.client.send(BlockHeaders(id_, ()))


def validator(key: NodeKey, *static: Enode) -> Node:
    genesis = parse_genesis(devnet_genesis([each.address for each in KEYS], (), 0.5, 1))
    p2p = P2pSettings(interface="127.0.0.1", port=0, discovery=False, static_nodes=static)
    config = NodeConfig(data_path=Path("in-memory"), genesis_file=Path("in-memory"), p2p=p2p)
    return build_node(config, NodeResources(genesis, key, MemoryDatabase(), MemoryConsensusLog()))


@asynccontextmanager
async def two_validators() -> AsyncIterator[tuple[Node, Node]]:
    """A network that has made its first block."""
    with trio.fail_after(2 * SECONDS):
        async with trio.open_nursery() as nursery:
            one = validator(KEYS[0])
            await nursery.start(one.run)
            other = validator(KEYS[1], one.network.local_enode)
            await nursery.start(other.run)
            await other.wait_for_block(1)
            yield one, other
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "manner", [invents_headers, is_late_with_headers, announces_what_is_not_there, relays_false_bodies]
)
async def test_blocks_keep_coming(manner: Manner, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = 0 if manner is announces_what_is_not_there else HUGE
    async with two_validators() as nodes, trio.open_nursery() as nursery:
        passed_over: list[bool] = []
        for node in nodes:
            monkeypatch.setattr(node.validator, "hold_back_heads", passed_over.append)
        liars = [Liar(node, claims) for node in nodes for _ in range(LIARS)]
        for liar in liars:
            nursery.start_soon(liar.run, manner)
        with trio.fail_after(SECONDS):
            while not all(liar.sessions for liar in liars):  # noqa: ASYNC110
                await trio.sleep(0.05)
            began = nodes[0].chain.head.header.number
            for node in nodes:
                await node.wait_for_block(began + BLOCKS)
                assert node.synchronizer.status is None
            assert passed_over == []
        nursery.cancel_scope.cancel()


async def test_a_node_that_lags_finds_the_honest_among_liars() -> None:
    """The liars are there first, and claim most."""
    async with two_validators() as (one, _), trio.open_nursery() as nursery:
        late = validator(NodeKey.generate())
        await nursery.start(late.run)
        liars = [Liar(late, HUGE) for _ in range(LIARS)]
        for liar in liars:
            nursery.start_soon(liar.run, is_late_with_headers)
        with trio.fail_after(SECONDS):
            while not all(liar.sessions for liar in liars):  # noqa: ASYNC110
                await trio.sleep(0.05)
            late.network.add_static(one.network.local_enode)
            await late.wait_for_block(3)
        nursery.cancel_scope.cancel()
