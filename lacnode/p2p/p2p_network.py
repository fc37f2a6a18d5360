"""The network of one node: it listens, dials, and keeps sessions, from start to stop.

One nursery owns every session. An error in one session never reaches another. The network calls the handler and the policy
on the event loop. Must not decide which nodes may connect, and must not read messages: `session` does that.
"""

import math
import os
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog
import trio

from lacnode.client_address import client_address
from lacnode.crypto.node_identity import NodeIdentity
from lacnode.p2p.bootnode_addresses import resolve_bootnodes
from lacnode.p2p.chain_reader import ChainReader, LocalStatus, PoolReader
from lacnode.p2p.connection_policies import AllowAllPolicy, Connection, ConnectionPolicy, find_refusal
from lacnode.p2p.dial_schedule import DialSchedule
from lacnode.p2p.discovery_service import DiscoveryService
from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.network_counters import NetworkCounters
from lacnode.p2p.p2p_ports import P2pPortUnavailableError, open_ports
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerLimits, PeerSet
from lacnode.p2p.peer_shares import PeerShares
from lacnode.p2p.rate_limits import RateLimits
from lacnode.p2p.rlpx import ConnectionTimeouts
from lacnode.p2p.session import run_session
from lacnode.p2p.wire.capabilities import Capability
from lacnode.p2p.wire.discovery import Discovery
from lacnode.p2p.wire.discv4 import Endpoint
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.p2p_messages import P2P_VERSION, DisconnectReason, Hello
from lacnode.p2p.wire.refused_dialers import RefusedDialers
from lacnode.permissioning.decision import Decision

__all__ = ["P2pNetwork", "P2pNetworkConfig", "P2pPortUnavailableError"]

log = structlog.get_logger("p2p")

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_HALF_OPEN_CONNECTIONS = 64
"""Accepted connections that may be in their handshake at once."""

CONNECTIONS_PER_SECOND, CONNECTIONS_AT_ONCE = 20, 200
"""Accepted connections of one address, or of one network of 64 bits of IPv6. A handshake costs this node milliseconds, and
the other side nothing."""

LASTING_SESSION_SECONDS = 5.0
"""Seconds from which a session counts as a success of dialling."""


@dataclass(frozen=True, slots=True)
class P2pNetworkConfig:
    """Where this node listens and which nodes it knows.

    `capabilities` are the sub-protocols for the Hello. `host` is the address that this node announces, `interface` the
    one that it binds. Port 0 stands for any free port. Bootnodes and static nodes are dialled whenever they are not
    connected and the policy permits it. Nodes that discovery finds are dialled only with `dial_discovered`, and so are
    `known_nodes`, nodes from an earlier run, which are not used without `discovery`. `max_transaction_bytes` is the
    length up to which this node accepts transactions.
    """

    client_id: str
    capabilities: tuple[Capability, ...]
    host: str = "127.0.0.1"
    interface: str = "0.0.0.0"
    port: int = 30303
    peer_limits: PeerLimits = field(default_factory=PeerLimits)
    limits: ConnectionTimeouts = field(default_factory=ConnectionTimeouts)
    bootnodes: tuple[Enode, ...] = ()
    static_nodes: tuple[Enode, ...] = ()
    known_nodes: tuple[Enode, ...] = ()
    discovery: bool = True
    dial_discovered: bool = True
    max_transaction_bytes: int = 2**20


class P2pNetwork:
    """The devp2p network of one node. `status` returns the current Status of this node. Nothing is opened before it
    runs. Use it on the event loop.

    `peer_set` holds the sessions. Without one the network makes its own, with the limits of `config`.
    """

    def __init__(
        self,
        config: P2pNetworkConfig,
        key: NodeIdentity,
        *,
        status: Callable[[], LocalStatus],
        chain: ChainReader,
        pool: PoolReader,
        handler: NetworkHandler,
        policy: ConnectionPolicy | None = None,
        peer_set: PeerSet | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.key = key
        self.limits = config.limits
        self.policy = policy or AllowAllPolicy()
        self.handler = handler
        self.server = EthServer(chain, pool)
        self.peer_set = peer_set or PeerSet(key.public_key, config.peer_limits)
        self.counters = NetworkCounters()
        self.shares = PeerShares()
        self.local_enode = Enode(key.public_key, config.host, config.port, None)
        self._config = config
        self._status = status
        self._rng = rng or random.Random()
        self._dial_schedule = DialSchedule(self._rng)
        self._refused_dialers = RefusedDialers()
        self.max_transaction_bytes = config.max_transaction_bytes
        self._connections = RateLimits(CONNECTIONS_PER_SECOND, CONNECTIONS_AT_ONCE)
        self._half_open: OrderedDict[trio.CancelScope, None] = OrderedDict()
        self._wake = trio.Event()
        self._machine: Discovery | None = None
        for enode in (*config.static_nodes, *config.bootnodes):
            self.add_static(enode)
        for enode in self._known_nodes():
            self._dial_schedule.add(enode, is_permanent=False)

    def _known_nodes(self) -> list[Enode]:
        """Return the nodes of an earlier run. There are none if this node dials only the nodes of its configuration."""
        config = self._config
        looks_around = config.discovery and config.dial_discovered
        return [enode for enode in config.known_nodes if looks_around and enode.id != self.key.public_key]

    @property
    def peers(self) -> Sequence[Peer]:
        """The peers with a session, except those that are leaving. The oldest comes first."""
        return self.peer_set.connected_peers()

    def connection_for_policy(self, remote: Enode, is_inbound: bool) -> Connection:
        """A connection of this node with `remote`, for the policy."""
        return Connection(remote, is_inbound, self.local_enode)

    def own_hello(self) -> Hello:
        """Return this node's Hello, with its real port once it listens."""
        port = self.local_enode.tcp
        return Hello(P2P_VERSION, self._config.client_id, self._config.capabilities, port, self.key.public_key)

    def own_status(self) -> LocalStatus:
        """Return this node's Status as it is now."""
        return self._status()

    def dial_when_permitted(self, enode: Enode) -> None:
        """Remember the node `enode`, which dialled this node and was refused by the policy. `recheck_connections` dials
        it once it is permitted. Nothing happens without `dial_discovered`, or if `enode` does not listen."""
        if self._config.dial_discovered and enode.is_listening:
            self._refused_dialers.add(enode)

    # -- called by the node ----------------------------------------------------------------------------------------

    def add_static(self, enode: Enode) -> bool:
        """Dial `enode` from now on whenever it is not connected and the policy permits it. Return True. Return False if
        it is this node, or if it is static already with the same address."""
        if enode.id == self.key.public_key:
            return False
        # The node is exempt from limits before it is dialled. Its session could otherwise be refused as one peer too
        # many.
        self.peer_set.exempt.add(enode.id)
        added = self._dial_schedule.add(enode, is_permanent=True)
        self._wake.set()
        return added

    def remove_static_and_disconnect(self, enode: Enode) -> bool:
        """Take `enode` off the nodes to dial, also if discovery found it, and end its session soon if there is one. It
        may still dial this node, and discovery may find it again. Return whether it was on the list of nodes to dial."""
        self.peer_set.exempt.discard(enode.id)
        removed = self._dial_schedule.remove(enode.id)
        peer = self.peer_set.peers.get(enode.id)
        if peer is not None:
            peer.end_session(DisconnectReason.REQUESTED)
        return removed

    def recheck_connections(self) -> None:
        """Ask the policy again about sessions and nodes of discovery, because its answers may have changed. Those that it
        refuses now are ended or forgotten, unless it has to look up its answer first. Discovery searches again soon,
        and nodes that dialled this node and were refused are dialled if they are permitted now."""
        if self._machine is not None:
            self._machine.search_again_soon(time.time(), lambda enode: self._refusal(enode, False) is not None)
        for peer in self.peers:
            refusal = self._refusal(peer.enode, peer.description.inbound)
            if refusal is not None:
                log.info("peer no longer permitted", peer=peer.enode_text, reason=str(refusal))
                peer.end_session(DisconnectReason.REQUESTED)
        # A node that was refused may wait half a minute before it dials again. This node dials it at once instead.
        for enode in self._refused_dialers.pop_permitted(self._may_dial):
            self._discovered(enode)
        self._wake.set()

    # -- running ---------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[Enode] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and dial until cancelled. Reports this node's enode, with its real port, once it listens.

        P2pPortUnavailableError if the port cannot be opened."""
        config = self._config
        listeners, udp = await open_ports(config.interface, config.port, with_udp=config.discovery)
        port = int(listeners[0].socket.getsockname()[1])
        # The real port replaces the configured one before the first session: Hellos and the policy use it.
        self.local_enode = Enode(self.key.public_key, config.host, port, port if udp else None)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for listener in listeners:
                nursery.start_soon(self._accept, listener)
            nursery.start_soon(self._dial)
            if udp is not None:
                nursery.start_soon(self._discover, udp, port)
            task_status.started(self.local_enode)

    async def _discover(self, udp: trio.socket.SocketType, port: int) -> None:
        """Run discovery. Discovery needs addresses: a bootnode whose name has no address yet is not asked for neighbours.
        It is dialled all the same."""
        with udp:
            bootnodes = await resolve_bootnodes(self._config.bootnodes)
            # A session does not show a node's UDP port. It usually has the number of the TCP port.
            known = [replace(enode, udp=enode.udp or enode.tcp) for enode in self._known_nodes() if not enode.is_named]
            bootnodes += [enode for enode in known if enode.id not in {bootnode.id for bootnode in bootnodes}]
            await self._discovery(udp, port, bootnodes).run()

    def _discovery(self, udp: trio.socket.SocketType, port: int, bootnodes: Sequence[Enode]) -> DiscoveryService:
        self._machine = Discovery(
            self.key,
            Endpoint(self._config.host, port, port),
            bootnodes,
            lambda: self._status().fork_id,
            random_bytes=os.urandom,
            record_seq=int(time.time()),
            permits=self._may_dial,
        )
        return DiscoveryService(
            udp, self._machine, found=self._discovered, wants_more=self._wants_more, counters=self.counters
        )

    def _wants_more(self) -> bool:
        return self._config.dial_discovered and self.peer_set.free_slots > 0

    async def _accept(self, listener: trio.SocketListener) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    log.warning("a connection could not be accepted", reason=str(error))
                    # The usual cause is that no file descriptor is free. It lasts until sessions end, and a loop
                    # without a pause would take all time of the event loop.
                    await trio.sleep(0.1)
                    continue
                # Asked before the handshake, which costs this node much more than the other side.
                if self._connections.try_spend(client_address(stream), trio.current_time()):
                    self._nursery.start_soon(self._accepted, stream)
                else:
                    await trio.aclose_forcefully(stream)

    async def _accepted(self, stream: trio.SocketStream) -> None:
        """Run a session that the other node began. At most `MAX_HALF_OPEN_CONNECTIONS` of them are in their handshake. One
        more cancels the oldest: an honest node has finished its handshake long before."""
        with trio.CancelScope() as scope:
            self._half_open[scope] = None
            if len(self._half_open) > MAX_HALF_OPEN_CONNECTIONS:
                self._half_open.popitem(last=False)[0].cancel()
            try:
                await self._session(stream, None, lambda: self._half_open.pop(scope, None))
            finally:
                # The handshake may have failed before the call of `on_handshake_end`.
                self._half_open.pop(scope, None)

    async def _session(
        self, stream: trio.SocketStream, dialled: Enode | None, on_handshake_end: Callable[[], object] = lambda: None
    ) -> bool:
        try:
            return await run_session(stream, dialled, self, on_handshake_end)
        finally:
            # The session has freed a slot, or its node is due again.
            self._wake.set()

    async def _dial(self) -> None:
        while True:
            # A trio Event cannot be cleared. A new one comes before the nodes are chosen, so that a change in between
            # ends the wait.
            self._wake = trio.Event()
            now = trio.current_time()
            for enode in self._dial_schedule.mark_due_as_dialling(now, self._wanted, self.peer_set.free_slots):
                self._nursery.start_soon(self._connect, enode)
            # Nodes that are due and not wanted set no time. The change that makes them wanted sets `_wake`.
            next_attempt_time = self._dial_schedule.next_attempt_time(now)
            with trio.move_on_at(math.inf if next_attempt_time is None else next_attempt_time):
                await self._wake.wait()

    def _wanted(self, enode: Enode, kept: bool) -> bool:
        if enode.id in self.peer_set.peers or not enode.is_listening:
            return False
        # Static nodes are dialled although they are denied: `PeerSet` exempts them from the list too.
        if not kept and self.peer_set.denial_reason(enode.id) is not None:
            return False
        return self._may_dial(enode)

    def _refusal(self, remote: Enode, is_inbound: bool) -> Decision | None:
        return find_refusal(self.policy, self.connection_for_policy(remote, is_inbound))

    def _may_dial(self, enode: Enode) -> bool:
        return self.policy.decide(self.connection_for_policy(enode, is_inbound=False)).allowed

    async def _connect(self, enode: Enode) -> None:
        was_lasting = False
        try:
            with trio.fail_after(CONNECT_TIMEOUT_SECONDS):
                stream = await trio.open_tcp_stream(enode.host, enode.tcp)
            began = trio.current_time()
            # A session that ends within seconds counts as a failure, so that the delays grow: a node that accepts and
            # drops this one must not be dialled several times a second.
            was_peer = await self._session(stream, enode)
            was_lasting = was_peer and trio.current_time() - began >= LASTING_SESSION_SECONDS
        except (OSError, UnicodeError, trio.TooSlowError) as error:
            log.debug("dial failed", enode=str(enode), reason=str(error))
        finally:
            self._dial_schedule.record_end_of_attempt(enode.id, trio.current_time(), was_lasting=was_lasting)
            self._wake.set()

    def _discovered(self, enode: Enode) -> None:
        """The node `enode` answers: discovery has proven its endpoint, or it dialled this node itself. Dial it soon."""
        if not self._config.dial_discovered:
            return
        self._dial_schedule.add(enode, is_permanent=False)
        self._dial_schedule.forget_failures(enode.id)
        self._wake.set()
