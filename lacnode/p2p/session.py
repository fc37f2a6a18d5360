"""One session from the TCP connection to its end: handshake, Hello and Status, then messages in both directions.

Reading, writing and serving are three tasks. Reading does not wait for a peer that does not read, and a Ping is
answered while large answers are made. Serving waits until the peer has read most of the last answer. Every session ends
with a reason in one sentence. An error in a session must not leave it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import trio

from lacnode.fair_share import FairShare
from lacnode.p2p.accepted_messages import ANSWERS, LongMessageFilter
from lacnode.p2p.eth_server import REQUEST_MESSAGES
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_handshake import EstablishedSession, perform_handshake, resolve_route
from lacnode.p2p.rlpx import ConnectionFailedError, PeerDisconnectedError, RlpxConnection, open_rlpx
from lacnode.p2p.send_queue import SendQueueFullError
from lacnode.p2p.session_context import SessionContext
from lacnode.p2p.supported_capabilities import CONSENSUS_MESSAGES
from lacnode.p2p.wire.capabilities import Route
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
    decode_eth_message,
    header_of_new_block,
)
from lacnode.p2p.wire.frame import Frame
from lacnode.p2p.wire.p2p_messages import EMPTY_LIST, PING, PONG, DisconnectReason
from lacnode.primitives.rlp import RlpError
from lacnode.rate_limited_log import RateLimitedLog

log = structlog.get_logger("p2p")

MAX_PENDING_REQUESTS = 16
"""Requests of one peer that may wait for their answer. One more is a breach of protocol."""

LARGE_BODY_BYTES = 16 * 1024
"""Bytes from which a message is decoded in a worker thread, so that it does not block the event loop. With the worst
content, decoding so many takes 30 ms."""

LONG_BLOCK_BYTES = 64 * 1024
"""Bytes from which an announced block is judged by its header before it is decoded."""

SENDING_SECONDS_PER_BYTE = 5e-9
"""About how long the event loop takes to compress, encrypt and send a byte of an answer. It counts for the peer's share:
pooled transactions cost next to nothing else."""

_BREACH = DisconnectReason.BREACH_OF_PROTOCOL


class _Meter:
    """The processor time that one message takes, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time that this thread takes for the block. An error in it counts too."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.seconds += time.thread_time() - began


async def run_session(
    stream: trio.SocketStream, dialled: Enode | None, network: SessionContext, on_handshake_end: Callable[[], object]
) -> bool:
    """Run a session on `stream` until it ends. `dialled` is the node that this one dialled, None if it accepted the
    connection. `on_handshake_end` is called after a handshake that succeeded.

    Return True if the other node passed the handshake. Errors of the session are logged here and not raised. A node
    that breaks the protocol is denied until this node restarts, within the bounds of `PeerSet.deny`.
    """
    connection: RlpxConnection | None = None
    admitted: EstablishedSession | None = None
    farewell: DisconnectReason | None = DisconnectReason.CLIENT_QUITTING  # unless something else ends it first
    try:
        # One limit for all steps together: a stranger could stretch the handshake by a slow answer at each step
        # otherwise.
        with trio.fail_after(network.limits.handshake):
            connection = await open_rlpx(stream, network.key, None if dialled is None else dialled.id, network.limits)
            admitted = await perform_handshake(connection, dialled, network)
        on_handshake_end()
        await _run_as_peer(admitted, network)
    except trio.TooSlowError:
        farewell = None
        log.debug("handshake too slow", peer=_name(connection, dialled))
    except ConnectionFailedError as failure:
        farewell = failure.reason
        _remember(failure, connection, network)
        log.debug("session ended", peer=_name(connection, dialled), reason=str(failure))
    # A fault of this node ends one session. The nursery of the network would end all of them.
    except Exception:
        farewell = DisconnectReason.TCP_SUBSYSTEM_ERROR
        log.exception("a session failed by a mistake of this node", peer=_name(connection, dialled))
    finally:
        # Before the Disconnect, which may take a second: a newer connection with the same node waits for this event.
        if admitted is not None:
            admitted.peer.left.set()
        if connection is not None:
            await connection.close(farewell)
        else:
            await trio.aclose_forcefully(stream)
    return admitted is not None


def _name(connection: RlpxConnection | None, dialled: Enode | None) -> str:
    if connection is not None:
        return connection.remote_id.hex()[:16]
    return "unknown" if dialled is None else str(dialled)


def _remember(failure: ConnectionFailedError, connection: RlpxConnection | None, network: SessionContext) -> None:
    """Deny the other node until restart if it broke the protocol, or says that it speaks another version of it."""
    theirs = failure.theirs if isinstance(failure, PeerDisconnectedError) else None
    incompatible = theirs is DisconnectReason.INCOMPATIBLE_P2P_VERSION
    if connection is not None and (failure.reason is _BREACH or incompatible):
        network.peer_set.deny(connection.remote_id, str(failure))


async def _run_as_peer(admitted: EstablishedSession, network: SessionContext) -> None:
    """Exchange messages until the session ends. It always ends with a ConnectionFailedError or a cancellation."""
    peer = admitted.peer
    await _join(peer, network)
    log.debug("peer joined", peer=peer.enode_text, client=peer.description.client_id, inbound=peer.description.inbound)
    reason, cause = "this node is stopping", None
    network.counters.connected += 1
    network.shares.arrive(peer.id, trio.current_time())
    try:
        network.handler.peer_joined(peer)
        await _exchange(admitted, network)
    except ConnectionFailedError as failure:
        reason, cause = str(failure), failure
        raise
    finally:
        network.counters.session_ended(cause)
        network.shares.leave(peer.id)
        # From here on the peer counts as leaving, also if the session was cancelled: `PeerSet.connected_peers` omits it.
        peer.end_session(DisconnectReason.REQUESTED)
        if network.peer_set.peers.get(peer.id) is peer:
            del network.peer_set.peers[peer.id]
        # Before `peer_left`: sync and the pool wait for answers that will not come.
        peer.requests.fail_all()
        network.handler.peer_left(peer, reason)


async def _join(peer: Peer, network: SessionContext) -> None:
    """Add the peer to the peer set. Policy and limits are asked again: they may have changed during the handshake.

    ConnectionFailedError if the peer may not join.
    """
    while True:
        connection = network.connection_for_policy(peer.enode, peer.description.inbound)
        await network.policy.prepare_decision(connection)
        decision = network.policy.decide(connection)
        if not decision.allowed:
            raise ConnectionFailedError(f"no longer permitted: {decision}", DisconnectReason.REQUESTED)
        # Nothing waits from here to the entry in the peer set, so no other session can take the slot in between.
        refusal = network.peer_set.refusal_reason(peer.id, peer.description.inbound)
        if refusal is not None:
            raise ConnectionFailedError(f"not admitted: {refusal}", refusal)
        older = network.peer_set.peers.get(peer.id)
        if older is None:
            network.peer_set.peers[peer.id] = peer
            return
        # This connection replaces the older one. It must be gone first, so that the handler sees `peer_left` before the
        # next `peer_joined`. The wait gives others time to join, so all checks are repeated.
        await older.end_session_and_wait(DisconnectReason.ALREADY_CONNECTED)


async def _exchange(admitted: EstablishedSession, network: SessionContext) -> None:
    # The channel is bounded: `_queue` ends the session of a peer that sends more requests than fit.
    requests_in, requests_out = trio.open_memory_channel[EthMessage](MAX_PENDING_REQUESTS)
    failure: ConnectionFailedError | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, admitted, network, requests_in)
            nursery.start_soon(_write, admitted, network)
            nursery.start_soon(_serve, admitted, network, requests_out)
            nursery.start_soon(_leave_when_asked, admitted.peer)
    # The nursery wraps errors in a group. Only the first one is the cause: the others follow from closing the session.
    except* ConnectionFailedError as group:
        failure = _first(group)
    if failure is not None:
        try:
            raise failure
        finally:
            # This frame is in the error's traceback now. Without this step the two would refer to each other, and stay
            # in memory until the next complete garbage collection.
            del failure


def _first(group: BaseExceptionGroup[ConnectionFailedError]) -> ConnectionFailedError:
    """Return the first error of `group`, without its traceback and context: their frames hold the last message, which may
    have megabytes."""
    inner = group.exceptions[0]
    if isinstance(inner, BaseExceptionGroup):
        return _first(inner)
    inner.__context__ = None
    return inner.with_traceback(None)


async def _leave_when_asked(peer: Peer) -> None:
    reason = await peer.wait_for_end_request()
    raise ConnectionFailedError(f"we disconnected: {reason}", reason)


async def _write(admitted: EstablishedSession, network: SessionContext) -> None:
    limited_log = RateLimitedLog("p2p", trio.current_time)
    while True:
        message_id, body = await admitted.outbox.get()
        try:
            await admitted.connection.send(message_id, body)
            network.counters.message_sent(admitted.table, message_id)
        # The message is too large for a frame. It is lost, but the frames before and after it are right.
        except ValueError as error:
            limited_log.warning("length", "message not sent", peer=admitted.peer.enode_text, reason=str(error))


async def _serve(
    admitted: EstablishedSession, network: SessionContext, requests: trio.MemoryReceiveChannel[EthMessage]
) -> None:
    """Answer one request after the other. The next answer waits until the peer has read most of the last one, and until its
    share of the processor allows it."""
    peer = admitted.peer
    async for request in requests:
        # Before the answer: the peer may have used up its share in an earlier session.
        await _sleep(_serving_share(peer, network).wait_seconds(peer.id, trio.current_time()))
        await _answer(request, admitted, network)
        # Without this wait a peer that sends requests and does not read would fill the outbox and end its own session.
        await admitted.outbox.wait_for_answer_space()


def _serving_share(peer: Peer, network: SessionContext) -> FairShare:
    return network.shares.serving_share_for(is_validator=network.handler.reads_consensus_from(peer))


async def _answer(request: EthMessage, admitted: EstablishedSession, network: SessionContext) -> None:
    """Answer a request. The processor time that it takes and that its sending takes counts for the peer."""
    peer, meter = admitted.peer, _Meter()

    def answer() -> tuple[int, bytes]:
        with meter.measure():
            message = network.server.answer(request)
            # Encoded here too: the receipts of one block may have a hundred thousand logs.
            return message.CODE, message.encode(peer.description.eth_version)

    # A function of its own: the answer, up to megabytes, must not stay in a variable while the next request is awaited.
    try:
        code, body = await trio.to_thread.run_sync(answer, limiter=network.shares.serving_workers)
        meter.seconds += SENDING_SECONDS_PER_BYTE * len(body)
        admitted.outbox.put(admitted.table.message_id("eth", code), body)
    except SendQueueFullError:
        peer.end_session(DisconnectReason.USELESS_PEER)
    finally:
        # Also for a peer that leaves meanwhile: it may come again.
        _serving_share(peer, network).spend(peer.id, meter.seconds, trio.current_time())


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await trio.sleep(seconds)


async def _read(
    admitted: EstablishedSession, network: SessionContext, requests: trio.MemorySendChannel[EthMessage]
) -> None:
    """Read messages and act on them, one at a time. ConnectionFailedError if the peer stays silent."""
    peer = admitted.peer
    accepted = LongMessageFilter(
        peer, admitted.table, network.handler, network.shares.unasked, network.max_transaction_bytes
    )
    admitted.connection.accept_only(accepted.accept_and_hold)
    try:
        while True:
            # A peer that used up its share is not read for a while. Its messages wait in its own socket.
            await _sleep(_reading_share(peer, network).wait_seconds(peer.id, trio.current_time()))
            meter = _Meter()
            try:
                await _read_one(admitted, network, requests, meter)
            finally:
                # Also for a message that ends the session: the peer may come again.
                seconds = meter.seconds + admitted.connection.pop_decoding_seconds()
                _reading_share(peer, network).spend(peer.id, seconds, trio.current_time())
            # The message has been handled, and its bytes are free again.
            accepted.release_held()
    finally:
        accepted.release_held()


def _reading_share(peer: Peer, network: SessionContext) -> FairShare:
    # Asked again for each message: a block may have changed the validators.
    return network.shares.reading_share_for(is_validator=network.handler.reads_consensus_from(peer))


async def _read_one(
    admitted: EstablishedSession,
    network: SessionContext,
    requests: trio.MemorySendChannel[EthMessage],
    meter: _Meter,
) -> None:
    """Read a message and act on it. `meter` gets the processor time of that."""
    # A function of its own: the message, up to 16 MiB, must not stay in a variable while the next one is awaited. It would
    # be held by each peer that then says nothing, beside the bytes that are counted.
    frame = await _next_frame(admitted, network)
    network.counters.message_received(admitted.table, frame.message_id)
    await _handle_frame(frame, admitted, network, requests, meter)


async def _next_frame(admitted: EstablishedSession, network: SessionContext) -> Frame:
    silence = network.limits.silence
    with trio.move_on_after(silence):
        return await admitted.connection.receive()
    # Urgent: a Ping behind 8 MiB of blocks could reach a slow peer too late.
    admitted.peer.send_urgent(PING, EMPTY_LIST)
    with trio.move_on_after(silence):
        return await admitted.connection.receive()
    raise ConnectionFailedError(f"silent for {2 * silence:.0f} s", DisconnectReason.TIMEOUT)


async def _handle_frame(
    frame: Frame,
    admitted: EstablishedSession,
    network: SessionContext,
    requests: trio.MemorySendChannel[EthMessage],
    meter: _Meter,
) -> None:
    """Act on a message. `meter` gets the processor time of that."""
    with meter.measure():
        route = _handle_undecoded(frame, admitted, network)
    if route is None:
        return
    workers = network.shares.decoding_workers_for(is_validator=network.handler.reads_consensus_from(admitted.peer))
    message = await _decode_message(route, frame.body, workers, meter)
    with meter.measure():
        dispatch_message(message, admitted.peer, network.handler, requests)


def _handle_undecoded(frame: Frame, admitted: EstablishedSession, network: SessionContext) -> Route | None:
    """Act on a message as far as it need not be decoded. Return its route if it must be decoded."""
    peer = admitted.peer
    if frame.message_id == PING:
        peer.send_urgent(PONG, EMPTY_LIST)
        return None
    route = resolve_route(frame, admitted.table)
    if route is None:
        return None
    # Consensus messages go to the handler undecoded: this package does not know their contents.
    if route.protocol in CONSENSUS_MESSAGES:
        # A sub-protocol may have further codes, of other forms of consensus. They are ignored.
        if route.code in CONSENSUS_MESSAGES[route.protocol]:
            network.handler.consensus_received(peer, route.code, frame.body)
        return None
    if route.code in ANSWERS and not peer.requests.expects_answer(route.code):
        # No request waits for it. Decoding could take seconds and hundreds of megabytes.
        peer.requests.report_useless_answer()
        return None
    # After the check for answers: a refused answer that no request waits for still lowers the peer's score.
    if frame.is_refused:
        if route.code == NewBlock.CODE:
            network.handler.long_block_dropped(peer)
        return None
    if route.code == NewBlock.CODE and not _wants_block(peer, frame.body, network):
        return None
    return route


def _wants_block(peer: Peer, body: bytes, network: SessionContext) -> bool:
    """Return True if a NewBlock should be decoded in full. The handler judges a long one by its header first: every peer
    sends the block, and its transactions take time and memory. ConnectionFailedError if the body has no header."""
    if len(body) < LONG_BLOCK_BYTES:
        return True
    try:
        return network.handler.wants_block_body(peer, header_of_new_block(body))
    except RlpError as error:
        raise ConnectionFailedError(f"NewBlock: {error}", _BREACH) from None


async def _decode_message(route: Route, body: bytes, workers: trio.CapacityLimiter, meter: _Meter) -> EthMessage:
    """Return the message. `meter` gets the processor time of its decoding. `workers` limits the threads for large ones.

    ConnectionFailedError if it is malformed.
    """

    def decode() -> EthMessage:
        with meter.measure():
            return decode_eth_message(route.version, route.code, body)

    try:
        if len(body) < LARGE_BODY_BYTES:
            return decode()
        return await trio.to_thread.run_sync(decode, limiter=workers)
    except RlpError as error:
        raise ConnectionFailedError(f"eth message {route.code:#04x}: {error}", _BREACH) from None


def dispatch_message(
    message: EthMessage, peer: Peer, handler: NetworkHandler, requests: trio.MemorySendChannel[EthMessage]
) -> None:
    """Give `message`, which `peer` sent, to the request, the handler or the server that it is for.
    ConnectionFailedError if the peer may not send it, or if `MAX_PENDING_REQUESTS` of its requests wait already.
    """
    match message:
        case BlockHeaders() | BlockBodies() | Receipts() | PooledTransactions():
            peer.requests.deliver_answer(message)
        case NewBlock(block, _):
            handler.block_received(peer, block)
        case NewBlockHashes(blocks):
            handler.block_hashes_received(peer, blocks)
        case Transactions(transactions):
            # Before the handler, which may announce them to all peers at once: the sender must not get them back.
            for transaction in transactions:
                peer.record_known_transaction(transaction.hash)
            handler.transactions_received(peer, transactions)
        case NewPooledTransactionHashes(hashes, _, sizes):
            for hash_ in hashes:
                peer.record_known_transaction(hash_)
            handler.transaction_hashes_received(peer, hashes, sizes)
        case Status():
            raise ConnectionFailedError("a second Status", _BREACH)
        case NodeData():
            # This node never requests trie nodes.
            peer.requests.report_useless_answer()
        case _:
            _queue(message, requests)


def _queue(message: EthMessage, requests: trio.MemorySendChannel[EthMessage]) -> None:
    if not isinstance(message, REQUEST_MESSAGES):
        raise ConnectionFailedError(f"unexpected {type(message).__name__}", _BREACH)
    try:
        requests.send_nowait(message)
    except trio.WouldBlock:
        raise ConnectionFailedError(f"more than {MAX_PENDING_REQUESTS} requests at once", _BREACH) from None
