"""Peers as synchronisation sees them, each following a script, and a chain for them to give or to falsify."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.p2p.peer import NoAnswerError, Peer
from lacnode.p2p.peer_description import PeerDescription
from lacnode.p2p.peer_head import PeerHead
from lacnode.p2p.peer_requests import REQUEST_TIMEOUT_SECONDS
from lacnode.p2p.wire.eth_messages import Status
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.sync.synchronizer import Synchronizer
from tests.support.ibft2_blocks import with_seals

T = TypeVar("T")


class InlineWorker:
    """Work runs at once: the tests' clock stands still meanwhile."""

    async def run(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return work()


@dataclass(eq=False)
class ScriptedPeer:
    """Claims a head, and answers from `blocks` as `delay`, the speed of its wire and the hooks say. `asked` remembers the
    questions."""

    name: str
    blocks: Sequence[Block] = ()
    claims: int = 0
    delay: float = 0.01
    bytes_per_second: float = math.inf
    inbound: bool = True
    host: str = "127.0.0.1"
    address: bytes = b""
    give_headers: Callable[[Sequence[BlockHeader]], Sequence[BlockHeader]] = lambda headers: headers
    give_bodies: Callable[[Sequence[BlockBody]], Sequence[BlockBody]] = lambda bodies: bodies
    asked: list[tuple[float, str, int]] = field(default_factory=list)
    left_for: DisconnectReason | None = None
    useless: int = 0

    def __post_init__(self) -> None:
        self.id = self.name.encode().ljust(64, b"\0")
        self.address = self.address or self.id[:20]
        self.enode_text = self.name
        ends = ("127.0.0.1", 30303), (self.host, 30303)
        self.description = PeerDescription("scripted", (), 5, 68, self.inbound, *ends)
        number = self.claims or (self.blocks[-1].number if self.blocks else 0)
        self.head = PeerHead(Status(68, 1, number, bytes(32), bytes(32), None), genesis_difficulty=0)
        # It answers itself, where a peer has an object for its requests.
        self.requests = self

    def as_peer(self) -> Peer:
        return cast("Peer", self)

    async def request_headers(self, start: int, limit: int) -> Sequence[BlockHeader]:
        self.asked.append((trio.current_time(), "headers", start))
        found = [block.header for block in self.blocks if start <= block.number < start + limit]
        given = self.give_headers(found)
        return await self._late(given, sum(len(header.encode()) for header in given))

    async def request_bodies(self, hashes: Sequence[bytes]) -> Sequence[BlockBody]:
        self.asked.append((trio.current_time(), "bodies", len(hashes)))
        found = {on_chain_hash(block.header): block.body for block in self.blocks}
        given = self.give_bodies([found[hash_] for hash_ in hashes if hash_ in found])
        return await self._late(given, sum(len(body.encode()) for body in given))

    async def _late(self, answer: T, size_bytes: int) -> T:
        try:
            with trio.fail_after(REQUEST_TIMEOUT_SECONDS):
                await trio.sleep(self.delay + size_bytes / self.bytes_per_second)
        except trio.TooSlowError:
            raise NoAnswerError("no answer") from None
        return answer

    def record_known_block(self, hash_: bytes, number: int) -> None:
        self.head.record_announcement(hash_, number)

    def report_useless_answer(self) -> None:
        self.useless += 1

    def end_session(self, reason: DisconnectReason) -> None:
        self.left_for = self.left_for or reason

    async def end_session_and_wait(self, reason: DisconnectReason) -> None:
        self.end_session(reason)
        await trio.lowlevel.checkpoint()

    @property
    def seconds_asked(self) -> list[float]:
        return [seconds for seconds, _, _ in self.asked]


@dataclass
class Syncing:
    """A synchronizer on `chain`, its peers, and what it told."""

    chain: Blockchain
    peers: list[ScriptedPeer]
    syncing: list[bool] = field(default_factory=list)
    importing: list[bool] = field(default_factory=list)
    caught_up: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.worker = InlineWorker()
        self.synchronizer = Synchronizer(
            self.chain,
            lambda: [peer.as_peer() for peer in self.peers if peer.left_for is None],
            worker=self.worker,
            check_worker=self.worker,
            on_syncing=self.syncing.append,
            on_importing=self.importing.append,
            on_caught_up=lambda: self.caught_up.append(trio.current_time()),
        )

    @property
    def height(self) -> int:
        return self.chain.head.header.number

    async def run_for(self, seconds: float) -> None:
        """Let the synchronizer run."""
        with trio.move_on_after(seconds):
            await self.synchronizer.run()

    async def seconds_to(self, height: int, within: float) -> float:
        """How long the synchronizer takes to `height`; TooSlowError if it is longer than `within`."""
        reached = trio.Event()
        self.chain.on_head(lambda head: reached.set() if head.header.number >= height else None)
        began = trio.current_time()
        with trio.fail_after(within):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.synchronizer.run)
                await reached.wait()
                took = trio.current_time() - began
                nursery.cancel_scope.cancel()
        return took


def sealed_by(block: Block, keys: Sequence[NodeKey]) -> Block:
    digest = committed_seal_hash(block.header)
    return with_seals(block, tuple(sign(digest, key.private_key) for key in keys))


def invented(after: BlockHeader, count: int, keys: Sequence[NodeKey]) -> list[Block]:
    """Blocks that follow from `after` in everything but who sealed them."""
    blocks, parent = [], after
    for _ in range(count):
        header = parent.with_changes(
            number=parent.number + 1, parent_hash=on_chain_hash(parent), timestamp=parent.timestamp + 1
        )
        blocks.append(sealed_by(Block(header, BlockBody()), keys))
        parent = blocks[-1].header
    return blocks
