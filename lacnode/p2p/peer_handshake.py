"""From an RLPx connection to a peer: Hello, permission, peer limits, Status.

The order of the checks is Besu's: the node's identity (the key), the policy, shared protocols, the peer limits, and the
chain. Must not add the peer to the peer set: the session does that, after it has checked again.
"""

from dataclasses import dataclass

from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.peer import Peer
from lacnode.p2p.rlpx import ConnectionFailedError, PeerDisconnectedError, RlpxConnection
from lacnode.p2p.send_queue import SendQueue
from lacnode.p2p.session_context import SessionContext
from lacnode.p2p.wire.capabilities import CapabilityTable, Route
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import Status, decode_eth_message
from lacnode.p2p.wire.frame import Frame
from lacnode.p2p.wire.p2p_messages import DISCONNECT, EMPTY_LIST, PING, PONG, Disconnect, DisconnectReason
from lacnode.primitives.rlp import RlpError

MAX_HANDSHAKE_MESSAGE_BYTES = 256 * 1024
"""Length of a message before the session has begun: a Hello or a Status."""


@dataclass(frozen=True, slots=True)
class EstablishedSession:
    """A connection that has passed every check of the handshake, and the peer at its other end. The peer is not in the
    peer set yet."""

    connection: RlpxConnection
    peer: Peer
    table: CapabilityTable
    outbox: SendQueue


async def perform_handshake(
    connection: RlpxConnection, dialled: Enode | None, network: SessionContext
) -> EstablishedSession:
    """Exchange Hello and Status, and check the other node. `dialled` is the node that this one dialled, None if the other
    node dialled.

    ConnectionFailedError at the first check that fails. PeerDisconnectedError if the other node disconnects. The caller
    limits the time.
    """
    # Before the first message: a stranger must not make this node hold 16 MiB for a Hello.
    connection.accept_only(_is_short)
    hello = await connection.exchange_hellos(network.own_hello())
    # The RLPx handshake has proven `remote_id`. The Hello only claims an id, and all further steps use that one.
    if hello.node_id != connection.remote_id:
        text = "the Hello's node id is not the key of the handshake"
        raise ConnectionFailedError(text, DisconnectReason.UNEXPECTED_IDENTITY)
    addresses = connection.addresses
    # The port of an inbound connection is a random one. Only the Hello knows where that node listens.
    enode = dialled or Enode(hello.node_id, addresses[1][0], hello.listen_port, None)
    await _check_permission(enode, dialled is None, network)
    # The policy comes first: a node that may not connect learns nothing of this node's limits and chain.
    table = CapabilityTable.negotiate(network.own_hello().capabilities, hello.capabilities)
    version = table.version_of("eth")
    if version is None:
        raise ConnectionFailedError("no shared version of eth", DisconnectReason.USELESS_PEER)
    # A first look, which saves the Status. Other sessions may take the last slot meanwhile, so the session asks again.
    refusal = network.peer_set.refusal_reason(enode.id, dialled is None)
    if refusal is not None:
        raise ConnectionFailedError(f"not admitted: {refusal}", refusal)
    # Only after the other checks, since the call uses up a part of the node's rate.
    if dialled is None and network.peer_set.record_session_and_exceeds_rate(enode.id):
        raise ConnectionFailedError("it comes again and again", DisconnectReason.TOO_MANY_PEERS)
    # One reading of this node's chain for both directions: the peer is compared with the Status that it gets.
    ours = network.own_status()
    status = await _exchange_status(connection, table, version, ours)
    outbox = SendQueue()
    peer = Peer(
        enode=enode,
        hello=hello,
        table=table,
        eth_version=version,
        inbound=dialled is None,
        addresses=addresses,
        status=status,
        genesis_difficulty=ours.genesis_difficulty,
        outbox=outbox,
    )
    return EstablishedSession(connection, peer, table, outbox)


def resolve_route(frame: Frame, table: CapabilityTable) -> Route | None:
    """Return the protocol and the code of a sub-protocol's message. None for other messages of the base protocol, and for
    unknown ones. PeerDisconnectedError if the message is a Disconnect."""
    if frame.message_id == DISCONNECT:
        try:
            reason = Disconnect.decode(frame.body).reason
        except RlpError:
            # The other node leaves, even if its reason cannot be read.
            reason = DisconnectReason.UNKNOWN
        raise PeerDisconnectedError(f"it disconnected: {reason}", reason)
    return table.resolve_message_id(frame.message_id)


def _is_short(message_id: int, length_bytes: int) -> bool:
    return length_bytes <= MAX_HANDSHAKE_MESSAGE_BYTES


async def _check_permission(enode: Enode, inbound: bool, network: SessionContext) -> None:
    # This list is in memory. The policy may have to execute a contract, so it is asked last.
    denial_reason = network.peer_set.denial_reason(enode.id)
    if denial_reason is not None:
        raise ConnectionFailedError(f"denied because of an earlier session: {denial_reason}", DisconnectReason.UNKNOWN)
    planned = network.connection_for_policy(enode, inbound)
    await network.policy.prepare_decision(planned)
    decision = network.policy.decide(planned)
    if not decision.allowed:
        if inbound:
            # Only for inbound connections: a node that this one dials is on the dialler's list already.
            network.dial_when_permitted(enode)
        raise ConnectionFailedError(f"not permitted: {decision}", DisconnectReason.UNKNOWN)


async def _exchange_status(
    connection: RlpxConnection, table: CapabilityTable, version: int, ours: LocalStatus
) -> Status:
    own = Status(version, ours.network_id, ours.total_difficulty, ours.head_hash, ours.genesis_hash, ours.fork_id)
    await connection.send(table.message_id("eth", Status.CODE), own.encode(version))
    while True:
        frame = await connection.receive()
        # Besu may send a Ping at any time after Hello, and disconnects a node that does not answer.
        if frame.message_id == PING:
            await connection.send(PONG, EMPTY_LIST)
            continue
        route = resolve_route(frame, table)
        # Messages of other protocols are dropped before Status: the node that sent them is no peer yet.
        if route is None or route.protocol != "eth":
            continue
        if route.code != Status.CODE:
            raise ConnectionFailedError(
                f"eth message {route.code:#04x} before Status", DisconnectReason.BREACH_OF_PROTOCOL
            )
        try:
            theirs = decode_eth_message(version, route.code, frame.body)
        except RlpError as error:
            raise ConnectionFailedError(f"Status: {error}", DisconnectReason.SUBPROTOCOL_REASON) from None
        assert isinstance(theirs, Status)
        _check_status(theirs, ours)
        return theirs


def _check_status(theirs: Status, ours: LocalStatus) -> None:
    if theirs.network_id != ours.network_id:
        text = f"network id {theirs.network_id} instead of {ours.network_id}"
    elif theirs.genesis_hash != ours.genesis_hash:
        text = f"genesis 0x{theirs.genesis_hash.hex()} instead of 0x{ours.genesis_hash.hex()}"
    elif theirs.fork_id is not None and not ours.accepts_fork_id(theirs.fork_id):
        text = f"fork id 0x{theirs.fork_id.hash.hex()}, {theirs.fork_id.next}, which our forks do not allow"
    else:
        return
    raise ConnectionFailedError(f"another network: {text}", DisconnectReason.SUBPROTOCOL_REASON)
