"""An RLPx connection on a byte stream: handshake, Hellos, then messages.

Sending and closing have a limit in time. For the handshake and for receiving the caller sets one. Malformed bytes of
the handshake and of frames end in `ConnectionFailedError`. Must not know a sub-protocol: it hands on message ids and
bodies.
"""

import os
import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import trio

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.p2p.wire.frame import Accepts, Frame, FrameCodec, FrameError
from lacnode.p2p.wire.handshake import HandshakeError, Initiator, Responder
from lacnode.p2p.wire.p2p_messages import DISCONNECT, HELLO, Disconnect, DisconnectReason, Hello
from lacnode.primitives.rlp import RlpError

READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """The longest times of a connection with a peer, in seconds. The defaults are Besu's."""

    handshake: float = 10.0
    """From the TCP connection until both Status messages are exchanged."""
    silence: float = 15.0
    """Without a message until this node sends a Ping, and from that Ping until the session ends."""
    sending: float = 30.0
    """Until the other side has taken one message."""
    farewell: float = 1.0
    """For the Disconnect, and for the other side to close the connection."""


class ConnectionFailedError(Exception):
    """The connection cannot be used any more. `reason` goes into the Disconnect, None if none can be sent."""

    def __init__(self, text: str, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class PeerDisconnectedError(ConnectionFailedError):
    """The other side sent Disconnect with the reason `theirs`, or closed the connection (`theirs` is None)."""

    def __init__(self, text: str, theirs: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.theirs = theirs


class RlpxConnection:
    """One connection after its handshake. `remote_id` (64 bytes) is the id of the other node. If the other node
    dialled, only the first message that `receive` returns proves this id. `leftover` are the bytes that came behind the
    last packet of the handshake, in the same read."""

    def __init__(
        self,
        stream: trio.SocketStream,
        codec: FrameCodec,
        remote_id: bytes,
        leftover: bytes,
        limits: ConnectionTimeouts,
    ) -> None:
        self.remote_id = remote_id
        self._stream = stream
        self._codec = codec
        self._unread = leftover
        self._limits = limits
        self._sending = trio.Lock()
        self._torn = False
        self._opening_seconds = 0.0

    def accept_only(self, accepts: Accepts) -> None:
        """From the next message on, keep only the messages that `accepts(message_id, length_bytes)` allows. Another
        message is not an error, and the connection goes on: it arrives with an empty body and `is_refused`."""
        self._codec.accepts = accepts

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return this node's address and the other node's, each an IP literal and a port. PeerDisconnectedError if the
        connection is gone."""
        try:
            ours, theirs = self._stream.socket.getsockname(), self._stream.socket.getpeername()
        except OSError as error:
            raise PeerDisconnectedError(f"connection lost: {error}") from None
        return (_plain(ours[0]), int(ours[1])), (_plain(theirs[0]), int(theirs[1]))

    async def exchange_hellos(self, hello: Hello) -> Hello:
        """Send `hello` and return the other side's Hello. PeerDisconnectedError if it disconnects instead,
        ConnectionFailedError if it sends another message or a malformed one."""
        await self.send(HELLO, hello.encode())
        frame = await self.receive()
        try:
            # A node that is full answers with Disconnect in place of Hello. That is no breach of protocol and must not
            # deny the node.
            if frame.message_id == DISCONNECT:
                reason = Disconnect.decode(frame.body).reason
                raise PeerDisconnectedError(f"disconnected before Hello: {reason}", reason)
            if frame.message_id != HELLO:
                raise ConnectionFailedError(f"message {frame.message_id} before Hello", _BREACH)
            theirs = Hello.decode(frame.body)
        except RlpError as error:
            raise ConnectionFailedError(str(error), _BREACH) from None
        # Only now: Hellos are never compressed, and the next frame is read after this call.
        if theirs.compresses:
            self._codec.enable_snappy()
        return theirs

    async def send(self, message_id: int, body: bytes) -> None:
        """Send one message, by its absolute id and its uncompressed body. PeerDisconnectedError if the connection is
        gone, or if an earlier call failed or was cancelled in the middle of a message. ConnectionFailedError if the
        other side does not read, ValueError if the message is too large: nothing is sent then.
        """
        async with self._sending:
            # A send was cancelled or failed in the middle of a frame. The other side would read further bytes as the
            # rest of it.
            if self._torn:
                raise PeerDisconnectedError("connection lost in the middle of a message")
            # Under the lock: the cipher and the MAC depend on the order of the frames on the wire.
            data = self._codec.encode(message_id, body)
            # After `encode`: a message that is too large changes nothing, and the connection can be used further.
            self._torn = True
            try:
                with trio.fail_after(self._limits.sending):
                    await self._stream.send_all(data)
            except trio.TooSlowError:
                raise ConnectionFailedError(
                    f"it does not read what it is sent for {self._limits.sending:.0f} s"
                ) from None
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise PeerDisconnectedError(f"connection lost: {error}") from None
            self._torn = False

    async def receive(self) -> Frame:
        """Wait for the next message and return it. There is no time limit here. ConnectionFailedError if the bytes are
        malformed, PeerDisconnectedError if the connection ends.

        Reads from the socket only while no message is complete. A peer that sends faster than this node takes messages
        waits in its own socket.
        """
        while True:
            # The bytes are taken away first. A frame that fails must not be fed a second time.
            data, self._unread = self._unread, b""
            began = time.thread_time()
            try:
                frame = next(self._codec.feed(data), None)
            except FrameError as error:
                raise ConnectionFailedError(str(error), _BREACH) from None
            finally:
                self._opening_seconds += time.thread_time() - began
            if frame is not None:
                return frame
            self._unread = await self._read()

    def pop_decoding_seconds(self) -> float:
        """Return the processor time, in seconds, of decrypting and decompressing since the last call."""
        seconds, self._opening_seconds = self._opening_seconds, 0.0
        return seconds

    async def _read(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise PeerDisconnectedError(f"connection lost: {error}") from None
        if not data:
            raise PeerDisconnectedError("the other side hung up")
        return data

    async def close(self, reason: DisconnectReason | None) -> None:
        """Send Disconnect with `reason`, unless it is None, and close the connection.

        After a Disconnect, wait up to `farewell` seconds for the other side to close first. The system would otherwise
        reset the connection because of bytes that this node has not read, and the other side would lose the Disconnect.
        No error is raised if the connection is gone already.
        """
        with trio.move_on_after(self._limits.farewell) as scope:
            # The session may have been cancelled because this node stops. The Disconnect is sent all the same.
            scope.shield = True
            if reason is not None and not self._torn:
                try:
                    await self.send(DISCONNECT, Disconnect(reason).encode())
                    await self._stream.send_eof()
                    while await self._stream.receive_some(READ_BYTES):
                        pass
                except (ConnectionFailedError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
        await trio.aclose_forcefully(self._stream)


def _plain(host: str) -> str:
    """Return the IPv4 address that a socket of both families shows as `::ffff:1.2.3.4`. Other addresses stay, without the
    zone."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


async def open_rlpx(
    stream: trio.SocketStream, key: NodeIdentity, remote_id: bytes | None, limits: ConnectionTimeouts
) -> RlpxConnection:
    """Return the encrypted connection on `stream`. This node is the initiator towards the 64-byte `remote_id`, or the
    responder if that is None.

    ConnectionFailedError if the handshake fails, PeerDisconnectedError if the connection ends. The caller limits the time.
    """
    try:
        if remote_id is None:
            return await _respond(stream, key, limits)
        return await _initiate(stream, key, remote_id, limits)
    except HandshakeError as error:
        raise ConnectionFailedError(f"RLPx handshake: {error}") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise PeerDisconnectedError(f"connection lost in the handshake: {error}") from None


async def _initiate(
    stream: trio.SocketStream, key: NodeIdentity, remote_id: bytes, limits: ConnectionTimeouts
) -> RlpxConnection:
    initiator = Initiator(key, remote_id, random_bytes=os.urandom)
    # One write: Besu does not put an auth together from several reads.
    await stream.send_all(initiator.auth)
    while initiator.secrets is None:
        initiator.receive(await _some(stream))
    return RlpxConnection(stream, FrameCodec(initiator.secrets), remote_id, initiator.leftover, limits)


async def _respond(stream: trio.SocketStream, key: NodeIdentity, limits: ConnectionTimeouts) -> RlpxConnection:
    responder = Responder(key, random_bytes=os.urandom)
    ack: bytes | None = None
    while ack is None:
        ack = responder.receive(await _some(stream))
    await stream.send_all(ack)
    # Both are set together with the ack. The check is for the type checker.
    if responder.secrets is None or responder.remote_id is None:
        raise HandshakeError("the handshake gave no secrets")
    return RlpxConnection(stream, FrameCodec(responder.secrets), responder.remote_id, responder.leftover, limits)


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some(READ_BYTES))
    if not data:
        raise PeerDisconnectedError("the other side hung up in the handshake")
    return data


_BREACH = DisconnectReason.BREACH_OF_PROTOCOL
