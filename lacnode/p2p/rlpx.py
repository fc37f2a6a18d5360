"""An RLPx connection on a byte stream: handshake, Hellos, then messages.

Every wait has a bound. Every malformed byte ends in `ConnectionFailedError`. Knows no sub-protocol.
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
    """Seconds, as Besu has them: from TCP connection to Status exchanged; without a message before a Ping, and again
    before giving up; for a message to be taken by the other side; for the last goodbye."""

    handshake: float = 10.0
    silence: float = 15.0
    sending: float = 30.0
    farewell: float = 1.0


class ConnectionFailedError(Exception):
    """The connection is of no use any more. `reason` is what the other side is told, None if nothing can be said."""

    def __init__(self, text: str, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class PeerDisconnectedError(ConnectionFailedError):
    """The other side said goodbye, or hung up."""

    def __init__(self, text: str, theirs: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.theirs = theirs


class RlpxConnection:
    """One connection after its handshake. `leftover` is what was read behind the handshake."""

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
        """From the next message on, keep only those that `accepts` says. The body of another is empty."""
        self._codec.accepts = accepts

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Ours and theirs: IP literal and port each. ConnectionFailedError if the connection is gone."""
        try:
            ours, theirs = self._stream.socket.getsockname(), self._stream.socket.getpeername()
        except OSError as error:
            raise PeerDisconnectedError(f"connection lost: {error}") from None
        return (_plain(ours[0]), int(ours[1])), (_plain(theirs[0]), int(theirs[1]))

    async def exchange_hellos(self, hello: Hello) -> Hello:
        """Send ours, read theirs. ConnectionFailedError if something else comes."""
        await self.send(HELLO, hello.encode())
        frame = await self.receive()
        try:
            if frame.message_id == DISCONNECT:
                reason = Disconnect.decode(frame.body).reason
                raise PeerDisconnectedError(f"disconnected before Hello: {reason}", reason)
            if frame.message_id != HELLO:
                raise ConnectionFailedError(f"message {frame.message_id} before Hello", _BREACH)
            theirs = Hello.decode(frame.body)
        except RlpError as error:
            raise ConnectionFailedError(str(error), _BREACH) from None
        if theirs.compresses:
            self._codec.enable_snappy()
        return theirs

    async def send(self, message_id: int, body: bytes) -> None:
        """Send one message. ConnectionFailedError if the connection is gone or the other side does not read, ValueError if
        the message is too large."""
        async with self._sending:
            if self._torn:
                raise PeerDisconnectedError("connection lost in the middle of a message")
            data = self._codec.encode(message_id, body)
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
        """The next message. ConnectionFailedError if there will be none. Reads no further than it must, so that a peer that
        sends more than is taken has to wait."""
        while True:
            data, self._unread = self._unread, b""
            began = time.thread_time()
            try:
                frame = next(self._codec.feed(data), None)
            except FrameError as error:
                raise ConnectionFailedError(str(error), _BREACH) from None
            self._opening_seconds += time.thread_time() - began
            if frame is not None:
                return frame
            self._unread = await self._read()

    def pop_opening_seconds(self) -> float:
        """The processor time that went into decrypting and decompressing since the last call."""
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
        """Say why, if there is anything to say, and hang up.

        Waits a little for the other side to hang up first: bytes that nobody reads any more would make the system
        reset the connection, and the goodbye would be lost with it.
        """
        with trio.move_on_after(self._limits.farewell) as scope:
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
    """The address a socket of both families gives for an IPv4 node (`::ffff:1.2.3.4`), as the IPv4 address it is."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


async def open_rlpx(
    stream: trio.SocketStream, key: NodeIdentity, remote_id: bytes | None, limits: ConnectionTimeouts
) -> RlpxConnection:
    """The encrypted connection on `stream`: as initiator towards `remote_id`, as responder where that is None.
    ConnectionFailedError if the other side does not know how. The caller bounds the time."""
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
    if responder.secrets is None or responder.remote_id is None:
        raise HandshakeError("the handshake gave no secrets")
    return RlpxConnection(stream, FrameCodec(responder.secrets), responder.remote_id, responder.leftover, limits)


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some(READ_BYTES))
    if not data:
        raise PeerDisconnectedError("the other side hung up in the handshake")
    return data


_BREACH = DisconnectReason.BREACH_OF_PROTOCOL
