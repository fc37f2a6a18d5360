"""JSON-RPC and subscriptions over WebSocket, on `wsproto` and trio streams.

Frames and messages are bounded; a client that does not read its notifications is closed, so that it costs a queue and
nothing else.
"""

from collections.abc import Callable, Mapping

import trio
import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from lacnode.rpc.access import host_allowed
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.registry import Handler
from lacnode.rpc.settings import WebSocketSettings
from lacnode.rpc.subscriptions import Subscriptions

READ_SIZE = 65_536
QUEUE = 2_000
"""Notifications that may wait for a client."""

FRAMES_PER_MESSAGE = 4
HANDSHAKE_SECONDS = 10.0
TOO_BIG, GOING_AWAY, TOO_SLOW = 1009, 1001, 1008
NOT_A_WEBSOCKET = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 43\r\nconnection: close\r\n\r\n"
    b"Websocket endpoint can't handle HTTP requests"[:43]
)


class WebSocketServer:
    """Serves connections; `limiter` bounds the methods that run at once."""

    def __init__(
        self,
        settings: WebSocketSettings,
        dispatcher: Dispatcher,
        subscriptions: Subscriptions,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._subscriptions = subscriptions
        self._limiter = limiter
        self._connections = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection from upgrade to close. Never raises for what the client does."""
        if self._connections >= self._settings.max_connections:
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            await _Conversation(stream, self._settings, self._dispatcher, self._subscriptions, self._limiter).run()
        except (trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError):
            pass
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)


class _Conversation:
    """One client."""

    def __init__(
        self,
        stream: trio.SocketStream,
        settings: WebSocketSettings,
        dispatcher: Dispatcher,
        subscriptions: Subscriptions,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._dispatcher = dispatcher
        self._subscriptions = subscriptions
        self._limiter = limiter
        self._socket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._sending = trio.Lock()
        self._out, self._waiting = trio.open_memory_channel[bytes](QUEUE)
        self._scope = trio.CancelScope()
        self._message = bytearray()

    async def run(self) -> None:
        notify: Callable[[bytes], None] = self._notify
        own = self._subscriptions.connection_methods(notify)
        try:
            with trio.move_on_after(HANDSHAKE_SECONDS):
                if not await self._upgrade():
                    return
            if self._socket.state is not ConnectionState.OPEN:
                return
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._notifications)
                    await self._listen(own)
                    nursery.cancel_scope.cancel()
        finally:
            self._subscriptions.forget(notify)

    async def _upgrade(self) -> bool:
        """Become a WebSocket; False if that is not what the client wants or may have."""
        while True:
            data = await self._stream.receive_some(READ_SIZE)
            if not data:
                return False
            try:
                self._socket.receive_data(data)
                events = list(self._socket.events())
            except RemoteProtocolError:
                await self._stream.send_all(NOT_A_WEBSOCKET)
                return False
            for event in events:
                if isinstance(event, Request):
                    return await self._answer_upgrade(event)

    async def _answer_upgrade(self, request: Request) -> bool:
        if host_allowed(self._settings.allowed_hosts, request.host or None):
            await self._send(AcceptConnection())
            return True
        body = b'{"message":"Host not authorized."}'
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send(RejectConnection(status_code=403, headers=headers, has_body=True))
        await self._send(RejectData(data=body))
        return False

    async def _listen(self, own: Mapping[str, Handler]) -> None:
        while self._socket.state is ConnectionState.OPEN:
            for event in list(self._socket.events()):
                if not await self._take(event, own):
                    return
            data = await self._stream.receive_some(READ_SIZE)
            try:
                self._socket.receive_data(data or None)
            except RemoteProtocolError as error:
                if error.event_hint is not None:
                    await self._send(error.event_hint)
                return
            if len(self._message) > self._settings.max_frame * FRAMES_PER_MESSAGE:
                return

    async def _take(self, event: Event, own: Mapping[str, Handler]) -> bool:
        """Deal with what the client sent; False when the conversation is over."""
        match event:
            case TextMessage() | BytesMessage():
                return await self._take_part(event, own)
            case Ping():
                await self._send(event.response())
            case CloseConnection():
                await self._send(event.response())
                return False
        return True

    async def _take_part(self, event: TextMessage | BytesMessage, own: Mapping[str, Handler]) -> bool:
        data = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        self._message += data
        if len(self._message) > self._settings.max_frame * FRAMES_PER_MESSAGE:
            await self._send(CloseConnection(code=TOO_BIG, reason="message too large"))
            return False
        if event.message_finished:
            message, self._message = bytes(self._message), bytearray()
            reply = await trio.to_thread.run_sync(
                self._dispatcher.websocket, message, own, limiter=self._limiter, abandon_on_cancel=True
            )
            if reply.body:
                await self._send(TextMessage(data=reply.body.decode()))
        return True

    # -- notifications -------------------------------------------------------------------------------------------

    def _notify(self, message: bytes) -> None:
        try:
            self._out.send_nowait(message)
        except trio.WouldBlock:
            self._scope.cancel()

    async def _notifications(self) -> None:
        async for message in self._waiting:
            await self._send(TextMessage(data=message.decode()))

    async def _send(self, event: Event) -> None:
        async with self._sending:
            await self._stream.send_all(self._socket.send(event))
