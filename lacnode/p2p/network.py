"""The network of one node: it listens, dials, and keeps sessions, from start to stop.

One nursery owns every session. An error in one session never reaches another. Handler and policy are called on the event
loop.
"""

import errno
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.chain_reader import ChainReader, LocalStatus, PoolReader
from lacnode.p2p.dialer import Dialer
from lacnode.p2p.discovery_service import DiscoveryService
from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerLimits, PeerSet
from lacnode.p2p.policy import AllowAll, ConnectionPolicy
from lacnode.p2p.rlpx import Limits
from lacnode.p2p.session import CAPABILITIES, run_session
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.p2p_messages import P2P_VERSION, DisconnectReason, Hello

log = structlog.get_logger("p2p")

CONNECT_SECONDS = 10.0
HALF_OPEN = 64
"""Accepted connections that may be in their handshake at once; more wait in the system's queue."""


class PortTaken(Exception):
    """The port is in use by somebody else."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Where to listen and whom to know. `host` is what others are told, `interface` what is bound; port 0 is any free
    one. Bootnodes and static nodes are kept connected."""

    client_id: str
    host: str = "127.0.0.1"
    interface: str = "0.0.0.0"
    port: int = 30303
    peer_limits: PeerLimits = field(default_factory=PeerLimits)
    limits: Limits = field(default_factory=Limits)
    bootnodes: tuple[Enode, ...] = ()
    static_nodes: tuple[Enode, ...] = ()
    discovery: bool = True


class Network:
    """See the module's note. `status` gives this node's Status as it is now."""

    def __init__(
        self,
        config: NetworkConfig,
        key: NodeKey,
        *,
        status: Callable[[], LocalStatus],
        chain: ChainReader,
        pool: PoolReader,
        handler: NetworkHandler,
        policy: ConnectionPolicy | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.key = key
        self.limits = config.limits
        self.policy = policy or AllowAll()
        self.handler = handler
        self.server = EthServer(chain, pool)
        self.peer_set = PeerSet(key.public_key, config.peer_limits)
        self.local_enode = Enode(key.public_key, config.host, config.port, None)
        self._config = config
        self._status = status
        self._rng = rng or random.Random()
        self._dialer = Dialer(self._rng)
        self._wake = trio.Event()
        for enode in (*config.static_nodes, *config.bootnodes):
            self.add_static(enode)

    @property
    def peers(self) -> Sequence[Peer]:
        """Those in session now."""
        return [peer for peer in self.peer_set.peers.values() if peer.leaving is None]

    def hello(self) -> Hello:
        """How this node introduces itself."""
        port = self.local_enode.tcp
        return Hello(P2P_VERSION, self._config.client_id, CAPABILITIES, port, self.key.public_key)

    def status(self) -> LocalStatus:
        """What this node says of its chain."""
        return self._status()

    # -- told by the node ------------------------------------------------------------------------------------------

    def add_static(self, enode: Enode) -> bool:
        """Keep a connection to `enode` from now on; False if that was so already, or it is this node."""
        if enode.id == self.key.public_key:
            return False
        self.peer_set.exempt.add(enode.id)
        added = self._dialer.add(enode, keep=True)
        self._wake.set()
        return added

    def remove_static(self, enode: Enode) -> bool:
        """Disconnect `enode` and do not dial it again; False if it was not a static node."""
        self.peer_set.exempt.discard(enode.id)
        removed = self._dialer.remove(enode.id)
        peer = self.peer_set.peers.get(enode.id)
        if peer is not None:
            peer.leave(DisconnectReason.REQUESTED)
        return removed

    def recheck(self) -> None:
        """The policy may answer differently now: end sessions that may not stay, and dial again."""
        for peer in self.peers:
            verdict = self.policy.may_stay(peer.enode)
            if not verdict.allowed:
                log.info("peer no longer permitted", peer=peer.enode_text, reason=verdict.reason)
                peer.leave(DisconnectReason.REQUESTED)
        self._wake.set()

    # -- running ---------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[Enode] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and dial until cancelled. Starts with this node's enode, its real port in it; PortTaken if there is
        none."""
        listeners = await self._listen()
        port = int(listeners[0].socket.getsockname()[1])
        discovery = None
        if self._config.discovery:
            discovery = await DiscoveryService.bind(
                self.key,
                self._config.host,
                self._config.interface,
                port,
                self._config.bootnodes,
                self._status,
                self.policy,
            )
        self.local_enode = Enode(self.key.public_key, self._config.host, port, port if discovery else None)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._half_open = trio.CapacityLimiter(HALF_OPEN)
            for listener in listeners:
                nursery.start_soon(self._accept, listener)
            nursery.start_soon(self._dial)
            if discovery is not None:
                nursery.start_soon(discovery.run, self._discovered)
            task_status.started(self.local_enode)

    async def _listen(self) -> list[trio.SocketListener]:
        try:
            return await trio.open_tcp_listeners(self._config.port, host=self._config.interface)
        except OSError as error:
            if error.errno == errno.EADDRINUSE or "in use" in str(error):
                raise PortTaken(
                    f"Port(s) '[{self._config.port}]' already in use. Check for other processes using the port(s)."
                ) from None
            raise PortTaken(f"{self._config.interface}:{self._config.port} cannot be listened on: {error}") from None

    async def _accept(self, listener: trio.SocketListener) -> None:
        while True:
            place = _Place(self._half_open)
            await place.take()
            try:
                stream = await listener.accept()
            except OSError as error:
                place.leave()
                log.warning("a connection could not be accepted", reason=str(error))
                await trio.sleep(0.1)
                continue
            self._nursery.start_soon(self._accepted, stream, place)

    async def _accepted(self, stream: trio.SocketStream, place: "_Place") -> None:
        try:
            await self._session(stream, None, place.leave)
        finally:
            place.leave()

    async def _session(
        self, stream: trio.SocketStream, dialled: Enode | None, introduced: Callable[[], None] = lambda: None
    ) -> bool:
        """One session; whatever goes wrong in it stays in it."""
        try:
            return await run_session(stream, dialled, self, introduced)
        except Exception:
            log.exception("a session failed", dialled=str(dialled))
            return False
        finally:
            self._wake.set()

    async def _dial(self) -> None:
        while True:
            self._wake = trio.Event()
            for enode in self._dialer.due(trio.current_time(), self._wanted):
                self._nursery.start_soon(self._connect, enode)
            next_time = self._dialer.next_time()
            until = max(0.05, next_time - trio.current_time()) if next_time is not None else 30.0
            with trio.move_on_after(min(until, 30.0)):
                await self._wake.wait()

    def _wanted(self, enode: Enode, kept: bool) -> bool:
        if enode.id in self.peer_set.peers or not enode.is_listening:
            return False
        if not kept and (not self.peer_set.wants_more or self.peer_set.denial(enode.id) is not None):
            return False
        return self.policy.may_dial(enode).allowed

    async def _connect(self, enode: Enode) -> None:
        connected = False
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await trio.open_tcp_stream(enode.host, enode.tcp)
            connected = await self._session(stream, enode)
        except (OSError, trio.TooSlowError) as error:
            log.debug("dial failed", enode=str(enode), reason=str(error))
        finally:
            self._dialer.finished(enode.id, trio.current_time(), connected=connected)
            self._wake.set()

    def _discovered(self, enode: Enode) -> None:
        """Discovery has proven that this node is there."""
        self._dialer.add(enode, keep=False)
        self._dialer.hurry(enode.id)
        self._wake.set()


class _Place:
    """One of the places for connections in their handshake."""

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._taken = False

    async def take(self) -> None:
        await self._limiter.acquire_on_behalf_of(self)
        self._taken = True

    def leave(self) -> None:
        """Make room for the next; does nothing the second time."""
        if self._taken:
            self._taken = False
            self._limiter.release_on_behalf_of(self)
