"""An RLPx connection on a byte stream: handshake, Hellos, then messages.

Every wait has a bound; every malformed byte ends in `ConnectionFailed`. Knows no sub-protocol.
"""

import os
from collections import deque
from dataclasses import dataclass

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.frame import Frame, FrameCodec, FrameError
from lacnode.p2p.wire.handshake import HandshakeError, Initiator, Responder
from lacnode.p2p.wire.p2p_messages import DISCONNECT, HELLO, Disconnect, DisconnectReason, Hello
from lacnode.primitives.rlp import RlpError

READ_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: from TCP connection to Hello exchanged; without a byte read before a Ping; for a last Disconnect."""

    handshake: float = 10.0
    silence: float = 15.0
    farewell: float = 2.0


class ConnectionFailed(Exception):
    """The connection is of no use any more. `reason` is what the other side is told, None if nothing can be said."""

    def __init__(self, text: str, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class PeerDisconnected(ConnectionFailed):
    """The other side said goodbye, or hung up."""

    def __init__(self, text: str, theirs: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.theirs = theirs


class RlpxConnection:
    """One connection after its Hellos."""

    def __init__(self, stream: trio.SocketStream, codec: FrameCodec, remote_id: bytes) -> None:
        self.remote_id = remote_id
        self.hello: Hello | None = None
        self._stream = stream
        self._codec = codec
        self._frames: deque[Frame] = deque()
        self._broken: FrameError | None = None
        self._sending = trio.Lock()

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Ours and theirs: host and port each."""
        ours, theirs = self._stream.socket.getsockname(), self._stream.socket.getpeername()
        return (str(ours[0]), int(ours[1])), (str(theirs[0]), int(theirs[1]))

    async def exchange_hellos(self, hello: Hello) -> Hello:
        """Send ours, read theirs; ConnectionFailed if something else comes."""
        await self.send(HELLO, hello.encode())
        frame = await self.receive()
        try:
            if frame.message_id == DISCONNECT:
                reason = Disconnect.decode(frame.body).reason
                raise PeerDisconnected(f"disconnected before Hello: {reason}", reason)
            if frame.message_id != HELLO:
                raise ConnectionFailed(f"message {frame.message_id} before Hello", _BREACH)
            self.hello = Hello.decode(frame.body)
        except RlpError as error:
            raise ConnectionFailed(str(error), _BREACH) from None
        if self.hello.compresses:
            self._codec.enable_snappy()
        return self.hello

    async def send(self, message_id: int, body: bytes) -> None:
        """Send one message; ConnectionFailed if the connection is gone."""
        async with self._sending:
            try:
                await self._stream.send_all(self._codec.encode(message_id, body))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise PeerDisconnected(f"connection lost: {error}") from None

    async def receive(self) -> Frame:
        """The next message."""
        while not self._frames:
            if self._broken is not None:
                raise ConnectionFailed(str(self._broken), _BREACH)
            self._take(await self._read())
        return self._frames.popleft()

    def feed(self, data: bytes) -> None:
        """Bytes that came behind the handshake."""
        self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            for frame in self._codec.feed(data):
                self._frames.append(frame)
                if self.hello is None:
                    # What follows a Hello may be compressed, which is known once the Hello has been looked at.
                    return
        except FrameError as error:
            self._broken = error

    async def _read(self) -> bytes:
        if self.hello is not None:
            self._take(b"")
            if self._frames:
                return b""
        try:
            data = bytes(await self._stream.receive_some(READ_SIZE))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise PeerDisconnected(f"connection lost: {error}") from None
        if not data:
            raise PeerDisconnected("the other side hung up")
        return data

    async def close(self, reason: DisconnectReason | None, farewell: float) -> None:
        """Say why, if there is anything to say, and hang up; takes `farewell` seconds at most."""
        with trio.move_on_after(farewell) as scope:
            scope.shield = True
            if reason is not None:
                try:
                    await self.send(DISCONNECT, Disconnect(reason).encode())
                    await self._stream.send_eof()
                except (ConnectionFailed, ValueError, trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
        await trio.aclose_forcefully(self._stream)


async def open_rlpx(stream: trio.SocketStream, key: NodeKey, remote_id: bytes | None) -> RlpxConnection:
    """The encrypted connection on `stream`: as initiator towards `remote_id`, as responder where that is None."""
    try:
        if remote_id is None:
            return await _respond(stream, key)
        return await _initiate(stream, key, remote_id)
    except HandshakeError as error:
        raise ConnectionFailed(f"RLPx handshake: {error}") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise PeerDisconnected(f"connection lost in the handshake: {error}") from None


async def _initiate(stream: trio.SocketStream, key: NodeKey, remote_id: bytes) -> RlpxConnection:
    initiator = Initiator(key, remote_id, random_bytes=os.urandom)
    await stream.send_all(initiator.auth)
    while initiator.secrets is None:
        initiator.receive(await _some(stream))
    connection = RlpxConnection(stream, FrameCodec(initiator.secrets), remote_id)
    connection.feed(initiator.leftover)
    return connection


async def _respond(stream: trio.SocketStream, key: NodeKey) -> RlpxConnection:
    responder = Responder(key, random_bytes=os.urandom)
    ack: bytes | None = None
    while ack is None:
        ack = responder.receive(await _some(stream))
    await stream.send_all(ack)
    if responder.secrets is None or responder.remote_id is None:
        raise HandshakeError("the handshake gave no secrets")
    connection = RlpxConnection(stream, FrameCodec(responder.secrets), responder.remote_id)
    connection.feed(responder.leftover)
    return connection


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some(READ_SIZE))
    if not data:
        raise PeerDisconnected("the other side hung up in the handshake")
    return data


_BREACH = DisconnectReason.BREACH_OF_PROTOCOL
