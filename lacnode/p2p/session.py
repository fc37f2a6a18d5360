"""One session from TCP connection to goodbye: handshake, Hello, permission, Status, then messages both ways.

The order of the gates is Besu's: who it is (the key), whether it may connect (the policy), whether it speaks our
protocols, whether there is room, whether it is on our chain. Whatever ends a session, the reason is one sentence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.eth_server import REQUESTS, EthServer
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.outbox import Outbox
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerSet
from lacnode.p2p.policy import ConnectionPolicy
from lacnode.p2p.rlpx import ConnectionFailed, Limits, PeerDisconnected, RlpxConnection, open_rlpx
from lacnode.p2p.wire.capabilities import Capability, CapabilityTable, Route
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EthMessage,
    NewBlock,
    NewBlockHashes,
    NewPooledTransactionHashes,
    NodeData,
    PooledTransactions,
    Receipts,
    Status,
    Transactions,
    decode,
)
from lacnode.p2p.wire.frame import Frame
from lacnode.p2p.wire.p2p_messages import (
    DISCONNECT,
    EMPTY_LIST,
    PING,
    PONG,
    Disconnect,
    DisconnectReason,
    Hello,
)
from lacnode.primitives.rlp import RlpError

log = structlog.get_logger("p2p")

CAPABILITIES = (*(Capability("eth", version) for version in (65, 66, 67, 68)), Capability("IBF", 1))
PENDING_REQUESTS = 16
"""Requests of one peer that may wait for their answer; one more is a breach of protocol."""

_BREACH = DisconnectReason.BREACH_OF_PROTOCOL


class Surroundings(Protocol):
    """What sessions share: the network they belong to."""

    key: NodeKey
    limits: Limits
    policy: ConnectionPolicy
    peer_set: PeerSet
    handler: NetworkHandler
    server: EthServer

    def hello(self) -> Hello: ...
    def status(self) -> LocalStatus: ...


@dataclass(slots=True)
class _Admitted:
    connection: RlpxConnection
    peer: Peer
    table: CapabilityTable
    outbox: Outbox


async def run_session(
    stream: trio.SocketStream, dialled: Enode | None, network: Surroundings, introduced: Callable[[], None]
) -> bool:
    """Live through a session on `stream`, which this node has `dialled`, or accepted where that is None. True if it got
    as far as being a peer; `introduced` is called at that moment."""
    connection: RlpxConnection | None = None
    admitted: _Admitted | None = None
    farewell: DisconnectReason | None = None
    try:
        with trio.fail_after(network.limits.handshake):
            connection = await open_rlpx(stream, network.key, None if dialled is None else dialled.id)
            admitted = await _introduce(connection, dialled, network)
        introduced()
        await _live(admitted, network)
    except trio.TooSlowError:
        log.debug("handshake too slow", dialled=str(dialled))
    except ConnectionFailed as failure:
        farewell = failure.reason
        _remember(failure, connection, network)
        log.debug("session ended", peer=_name(connection, dialled), reason=str(failure))
    except trio.Cancelled:
        farewell = DisconnectReason.CLIENT_QUITTING
        raise
    finally:
        if admitted is not None:
            admitted.peer.left.set()
        if connection is not None:
            await connection.close(farewell, network.limits.farewell)
        else:
            await trio.aclose_forcefully(stream)
    return admitted is not None


def _name(connection: RlpxConnection | None, dialled: Enode | None) -> str:
    if connection is not None:
        return connection.remote_id.hex()[:16]
    return "unknown" if dialled is None else str(dialled)


def _remember(failure: ConnectionFailed, connection: RlpxConnection | None, network: Surroundings) -> None:
    """A breach of protocol, or their word that they speak another version, keeps a node out until restart."""
    theirs = failure.theirs if isinstance(failure, PeerDisconnected) else None
    incompatible = theirs is DisconnectReason.INCOMPATIBLE_P2P_VERSION
    if connection is not None and (failure.reason is _BREACH or incompatible):
        network.peer_set.deny(connection.remote_id, str(failure))


# -- becoming a peer -----------------------------------------------------------------------------------------------


async def _introduce(connection: RlpxConnection, dialled: Enode | None, network: Surroundings) -> _Admitted:
    """Pass every gate; ConnectionFailed at the first that stays shut."""
    hello = await connection.exchange_hellos(network.hello())
    if hello.node_id != connection.remote_id:
        raise ConnectionFailed("the Hello's node id is not the key of the handshake", _UNEXPECTED)
    enode = dialled or Enode(hello.node_id, connection.addresses[1][0], hello.listen_port, None)
    _check_permission(enode, dialled is None, network)
    table = CapabilityTable.negotiate(CAPABILITIES, hello.capabilities)
    version = table.version_of("eth")
    if version is None:
        raise ConnectionFailed("no shared version of eth", DisconnectReason.USELESS_PEER)
    refusal = network.peer_set.refusal(enode.id, dialled is None)
    if refusal is not None:
        raise ConnectionFailed(f"not admitted: {refusal}", refusal)
    status = await _exchange_status(connection, table, version, network.status())
    outbox = Outbox()
    peer = Peer(
        enode=enode,
        hello=hello,
        table=table,
        inbound=dialled is None,
        addresses=connection.addresses,
        status=status,
        genesis_difficulty=network.status().genesis_difficulty,
        outbox=outbox,
    )
    return _Admitted(connection, peer, table, outbox)


_UNEXPECTED = DisconnectReason.UNEXPECTED_IDENTITY


def _check_permission(enode: Enode, inbound: bool, network: Surroundings) -> None:
    denial = network.peer_set.denial(enode.id)
    if denial is not None:
        raise ConnectionFailed(f"denied since it {denial}", DisconnectReason.UNKNOWN)
    verdict = network.policy.may_accept(enode) if inbound else network.policy.may_dial(enode)
    if not verdict.allowed:
        raise ConnectionFailed(f"not permitted: {verdict.reason}", DisconnectReason.UNKNOWN)


async def _exchange_status(
    connection: RlpxConnection, table: CapabilityTable, version: int, ours: LocalStatus
) -> Status:
    own = Status(version, ours.network_id, ours.total_difficulty, ours.head_hash, ours.genesis_hash, ours.fork_id)
    await connection.send(table.message_id("eth", Status.CODE), own.encode(version))
    while True:
        frame = await connection.receive()
        route = _base_message(frame, table)
        if route is None:
            if frame.message_id == PING:
                await connection.send(PONG, EMPTY_LIST)
            continue
        if route.protocol == "IBF":
            continue  # a validator may speak before it has introduced itself on eth
        if route.code != Status.CODE:
            raise ConnectionFailed(f"eth message {route.code:#04x} before Status", _BREACH)
        try:
            theirs = decode(version, route.code, frame.body)
        except RlpError as error:
            raise ConnectionFailed(f"Status: {error}", DisconnectReason.SUBPROTOCOL_REASON) from None
        assert isinstance(theirs, Status)
        _check_status(theirs, ours)
        return theirs


def _check_status(theirs: Status, ours: LocalStatus) -> None:
    if theirs.network_id != ours.network_id:
        text = f"network id {theirs.network_id} instead of {ours.network_id}"
    elif theirs.genesis_hash != ours.genesis_hash:
        text = f"genesis 0x{theirs.genesis_hash.hex()} instead of 0x{ours.genesis_hash.hex()}"
    elif theirs.fork_id is not None and not ours.accepts(theirs.fork_id):
        text = f"fork id 0x{theirs.fork_id.hash.hex()}, {theirs.fork_id.next}, which our forks do not allow"
    else:
        return
    raise ConnectionFailed(f"another network: {text}", DisconnectReason.SUBPROTOCOL_REASON)


def _base_message(frame: Frame, table: CapabilityTable) -> Route | None:
    """What a sub-protocol's message means; None for the base protocol's and unknown ones. PeerDisconnected on Disconnect."""
    if frame.message_id == DISCONNECT:
        try:
            reason = Disconnect.decode(frame.body).reason
        except RlpError:
            reason = DisconnectReason.UNKNOWN
        raise PeerDisconnected(f"it disconnected: {reason}", reason)
    return table.resolve(frame.message_id) if frame.message_id >= 0x10 else None


# -- being a peer --------------------------------------------------------------------------------------------------


async def _live(admitted: _Admitted, network: Surroundings) -> None:
    """Be a peer until somebody ends it, which is always by ConnectionFailed."""
    peer = admitted.peer
    older = network.peer_set.peers.get(peer.id)
    if older is not None:
        await older.disconnect(DisconnectReason.ALREADY_CONNECTED)
    network.peer_set.peers[peer.id] = peer
    network.handler.peer_joined(peer)
    log.debug("peer joined", peer=peer.enode_text, client=peer.client_id, inbound=peer.inbound)
    reason = "this node is stopping"
    try:
        await _exchange(admitted, network)
    except ConnectionFailed as failure:
        reason = str(failure)
        raise
    finally:
        if network.peer_set.peers.get(peer.id) is peer:
            del network.peer_set.peers[peer.id]
        peer.requests.fail_all()
        network.handler.peer_left(peer, reason)


async def _exchange(admitted: _Admitted, network: Surroundings) -> None:
    requests_in, requests_out = trio.open_memory_channel[EthMessage](PENDING_REQUESTS)
    failure: ConnectionFailed | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, admitted, network, requests_in)
            nursery.start_soon(_write, admitted)
            nursery.start_soon(_serve, admitted.peer, network.server, requests_out)
            nursery.start_soon(_leave_when_asked, admitted.peer)
    except* ConnectionFailed as group:
        failure = _first(group)
    if failure is not None:
        raise failure


def _first(group: BaseExceptionGroup[ConnectionFailed]) -> ConnectionFailed:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _leave_when_asked(peer: Peer) -> None:
    reason = await peer.asked_to_leave()
    raise ConnectionFailed(f"we disconnected: {reason}", reason)


async def _write(admitted: _Admitted) -> None:
    while True:
        message_id, body = await admitted.outbox.get()
        try:
            await admitted.connection.send(message_id, body)
        except ValueError as error:
            log.warning("message not sent", peer=admitted.peer.enode_text, reason=str(error))


async def _read(admitted: _Admitted, network: Surroundings, requests: trio.MemorySendChannel[EthMessage]) -> None:
    """Take messages; ping when it is quiet, and give up when it stays quiet."""
    connection, silence = admitted.connection, network.limits.silence
    while True:
        frame = None
        with trio.move_on_after(silence):
            frame = await connection.receive()
        if frame is None:
            await connection.send(PING, EMPTY_LIST)
            with trio.move_on_after(silence):
                frame = await connection.receive()
        if frame is None:
            raise ConnectionFailed(f"silent for {2 * silence:.0f} s", DisconnectReason.TIMEOUT)
        if frame.message_id == PING:
            await connection.send(PONG, EMPTY_LIST)
            continue
        route = _base_message(frame, admitted.table)
        if route is not None:
            _take(route, frame.body, admitted.peer, network.handler, requests)


def _take(
    route: Route, body: bytes, peer: Peer, handler: NetworkHandler, requests: trio.MemorySendChannel[EthMessage]
) -> None:
    if route.protocol == "IBF":
        handler.consensus_received(peer, route.code, body)
        return
    try:
        message = decode(route.version, route.code, body)
    except RlpError as error:
        raise ConnectionFailed(f"eth message {route.code:#04x}: {error}", _BREACH) from None
    match message:
        case BlockHeaders() | BlockBodies() | Receipts() | PooledTransactions():
            peer.requests.deliver(message.CODE, message.request_id, message)
        case NewBlock(block, _):
            handler.block_received(peer, block)
        case NewBlockHashes(blocks):
            handler.block_hashes_received(peer, blocks)
        case Transactions(transactions):
            for transaction in transactions:
                peer.knows_transaction(transaction.hash)
            handler.transactions_received(peer, transactions)
        case NewPooledTransactionHashes(hashes):
            for hash_ in hashes:
                peer.knows_transaction(hash_)
            handler.transaction_hashes_received(peer, hashes)
        case Status():
            raise ConnectionFailed("a second Status", _BREACH)
        case NodeData():
            pass
        case _:
            _queue(message, requests)


def _queue(message: EthMessage, requests: trio.MemorySendChannel[EthMessage]) -> None:
    if not isinstance(message, REQUESTS):
        raise ConnectionFailed(f"unexpected {type(message).__name__}", _BREACH)
    try:
        requests.send_nowait(message)
    except trio.WouldBlock:
        raise ConnectionFailed(f"more than {PENDING_REQUESTS} requests at once", _BREACH) from None


async def _serve(peer: Peer, server: EthServer, requests: trio.MemoryReceiveChannel[EthMessage]) -> None:
    async for request in requests:
        peer.send(await trio.to_thread.run_sync(server.answer, request))
