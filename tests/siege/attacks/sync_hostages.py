"""Peers that promise a longer chain and deliver crumbs.

Found before: a validator that was "syncing" with such a peer ignored every new head; with one peer at each validator the
chain stood still until they left. What a peer claims is no reason to leave consensus.
"""

from dataclasses import dataclass

import trio

from lacnode.consensus.ibft2.block_hash import on_chain_hash
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailedError
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    NewBlock,
    NewBlockHashes,
)
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from tests.siege.attack import LoadAttack, Sent
from tests.siege.stranger import ETH_ONLY, Stranger
from tests.siege.transactions import SiegeSender

CLAIMED_DIFFICULTY = 2**60
HEADERS_AT_ONCE = 192
BODY_SECONDS = 4.5
"""Just before the time-out for an answer, which is five seconds."""

CLAIM_SECONDS = 1.0
RETURN_SECONDS = 1.0
AHEAD_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class Manners:
    """How a hostage taker behaves: whether it claims its chain in Status or by announcements; seconds before it answers;
    whether it relays new blocks with false bodies; whether it comes again as another peer when it is sent away."""

    in_status: bool = True
    announces: bool = False
    header_seconds: float = 0.0
    body_seconds: float = BODY_SECONDS
    relays_false_bodies: bool = False
    new_identity: bool = True


class Scout:
    """Follows the true chain at every node, so that what is invented begins where the victim stands."""

    def __init__(self) -> None:
        self._headers: dict[int, BlockHeader] = {}
        self._more = trio.Event()

    async def follow(self, node: DevnetNode) -> None:
        """Hear of new blocks from one node."""
        while True:
            try:
                stranger = await Stranger.meet(node, capabilities=ETH_ONLY)
                await stranger.send(GetBlockHeaders(1, stranger.theirs.best_hash, 1))
                while True:
                    match await stranger.receive():
                        case BlockHeaders(_, (header,)) | NewBlock(Block(header, _), _):
                            self._headers[header.number] = header
                            self._more.set()
                            self._more = trio.Event()
            except (ConnectionFailedError, OSError):
                await trio.sleep(RETURN_SECONDS)

    async def header(self, number: int) -> BlockHeader:
        """The true header of a block, once it is known."""
        while number not in self._headers:
            await self._more.wait()
        return self._headers[number]

    async def newest(self) -> BlockHeader:
        """The highest header, once there is one."""
        while not self._headers:
            await self._more.wait()
        return self._headers[max(self._headers)]


def invented_on(parent: BlockHeader, count: int) -> list[BlockHeader]:
    """Headers that follow from `parent`: numbers, parents and timestamps fit, seals do not."""
    headers = []
    for _ in range(count):
        parent = parent.with_changes(
            number=parent.number + 1, parent_hash=on_chain_hash(parent), timestamp=parent.timestamp + 1
        )
        headers.append(parent)
    return headers


async def take_hostage(node: DevnetNode, manners: Manners, scout: Scout, sent: Sent) -> None:
    """Hold on to one node, again and again."""
    key = NodeKey.generate()
    while True:
        await scout.newest()
        try:
            await HostageTaker(node, manners, scout, sent).stay(key)
        except* (ConnectionFailedError, OSError):
            sent.count("sessions ended")
        if manners.new_identity:
            key = NodeKey.generate()
        await trio.sleep(RETURN_SECONDS)


class HostageTaker:
    """One session that promises blocks."""

    def __init__(self, node: DevnetNode, manners: Manners, scout: Scout, sent: Sent) -> None:
        self._node = node
        self._manners = manners
        self._scout = scout
        self._sent = sent

    async def stay(self, key: NodeKey) -> None:
        """Promise and answer until the node ends the session, which is a ConnectionFailedError."""
        claims = {"total_difficulty": CLAIMED_DIFFICULTY} if self._manners.in_status else {}
        stranger = await Stranger.meet(self._node, key=key, capabilities=ETH_ONLY, **claims)
        self._sent.count("sessions")
        async with trio.open_nursery() as nursery:
            if self._manners.announces:
                nursery.start_soon(self._announce, stranger)
            await self._answer(stranger, nursery)

    async def _announce(self, stranger: Stranger) -> None:
        while True:
            newest = await self._scout.newest()
            header = newest.with_changes(number=newest.number + AHEAD_BLOCKS, parent_hash=on_chain_hash(newest))
            await stranger.send(NewBlockHashes(((on_chain_hash(header), header.number),)))
            await stranger.send(NewBlock(Block(header, BlockBody(())), CLAIMED_DIFFICULTY))
            self._sent.count("claims")
            await trio.sleep(CLAIM_SECONDS)

    async def _answer(self, stranger: Stranger, nursery: trio.Nursery) -> None:
        """Take requests and let each wait as long as the manners say."""
        while True:
            match await stranger.receive():
                case NewBlock(block, total_difficulty) if self._manners.relays_false_bodies:
                    false = Block(block.header, BlockBody((SiegeSender().transfer(),)))
                    await stranger.send(NewBlock(false, total_difficulty))
                    self._sent.count("false bodies")
                case GetBlockHeaders(request_id, int(start), limit):
                    nursery.start_soon(self._send_headers, stranger, request_id, start, limit)
                case GetBlockBodies(request_id, _):
                    nursery.start_soon(self._send_body, stranger, request_id)

    async def _send_headers(self, stranger: Stranger, request_id: int, start: int, limit: int) -> None:
        parent = await self._scout.header(start - 1)
        await trio.sleep(self._manners.header_seconds)
        headers = tuple(invented_on(parent, min(limit, HEADERS_AT_ONCE)))
        await stranger.send(BlockHeaders(request_id, headers))
        self._sent.count("answers with invented headers")

    async def _send_body(self, stranger: Stranger, request_id: int) -> None:
        await trio.sleep(self._manners.body_seconds)
        await stranger.send(BlockBodies(request_id, (BlockBody(()),)))
        self._sent.count("answers with one body")


async def at_every_node(manifest: Manifest, sent: Sent, manners: tuple[Manners, ...]) -> None:
    """One peer of each kind at every node."""
    scout = Scout()
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            nursery.start_soon(scout.follow, node)
            for each in manners:
                nursery.start_soon(take_hostage, node, each, scout, sent)


async def classic(manifest: Manifest, sent: Sent) -> None:
    """The same four peers all the time."""
    await at_every_node(manifest, sent, (Manners(new_identity=False),))


async def variants(manifest: Manifest, sent: Sent) -> None:
    """New identities, late headers, announcements instead of Status, many at once."""
    kinds = (
        Manners(),
        Manners(header_seconds=BODY_SECONDS),
        Manners(in_status=False, announces=True),
        Manners(announces=True, header_seconds=BODY_SECONDS, body_seconds=60.0),
        Manners(in_status=False, relays_false_bodies=True),
    )
    await at_every_node(manifest, sent, kinds)


ATTACKS = (
    LoadAttack("sync-hostages", "peers claim a long chain, invent headers, drip bodies", classic),
    LoadAttack("sync-hostages-changing", "the same with new keys, late headers, announced blocks", variants),
)
