"""Nodes that lie to those who synchronise from them: about how much they have, and how fast they give it."""

from dataclasses import replace

from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EthMessage,
    GetBlockBodies,
    GetBlockHeaders,
)
from lacnode.primitives.header import BlockHeader
from tests.simulation.clock import VirtualClock
from tests.simulation.node import SimulatedNode, SyncLies

CLAIMED_BLOCKS = 1_000_000
CRUMB_MS = 4_500
"""Just less than the five seconds that a question may take."""

SEAL = b"\1" * 64 + b"\0"


class Inventor:
    """Claims a long chain and gives headers of it that are linked and sealed by nobody."""

    def __init__(self, node: SimulatedNode) -> None:
        self._node = node

    def claimed_height(self, height: int) -> int:
        return height + CLAIMED_BLOCKS

    async def answer(self, request: EthMessage, server: EthServer) -> EthMessage:
        if not isinstance(request, GetBlockHeaders) or isinstance(request.start, bytes):
            return server.answer(request)
        return BlockHeaders(request.request_id, tuple(self._headers(request.start, request.limit)))

    def _headers(self, start: int, count: int) -> list[BlockHeader]:
        blocks = self._node.disk.ledger.blocks
        header = blocks[min(start, len(blocks)) - 1].header
        protocol = self._node.disk.ledger.protocols.protocol_at(header.number)
        sealed = protocol.decode_extra_data(header.extra_data).with_seals((SEAL, SEAL, SEAL))
        extra = protocol.encode_extra_data(sealed)
        headers = []
        for number in range(start, start + count):
            header = replace(
                header,
                parent_hash=protocol.block_hash(header),
                number=number,
                timestamp=header.timestamp + 1,
                extra_data=extra,
            )
            headers.append(header)
        return headers


class Crawler:
    """Claims a long chain and gives what it has of it, one piece at a time and each as late as it dares."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def claimed_height(self, height: int) -> int:
        return height + CLAIMED_BLOCKS

    async def answer(self, request: EthMessage, server: EthServer) -> EthMessage:
        await self._clock.sleep(CRUMB_MS)
        match request:
            case GetBlockHeaders():
                return server.answer(replace(request, limit=1))
            case GetBlockBodies():
                return server.answer(replace(request, hashes=request.hashes[:1]))
        return server.answer(request)


class BodySwapper:
    """Gives the bodies of other blocks than it was asked for."""

    def claimed_height(self, height: int) -> int:
        return height

    async def answer(self, request: EthMessage, server: EthServer) -> EthMessage:
        answer = server.answer(request)
        if isinstance(answer, BlockBodies):
            return replace(answer, bodies=tuple(replace(body, transactions=()) for body in answer.bodies))
        return answer


def inventor(node: SimulatedNode) -> SyncLies:
    return Inventor(node)


def crawler(node: SimulatedNode) -> SyncLies:
    return Crawler(node.clock)


def body_swapper(node: SimulatedNode) -> SyncLies:
    return BodySwapper()


SYNC_LIARS = {"inventor": inventor, "crawler": crawler, "sync-body-swapper": body_swapper}
