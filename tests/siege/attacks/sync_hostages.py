"""Peers that promise a longer chain and deliver crumbs.

Found before: a validator that was "syncing" with such a peer ignored every new head; with one peer at each validator the
chain stood still until they left. What a peer claims is no reason to leave consensus.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import trio

from lacnode.consensus.block_hash import on_chain_hash
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailed
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
from tests.siege.transactions import Sender

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


async def take_hostage(node: DevnetNode, manners: Manners, sent: Sent) -> None:
    """Hold on to one node, again and again."""
    key = NodeKey.generate()
    while True:
        try:
            await HostageTaker(node, manners, sent).stay(key)
        except* (ConnectionFailed, OSError):
            sent.count("sessions ended")
        if manners.new_identity:
            key = NodeKey.generate()
        await trio.sleep(RETURN_SECONDS)


class HostageTaker:
    """One session that promises blocks."""

    def __init__(self, node: DevnetNode, manners: Manners, sent: Sent) -> None:
        self._node = node
        self._manners = manners
        self._sent = sent
        self._invented: dict[int, BlockHeader] = {}
        self._head: BlockHeader | None = None

    async def stay(self, key: NodeKey) -> None:
        """Promise and answer until the node ends the session, which is a ConnectionFailed."""
        claims = {"total_difficulty": CLAIMED_DIFFICULTY} if self._manners.in_status else {}
        stranger = await Stranger.meet(self._node, key=key, capabilities=ETH_ONLY, **claims)
        self._sent.count("sessions")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_for_head, stranger)
            if self._manners.announces:
                nursery.start_soon(self._announce, stranger)
            try:
                await self._answer(stranger, nursery)
            finally:
                nursery.cancel_scope.cancel()

    async def _ask_for_head(self, stranger: Stranger) -> None:
        while True:
            await stranger.send(GetBlockHeaders(1, stranger.theirs.best_hash, 1))
            await trio.sleep(5 * CLAIM_SECONDS)

    async def _announce(self, stranger: Stranger) -> None:
        while True:
            await trio.sleep(CLAIM_SECONDS)
            if self._head is not None:
                header = self._invented_header(self._head.number + AHEAD_BLOCKS)
                await stranger.send(NewBlockHashes(((on_chain_hash(header), header.number),)))
                await stranger.send(NewBlock(Block(header, BlockBody(())), CLAIMED_DIFFICULTY))
                self._sent.count("claims")

    async def _answer(self, stranger: Stranger, nursery: trio.Nursery) -> None:
        """Take requests and let each wait as long as the manners say."""
        while True:
            message = await stranger.receive()
            match message:
                case BlockHeaders(_, (head,)):
                    self._follow(head)
                case NewBlock(block, total_difficulty):
                    self._follow(block.header)
                    if self._manners.relays_false_bodies:
                        false = Block(block.header, BlockBody((Sender().transfer(),)))
                        await stranger.send(NewBlock(false, total_difficulty))
                        self._sent.count("false bodies")
                case GetBlockHeaders():
                    nursery.start_soon(
                        self._later, self._manners.header_seconds, partial(self._headers, message), stranger
                    )
                case GetBlockBodies():
                    answer = BlockBodies(message.request_id, (BlockBody(()),))
                    nursery.start_soon(self._later, self._manners.body_seconds, lambda answer=answer: answer, stranger)

    def _follow(self, head: BlockHeader) -> None:
        """What was invented on an earlier head convinces nobody any more."""
        if self._head is None or head.number > self._head.number:
            self._head = head
            self._invented.clear()

    async def _later(
        self, seconds: float, answer: Callable[[], BlockHeaders | BlockBodies], stranger: Stranger
    ) -> None:
        await trio.sleep(seconds)
        try:
            message = answer()
            await stranger.send(message)
        except ConnectionFailed:
            return
        self._sent.count(type(message).__name__)

    def _headers(self, request: GetBlockHeaders) -> BlockHeaders:
        """Invented headers that follow from the true head: numbers, parents and timestamps fit, seals do not."""
        start = request.start
        if not isinstance(start, int) or self._head is None:
            return BlockHeaders(request.request_id, ())
        count = min(request.limit, HEADERS_AT_ONCE)
        return BlockHeaders(request.request_id, tuple(self._invented_header(start + offset) for offset in range(count)))

    def _invented_header(self, number: int) -> BlockHeader:
        assert self._head is not None
        if number <= self._head.number:
            return self._head
        if number not in self._invented:
            known = max((other for other in self._invented if other < number), default=None)
            parent = self._head if known is None else self._invented[known]
            for each in range(parent.number + 1, number + 1):
                parent = parent.with_changes(
                    number=each, parent_hash=on_chain_hash(parent), timestamp=parent.timestamp + 1
                )
                self._invented[each] = parent
        return self._invented[number]


async def at_every_node(manifest: Manifest, sent: Sent, manners: tuple[Manners, ...]) -> None:
    """One peer of each kind at every node."""
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for each in manners:
                nursery.start_soon(take_hostage, node, each, sent)


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
