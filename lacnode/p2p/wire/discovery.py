"""Node discovery v4 as a state machine without sockets or a clock. It takes datagrams and times, and returns datagrams to
send and the nodes that it found.

Follows devp2p discv4.md and Besu's `PeerDiscoveryController`. The source address of a datagram may be forged. Nothing
longer than a Pong is therefore sent to an address that has not echoed the hash of a Ping. Must not decide about
connections: it reports bonded nodes, and the caller switches searches on and off by `seeking`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_identity import NodeIdentity
from lacnode.p2p.wire.discv4 import (
    MAX_SENT_PACKET_BYTES,
    DiscoveryError,
    Endpoint,
    EnrRequest,
    EnrResponse,
    FindNode,
    Message,
    Neighbors,
    Ping,
    Pong,
    decode_packet,
    encode_packet,
)
from lacnode.p2p.wire.ecies import RandomBytes
from lacnode.p2p.wire.endpoint_proofs import Address, EndpointProofs, ProofAttempt, datagram_address
from lacnode.p2p.wire.enode import MAX_PORT, NODE_ID_BYTES, Enode
from lacnode.p2p.wire.enr import NodeRecord, local_record_pairs
from lacnode.p2p.wire.kademlia import BUCKET_NODES, RoutingTable
from lacnode.p2p.wire.lookup import Lookup
from lacnode.p2p.wire.refused_dialers import RefusedDialers
from lacnode.primitives import rlp

PACKET_EXPIRATION_SECONDS = 60
"""Seconds for which a packet of this node is valid."""

REFRESH_CHECK_SECONDS = 30.0
"""Seconds between two checks whether more nodes are wanted."""

REFRESH_SOON_SECONDS = 0.5
"""Seconds to the next check after `search_again_soon`. Changes of the rules come in groups."""

FULL_REFRESH_SECONDS = 30 * 60.0
"""Seconds after which the table is refreshed in any case."""

MAX_NEIGHBORS = 13
"""Nodes in an answer. They fit in one packet, because Besu reads no second one."""

MAX_ATTEMPTS = 128
MAX_ATTEMPTS_BY_PING = 96
MAX_ATTEMPTS_BY_NEIGHBORS = 64
"""Limits on the attempts under way. A bootnode may begin one while there are fewer than the first limit, a node that pinged
first below the second, and a node that another node named below the third. Strangers thus cannot take the attempts that the
bootnodes need."""

PEER_BOND_WAIT_SECONDS = 1.0
"""Seconds that a node gets to bond from its side, by a Ping of its own, before this node asks it for neighbours."""

REVALIDATION_AGE_SECONDS = 600.0
"""Seconds after which a node in the table gets a Ping again, one node at each refresh check."""


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """The caller must send the bytes `datagram` to `address`: an IP address as text and a UDP port."""

    datagram: bytes
    address: Address


@dataclass(frozen=True, slots=True)
class NodeFound:
    """A node has proven its endpoint, and the table did not have it with this endpoint before. The caller may dial it."""

    enode: Enode


Action: TypeAlias = SendDatagram | NodeFound


@dataclass(frozen=True, slots=True)
class _Origin:
    """The origin of a message: its packet's hash, the id that signed it, its source address (which may be forged), and the
    time of its arrival."""

    hash: bytes
    node_id: bytes
    address: Address
    now: float


def _everyone(_: Enode) -> bool:
    return True


class Discovery:
    """The discovery of one node. While the attribute `seeking` is True, as at first, it searches every 30 seconds,
    otherwise every half hour. `dropped` counts the datagrams that were malformed or unexpected (`handle_datagram`). The
    caller must call `tick` at least every second."""

    def __init__(
        self,
        key: NodeIdentity,
        local: Endpoint,
        bootnodes: Iterable[Enode],
        fork_id: Callable[[], ForkId],
        *,
        random_bytes: RandomBytes,
        record_seq: int = 1,
        permits: Callable[[Enode], bool] = _everyone,
    ) -> None:
        """`local` is the endpoint that this node announces, with its real ports. `record_seq` must not go down from one
        run to the next. `permits` is asked before a Ping or FindNode is answered, and before a node outside the table is
        asked for a proof. ValueError if `local` has no IP address or no UDP port, or if a bootnode has a host name."""
        if not local.ip or not local.udp:
            raise ValueError("discovery needs a local IP address and UDP port: peers drop packets without them")
        self.seeking = True
        self.dropped = 0
        self._key = key
        self._local = local
        self._bootnodes = [_resolved(node) for node in bootnodes if node.udp and node.id != key.public_key]
        self._fork_id = fork_id
        self._random_bytes = random_bytes
        self._permits = permits
        self._record = NodeRecord.sign(key, record_seq, self._pairs())
        self._table = RoutingTable(key.public_key)
        self._bonds = EndpointProofs()
        self._lookup = Lookup(key.public_key)
        self._refused_dialers = RefusedDialers()
        self._next_check = 0.0
        self._next_refresh = 0.0

    @property
    def node_record(self) -> NodeRecord:
        """This node's record with the current fork id. A change of the fork id gives the record a new number."""
        pairs = self._pairs()
        if any(self._record.get(name) != value for name, value in pairs.items()):
            self._record = NodeRecord.sign(self._key, self._record.seq + 1, pairs)
        return self._record

    def bonded_nodes(self) -> list[Enode]:
        """Return the nodes of the table, in no order. Each has proven its endpoint once. The proof may have expired."""
        return list(self._table)

    def search_again_soon(self, now: float, is_refused: Callable[[Enode], bool]) -> None:
        """Forget the nodes that `is_refused` names, with their proofs, and search again within half a second after `now`
        (Unix seconds), because the rules about permitted nodes have changed.

        Nodes that were forgotten or not answered, and are permitted now, are asked for a proof first. They may hold a
        proof of this node already and not ping again. Without a proof this node answers no FindNode.
        """
        # The attempts first: the address in the table is proven, and must be the one that is remembered.
        for enode in filter(is_refused, [*self._bonds.attempted_nodes(), *self._table]):
            self._table.remove(enode.id)
            self._bonds.forget(enode.id)
            self._lookup.remove(enode.id)
            self._refused_dialers.add(enode)
        self._next_check = min(self._next_check, now + REFRESH_SOON_SECONDS)
        self._bonds.ping_again_by(now + REFRESH_SOON_SECONDS)
        for enode in self._refused_dialers.pop_permitted(self._permits):
            self._bonds.begin_attempt(enode, MAX_ATTEMPTS_BY_PING)

    def handle_datagram(self, data: bytes, source: Address, now: float) -> list[Action]:
        """Return the actions for a datagram from `source` (IP literal, UDP port) at `now` (Unix seconds). One that is
        no packet, or that this node did not expect, is dropped without an answer and counted in `dropped`. A Ping of a
        node that is not permitted gets no answer, and an ENRRequest before the proof of its sender is answered after
        it: they are not counted. An expired Ping gets no Pong, but its sender may be asked for a proof."""
        try:
            packet = decode_packet(data)
        except DiscoveryError:
            return self._drop()
        if packet.node_id == self._key.public_key or not 0 < source[1] <= MAX_PORT:
            return self._drop()
        return self._handle(packet.message, _Origin(packet.hash, packet.node_id, (_plain(source[0]), source[1]), now))

    def tick(self, now: float) -> list[Action]:
        """Return the actions that are due at `now` (Unix seconds): Pings and requests for neighbours."""
        if now >= self._next_check:
            self._refresh(now)
        return [*self._send_pings(now), *self._ask_neighbors(now)]

    def _handle(self, message: Message, origin: _Origin) -> list[Action]:
        match message:
            case Ping():
                return self._on_ping(message, origin)
            case Pong():
                return self._on_pong(message, origin)
            case FindNode():
                return self._on_find_node(message, origin)
            case Neighbors():
                return self._on_neighbors(message, origin)
            case EnrRequest():
                return self._on_enr_request(message, origin)
        return self._drop()

    def _drop(self) -> list[Action]:
        self.dropped += 1
        return []

    def _on_ping(self, ping: Ping, origin: _Origin) -> list[Action]:
        """Answer a Ping, and ask its sender for a proof. As in Besu, an expired Ping gets no Pong, but its sender is still
        asked: clocks may differ."""
        # The address comes from the datagram: the Ping's own idea of it may be a private one. Only the TCP port is
        # taken from it.
        tcp = ping.sender.tcp if ping.sender is not None and ping.sender.tcp else origin.address[1]
        enode = Enode(origin.node_id, origin.address[0], tcp, origin.address[1])
        # A node that is not permitted gets no answer. It is remembered, and asked for a proof once it is permitted.
        if not self._permits(enode):
            self._refused_dialers.add(enode)
            return []
        actions: list[Action] = []
        if not _is_expired(ping.expiration, origin.now):
            endpoint = Endpoint(origin.address[0], origin.address[1], tcp)
            pong = Pong(endpoint, origin.hash, _expiration(origin.now), self.node_record.seq)
            actions.append(self._packet(pong, origin.address))
        # A proof counts for one address. A replayed Ping from another address must not move the node in the table.
        if self._bonds.is_proven(enode.id, origin.address, origin.now):
            self._table.add(enode)
            self._lookup.add(enode, origin.now)
        else:
            self._bonds.begin_attempt(enode, MAX_ATTEMPTS_BY_PING)
            self._note_answered(origin)
        return [*actions, *self._send_pings(origin.now), *self._ask_neighbors(origin.now)]

    def _note_answered(self, origin: _Origin) -> None:
        attempt = self._bonds.find_attempt(origin.node_id)
        if attempt is not None and attempt.address == origin.address:
            # The node bonds from its side. A FindNode need not wait `PEER_BOND_WAIT_SECONDS` for that.
            attempt.has_pinged = True

    def _on_pong(self, pong: Pong, origin: _Origin) -> list[Action]:
        # Read before the table changes: a node that is in it with the same endpoint has been reported before.
        known = self._table.get(origin.node_id)
        attempt = self._bonds.record_pong(origin.node_id, pong.ping_hash, origin.address, origin.now)
        # A Pong to no Ping of this node. It could be forged, so it proves nothing.
        if attempt is None:
            return self._drop()
        self._table.add(attempt.enode)
        self._lookup.add(attempt.enode, origin.now if attempt.has_pinged else origin.now + PEER_BOND_WAIT_SECONDS)
        actions: list[Action] = [] if known == attempt.enode else [NodeFound(attempt.enode)]
        # The request came before the proof. Now an answer may be longer than the request.
        if attempt.waiting_enr_request is not None:
            actions.append(self._packet(EnrResponse(attempt.waiting_enr_request, self.node_record), origin.address))
        return [*actions, *self._ask_neighbors(origin.now)]

    def _on_find_node(self, question: FindNode, origin: _Origin) -> list[Action]:
        if _is_expired(question.expiration, origin.now) or not self._may_be_answered(
            origin.node_id, origin.address, origin.now
        ):
            return self._drop()
        # Only proven nodes, and not the node that asks. Otherwise a node could be made to spread addresses that were
        # never tried.
        nearest = [
            node
            for node in self._table.nodes_by_distance(question.target)
            if node.id != origin.node_id and self._bonds.is_proven(node.id, None, origin.now)
        ][:MAX_NEIGHBORS]
        answer = self._packet(Neighbors(tuple(nearest), _expiration(origin.now)), origin.address)
        # IPv6 addresses make entries longer, so that fewer of them fit.
        while len(answer.datagram) > MAX_SENT_PACKET_BYTES:
            nearest.pop()
            answer = self._packet(Neighbors(tuple(nearest), _expiration(origin.now)), origin.address)
        return [answer]

    def _on_neighbors(self, answer: Neighbors, origin: _Origin) -> list[Action]:
        proven = self._bonds.is_proven(origin.node_id, origin.address, origin.now)
        # Unasked neighbours are dropped. Otherwise a stranger could fill the attempts with addresses of its choice.
        if not proven or not self._lookup.accept_neighbors(origin.node_id, origin.now):
            return self._drop()
        for node in answer.nodes[:BUCKET_NODES]:
            if _may_be_relayed(node.host, origin.address[0]):
                self._consider(node, origin.now)
        return self.tick(origin.now)

    def _on_enr_request(self, request: EnrRequest, origin: _Origin) -> list[Action]:
        """Answer with this node's record. Besu asks directly after its Pong. A request that arrives before that Pong is
        kept until the Pong arrives."""
        if _is_expired(request.expiration, origin.now):
            return self._drop()
        if self._may_be_answered(origin.node_id, origin.address, origin.now):
            return [self._packet(EnrResponse(origin.hash, self.node_record), origin.address)]
        attempt = self._bonds.find_attempt(origin.node_id)
        if attempt is not None and attempt.address == origin.address:
            attempt.waiting_enr_request = origin.hash
        return []

    def _consider(self, node: Enode, now: float) -> None:
        """Use a node that another node named. It must prove its endpoint first, unless it has done so before."""
        if node.id == self._key.public_key:
            return
        if self._bonds.is_proven(node.id, None, now):
            # The endpoint of the table is used, and not the named one: only that one has been proven.
            known = self._table.get(node.id)
            if known is not None:
                self._lookup.add(known, now)
        elif self._permits(node):
            self._bonds.begin_attempt(node, MAX_ATTEMPTS_BY_NEIGHBORS)

    def _may_be_answered(self, node_id: bytes, source: Address, now: float) -> bool:
        if not self._bonds.is_proven(node_id, source, now):
            return False
        return self._permits(self._table.get(node_id) or Enode(node_id, source[0], source[1], source[1]))

    def _refresh(self, now: float) -> None:
        """Begin attempts with bootnodes without a proof and with one old node of the table, and a search if it is due."""
        self._next_check = now + REFRESH_CHECK_SECONDS
        for node in self._bootnodes:
            if not self._bonds.is_proven(node.id, None, now) and self._permits(node):
                self._bonds.begin_attempt(node, MAX_ATTEMPTS)
        # One node at each check: the table is renewed slowly, without a burst of Pings.
        oldest = min(self._table, key=lambda node: self._bonds.proven_since(node.id), default=None)
        if oldest is not None and now - self._bonds.proven_since(oldest.id) > REVALIDATION_AGE_SECONDS:
            self._bonds.begin_attempt(oldest, MAX_ATTEMPTS)
        if self.seeking or now >= self._next_refresh:
            # The first search looks for nodes near this one, which fills its table. Later ones have random targets, and
            # find others.
            first = self._next_refresh == 0.0
            self._next_refresh = now + FULL_REFRESH_SECONDS
            self._lookup = Lookup(self._key.public_key if first else self._random_bytes(NODE_ID_BYTES))
            for node in self._table.nodes_by_distance(self._lookup.target)[:BUCKET_NODES]:
                self._lookup.add(node, now)

    def _send_pings(self, now: float) -> list[Action]:
        due, failed = self._bonds.find_due_and_forget_failed(now)
        for attempt in failed:
            # Nodes that answer no Ping must not be named to others.
            self._table.remove(attempt.enode.id)
        return [self._ping(attempt, now) for attempt in due]

    def _ping(self, attempt: ProofAttempt, now: float) -> SendDatagram:
        node = attempt.enode
        recipient = Endpoint(node.host, attempt.address[1], node.tcp)
        send = self._packet(Ping(self._local, recipient, _expiration(now), self.node_record.seq), attempt.address)
        attempt.record_ping(send.datagram[:32], now)
        return send

    def _ask_neighbors(self, now: float) -> list[Action]:
        question = FindNode(self._lookup.target, _expiration(now))
        return [self._packet(question, datagram_address(node)) for node in self._lookup.pop_next(now)]

    def _packet(self, message: Message, address: Address) -> SendDatagram:
        return SendDatagram(encode_packet(message, self._key), address)

    def _pairs(self) -> dict[bytes, rlp.RlpItem]:
        return local_record_pairs(self._local.ip, self._local.tcp, self._local.udp, self._fork_id())


def _resolved(node: Enode) -> Enode:
    try:
        ip_address(node.host)
    except ValueError:
        raise ValueError(f"discovery needs the bootnode's IP address, found the name {node.host!r}") from None
    return node


def _expiration(now: float) -> int:
    return int(now) + PACKET_EXPIRATION_SECONDS


def _is_expired(expiration: int, now: float) -> bool:
    """Besu reads a signed number of 64 bits. A number beyond 2^63 - 1 is negative there, and so expired."""
    return expiration < now or expiration >= 2**63


def _plain(ip: str) -> str:
    """Return the IPv4 address that a socket of both families shows as `::ffff:1.2.3.4`. Other addresses stay."""
    address = ip_address(ip)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _may_be_relayed(named: str, source: str) -> bool:
    """Return True if an address that another node named may get a Ping. An unspecified or a multicast address may not. A
    loopback address may only if a node on this machine named it."""
    address = ip_address(named)
    if address.is_unspecified or address.is_multicast:
        return False
    return not address.is_loopback or ip_address(source).is_loopback
