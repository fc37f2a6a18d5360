"""A connection between two simulated nodes: production peers with their outboxes at both ends, a virtual wire between them.

Handshakes and encryption are left out. What an end takes from its outbox is on the wire; what arrives is opened and
handed on as `p2p.session` does it.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import trio

from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.p2p.peer import Peer
from lacnode.p2p.rlpx import ConnectionFailedError
from lacnode.p2p.send_queue import SendQueue
from lacnode.p2p.session import MAX_PENDING_REQUESTS, dispatch_message
from lacnode.p2p.supported_capabilities import CONSENSUS_MESSAGES, supported_capabilities
from lacnode.p2p.wire.capabilities import FIRST_OFFSET, CapabilityTable, Route
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import EthMessage, Status, decode_eth_message
from lacnode.p2p.wire.p2p_messages import DisconnectReason, Hello
from lacnode.primitives.rlp import RlpError

if TYPE_CHECKING:
    from tests.simulation.life import Life

ETH_VERSION = 68


@functools.cache
def table_of(ours: ProtocolSchedule, theirs: ProtocolSchedule) -> CapabilityTable:
    """What two nodes share, each of which has these protocols by its genesis file."""
    return CapabilityTable.negotiate(supported_capabilities(ours), supported_capabilities(theirs))


class Wire(Protocol):
    """What a session runs over."""

    def busy_ms(self, size_bytes: int) -> int:
        """For how long a message of this size keeps the wire busy."""

    def carry(self, end: "End", route: Route, deliver: Callable[[], None]) -> None:
        """Carry something: the sending end, what it is, and what to do where it arrives."""


_decoded = functools.lru_cache(maxsize=512)(decode_eth_message)


class SimulatedPeer(Peer):
    """A peer whose session ends without a task that waits for it."""

    on_leave: Callable[[DisconnectReason], None]

    def end_session(self, reason: DisconnectReason) -> None:
        if self.end_reason is None:
            super().end_session(reason)
            self.on_leave(reason)


class End:
    """One end of a session: `life` has `peer`."""

    def __init__(self, life: "Life", other: "Life", wire: Wire, end_session: Callable[[str], None]) -> None:
        self.life = life
        self.remote: End
        self.outbox = SendQueue()
        self._table = table_of(life.chain.protocols, other.chain.protocols)
        self.peer = _peer(other, self.outbox, self._table)
        self.peer.on_leave = lambda reason: end_session(f"we disconnected: {reason}")
        self._wire = wire
        self._end_session = end_session
        self._requests, self._waiting = trio.open_memory_channel[EthMessage](MAX_PENDING_REQUESTS)
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Send and serve until closed."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._serve)

    def close(self, reason: str) -> None:
        """The session has ended."""
        self._scope.cancel()
        self.peer.end_session(DisconnectReason.REQUESTED)
        self.peer.left.set()
        self.peer.requests.fail_all()
        self.life.peers.pop(self.peer.id, None)
        if self.life.is_running:
            self.life.peer_left(self.peer, reason)

    def arrive(self, route: Route, body: bytes) -> None:
        """Bytes of the peer came off the wire."""
        if self._scope.cancel_called or not self.life.is_running:
            return
        if route.protocol in CONSENSUS_MESSAGES:
            self.life.consensus_received(self.peer, route.code, body)
            return
        try:
            dispatch_message(_decoded(ETH_VERSION, route.code, body), self.peer, self.life, self._requests)
        except (ConnectionFailedError, RlpError) as failure:
            self.life.breached(self.peer, str(failure))
            self._end_session(str(failure))

    async def _write(self) -> None:
        while True:
            message_id, body = await self.outbox.get()
            route = self._table.resolve_message_id(message_id) if message_id >= FIRST_OFFSET else None
            if route is not None:
                self._wire.carry(self, route, functools.partial(self.remote.arrive, route, body))
                busy_ms = self._wire.busy_ms(len(body))
                if busy_ms > 0:
                    await self.life.node.clock.sleep(busy_ms)

    async def _serve(self) -> None:
        async for request in self._waiting:
            self.peer.send(await self.life.answer(request))
            await self.outbox.wait_for_answer_space()


class Session:
    """Both ends. `ended(session)` is called when it is over; `is_torn` says that something sent was lost on the way."""

    def __init__(self, a: "Life", b: "Life", wire: Wire, ended: Callable[["Session"], None]) -> None:
        self.is_torn = False
        self.is_open = True
        self.ends = End(a, b, wire, self.close), End(b, a, wire, self.close)
        self.ends[0].remote, self.ends[1].remote = self.ends[1], self.ends[0]
        self._ended = ended

    def begin(self) -> None:
        """Both nodes have a new peer."""
        for end in self.ends:
            end.life.peers[end.peer.id] = end.peer
        for end in self.ends:
            end.life.start(end.run)
            end.life.peer_joined(end.peer)

    def close(self, reason: str) -> None:
        """End it on both sides; closing twice is harmless."""
        if self.is_open:
            self.is_open = False
            for end in self.ends:
                end.close(reason)
            self._ended(self)


def _peer(other: "Life", outbox: SendQueue, table: CapabilityTable) -> SimulatedPeer:
    """`other` as it introduces itself."""
    status, protocols = other.status(), other.chain.protocols
    enode = Enode(other.node.key.public_key, f"10.0.0.{other.node.index + 1}", 30303, None)
    return SimulatedPeer(
        enode=enode,
        hello=Hello(5, "simulated", supported_capabilities(protocols), enode.tcp, enode.id),
        table=table,
        eth_version=ETH_VERSION,
        inbound=True,
        addresses=(("10.0.0.0", 30303), (enode.host, enode.tcp)),
        status=Status(
            ETH_VERSION, status.network_id, status.total_difficulty, status.head_hash, status.genesis_hash, None
        ),
        genesis_difficulty=status.genesis_difficulty,
        outbox=outbox,
    )
