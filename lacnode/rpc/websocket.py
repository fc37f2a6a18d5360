"""JSON-RPC and subscriptions over WebSocket (RFC 6455), on `wsproto` and trio streams.

Frames and messages are bounded. The connection to a client that does not read ends, so that it costs a queue and nothing
else. The calls of a connection are answered one after the other, as Besu does.
"""

import math
import time

import orjson
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

from lacnode.http.arriving_bodies import ArrivingBodies, ArrivingBody
from lacnode.http.head_lines import MAX_HEAD_LINES
from lacnode.http.http_connection import MAX_PORT_REQUEST_BYTES, HttpConnection
from lacnode.http.peekable_stream import PeekableStream
from lacnode.http.send_backlog import SendBacklog
from lacnode.rpc import errors
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.envelope import error_reply
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.login import MAX_LOGIN_BYTES, NO_HTTP, LoginRoutes
from lacnode.rpc.notice import Notice
from lacnode.rpc.outgoing_queue import PORT_LIMIT_BYTES, OutgoingQueue
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.settings import WebSocketSettings
from lacnode.rpc.subscription_methods import SubscriptionMethods
from lacnode.rpc.subscriptions import Subscriptions
from lacnode.rpc.time_share import TimeShare

READ_BYTES = 65_536
FRAME_SECONDS = 0.0001
"""Estimated time of the event loop for a frame, with the answer to a Ping."""

FRAMES_SHARE, FRAMES_BURST_SECONDS = 0.1, 0.1
"""The share of one processor's time that the frames of all clients may take, and how much of it may be saved up."""

MESSAGE_LENGTH_FACTOR = 4
MAX_FRAME_PARTS = 1_024
"""A message may be `MESSAGE_LENGTH_FACTOR` times as long as a frame, and may have `MAX_FRAME_PARTS` frames or parts of
frames as they arrive. To read a small frame takes 30 microseconds."""

MESSAGE_SECONDS, MESSAGE_BYTES_PER_SECOND = 30.0, 16_384
"""A client has `MESSAGE_SECONDS` from the first part of a message to its last, and one second more for each
`MESSAGE_BYTES_PER_SECOND`."""

KEPT_MESSAGE_BYTES = 16_384
"""Bytes up to which an unfinished message costs no client its connection, however much others send. The connection may have
a thousand subscriptions."""

HANDSHAKE_SECONDS = 30.0
CLOSE_SECONDS = 5.0

KERNEL_BUFFER_BYTES = 2**18
"""Bytes that the operating system may keep for a client that does not read."""

SEND_SECONDS, SEND_BYTES_PER_SECOND = 60.0, 50_000
"""A client has `SEND_SECONDS` to read a chunk, and one second more for each `SEND_BYTES_PER_SECOND`."""

INVALID_DATA_CODE, POLICY_CODE, TOO_BIG_CODE = 1007, 1008, 1009
NOT_A_WEBSOCKET = b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
    len(NO_HTTP),
    NO_HTTP,
)


class WebSocketService:
    """The objects that all connections of the port share. `gate` decides by the headers of the upgrade whether a client
    may connect. `runner` runs the methods of `dispatcher`. `login` answers HTTP requests. It is None if the port needs
    no tokens."""

    def __init__(
        self,
        settings: WebSocketSettings,
        gate: HostAndCorsFilter,
        dispatcher: Dispatcher,
        subscriptions: Subscriptions,
        runner: RequestRunner,
        login: LoginRoutes | None = None,
    ) -> None:
        self.settings = settings
        self.gate = gate
        self.dispatcher = dispatcher
        self.subscriptions = subscriptions
        self.runner = runner
        self.backlog = SendBacklog(PORT_LIMIT_BYTES)
        self.arriving = ArrivingBodies(MAX_PORT_REQUEST_BYTES, KEPT_MESSAGE_BYTES)
        self.share = TimeShare(FRAMES_SHARE, FRAMES_BURST_SECONDS)
        self._login = login

    async def handle_connection(self, stream: trio.abc.Stream, client: str) -> None:
        """Serve one client, whose address is `client`, from the upgrade to the close. A client that sends a POST gets
        answers over HTTP instead (`login`), if the port has logins. Returns when either side has ended the connection.
        trio's stream errors, also within an ExceptionGroup, if the connection breaks. The stream is not closed."""
        if self._login is not None and await _posts(stream):
            await HttpConnection(stream, self._login, MAX_LOGIN_BYTES, client=client).run()
        else:
            with self.arriving.track_body(client) as message:
                await _Conversation(stream, client, self, message).run()


def limit_send_buffer(stream: trio.SocketStream) -> None:
    """Let the system keep at most `KERNEL_BUFFER_BYTES` bytes on this socket for a client that does not read. No other
    bound counts these bytes."""
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)


async def _posts(stream: trio.abc.Stream) -> bool:
    """Return True if the first byte of the client is that of a POST. An upgrade is a GET."""
    with trio.move_on_after(HANDSHAKE_SECONDS):
        if isinstance(stream, PeekableStream):
            return await stream.peek() == b"P"
        # `MSG_PEEK` leaves the byte in the stream, because HTTP or WebSocket must read it afterwards.
        assert isinstance(stream, trio.SocketStream)
        return await stream.socket.recv(1, trio.socket.MSG_PEEK) == b"P"
    return False


class _Conversation:
    """One connection, from its upgrade to its close. One task reads and answers, another one sends. `arriving` counts the
    message that the client is sending: the connection ends if the port has too many bytes of such messages."""

    def __init__(self, stream: trio.abc.Stream, client: str, service: WebSocketService, arriving: ArrivingBody) -> None:
        self._stream = stream
        self._service = service
        self._socket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._scope = arriving.scope
        self._arriving = arriving
        self._outgoing = OutgoingQueue(service.backlog, self.cut)
        self._methods = SubscriptionMethods(service.subscriptions, self)
        self._authorization: str | None = None
        self._client = client
        self._message = bytearray()
        self._message_until = math.inf
        self._frame_size = 0
        self._pieces = 0

    async def run(self) -> None:
        upgraded = False
        with trio.move_on_after(HANDSHAKE_SECONDS):
            upgraded = await self._upgrade()
        if upgraded:
            await self._talk()

    # -- upgrade -----------------------------------------------------------------------------------------------------

    async def _upgrade(self) -> bool:
        """Answer the upgrade request. Returns False if the client sends no valid request, or if it is refused."""
        # wsproto keeps the head in memory until it is complete, so its lines are counted here.
        lines = 0
        while data := await self._stream.receive_some(READ_BYTES):
            lines += bytes(data).count(b"\n")
            if lines > MAX_HEAD_LINES:
                await self._refuse(NOT_A_WEBSOCKET)
                return False
            try:
                self._socket.receive_data(bytes(data))
                request = next(self._socket.events(), None)
            # wsproto decodes some fields of the head as ASCII, and `Host` as a name of the DNS, without a check of its own.
            except (RemoteProtocolError, UnicodeError):
                await self._refuse(NOT_A_WEBSOCKET)
                return False
            if isinstance(request, Request):
                return await self._answer_upgrade(request)
        return False

    async def _answer_upgrade(self, request: Request) -> bool:
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in request.extra_headers}
        refusal = self._service.gate.refusal({**headers, "host": request.host})
        if refusal is None:
            self._authorization = headers.get("authorization")
            # Besu agrees to this one subprotocol. Its name is what JavaScript makes of a missing value.
            protocol = "undefined" if "undefined" in request.subprotocols else None
            await self._stream.send_all(self._socket.send(AcceptConnection(subprotocol=protocol)))
            return True
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(refusal.body))]
        head = self._socket.send(RejectConnection(status_code=refusal.status, headers=fields, has_body=True))
        await self._refuse(head + self._socket.send(RejectData(data=refusal.body)))
        return False

    async def _refuse(self, response: bytes) -> None:
        # Without the linger a reset could overtake the response, and the client would never learn the reason.
        await self._stream.send_all(response)
        await self._linger()

    # -- talk --------------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_outgoing)
                    await self._listen()
                    # The close frame and the last replies are still in the queue. The sender must not be cancelled before
                    # they are sent.
                    with trio.move_on_after(CLOSE_SECONDS):
                        await self._outgoing.wait_until_empty()
                        await self._linger()
                    nursery.cancel_scope.cancel()
        finally:
            # Subscriptions end first, so that no notice comes into a queue that is closed.
            self._methods.close()
            self._outgoing.discard()

    async def _listen(self) -> None:
        """Handle what the client sends until the connection closes."""
        while True:
            try:
                for event in self._socket.events():
                    await self._take(event)
                    # One read may hold thousands of small frames. Without this wait they would hold the event loop.
                    self._service.share.spend(FRAME_SECONDS)
                    await trio.sleep(self._service.share.delay_seconds())
            except (RemoteProtocolError, LocalProtocolError) as error:
                self._close(INVALID_DATA_CODE, str(error))
            if self._socket.state is not ConnectionState.OPEN:
                return
            with trio.move_on_at(self._message_until) as patience:
                data = bytes(await self._stream.receive_some(READ_BYTES))
            if patience.cancelled_caught:
                self._close(POLICY_CODE, "The message took too long to arrive.")
                return
            # No byte means the end of the stream, which wsproto expects as None.
            self._socket.receive_data(data or None)

    async def _take(self, event: Event) -> None:
        match event:
            case TextMessage() | BytesMessage() if self._socket.state is ConnectionState.OPEN:
                data = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
                if self._fits(data, event.frame_finished):
                    self._add_part(data)
                    if event.message_finished:
                        await self._take_message()
            case Ping() if self._socket.state is ConnectionState.OPEN:
                self._outgoing.put(self._socket.send(event.response()))
                # A client that sends Pings and does not read would otherwise fill the queue.
                await self._outgoing.wait_until_empty()
            case CloseConnection() if self._socket.state is ConnectionState.REMOTE_CLOSING:
                self._outgoing.put(self._socket.send(event.response()))
            case CloseConnection():
                # wsproto found an error in the bytes and asks this side to close.
                self._close(event.code, event.reason or "")

    def _add_part(self, data: bytes) -> None:
        if not self._pieces:
            self._message_until = trio.current_time() + MESSAGE_SECONDS
        self._message_until += len(data) / MESSAGE_BYTES_PER_SECOND
        self._pieces += 1
        self._message += data
        self._service.arriving.add_bytes(self._arriving, len(data))

    async def _take_message(self) -> None:
        # The buffer is emptied before the answer, so that a large message is not in memory twice while its call runs.
        message, self._message, self._pieces = bytes(self._message), bytearray(), 0
        self._message_until = math.inf
        # A message that is complete counts until it is answered. It does not end its connection.
        self._arriving.is_complete = True
        await self._answer(message)
        self._arriving.is_complete = False
        self._service.arriving.add_bytes(self._arriving, -len(message))

    def _fits(self, data: bytes, frame_finished: bool) -> bool:
        """Return True if a part of a message is within the limits. Closes the connection if it is not."""
        # wsproto gives a frame in parts as they arrive, so the length of the frame is added up here.
        limit = self._service.settings.max_frame
        if self._pieces >= MAX_FRAME_PARTS:
            self._close(TOO_BIG_CODE, f"A message of more than {MAX_FRAME_PARTS} frames.")
            return False
        frame = self._frame_size + len(data)
        self._frame_size = 0 if frame_finished else frame
        if frame > limit:
            self._close(TOO_BIG_CODE, f"Max frame length of {limit} has been exceeded.")
            return False
        if len(self._message) + len(data) > limit * MESSAGE_LENGTH_FACTOR:
            self._close(TOO_BIG_CODE, f"Max message length of {limit * MESSAGE_LENGTH_FACTOR} has been exceeded.")
            return False
        return True

    async def _answer(self, message: bytes) -> None:
        # This is the reply if the time is over. A result of the runner replaces it.
        reply = orjson.dumps(error_reply(None, errors.timeout()))
        service = self._service
        until = time.monotonic() + service.settings.timeout
        with trio.move_on_after(service.settings.timeout):
            steps = service.dispatcher.answer_websocket(
                message, self._methods.handlers, until, self._authorization, self._client
            )
            reply = (await service.runner.run(message, steps, self._client)).body
        if reply and self._socket.state is ConnectionState.OPEN:
            self._outgoing.put(text_frame(reply))
        # The reply with the ids is in the queue now, so every notice comes after it.
        service.subscriptions.activate(self)
        # No further call is read before the client has read this reply, so the queue of replies has one entry at most.
        await self._outgoing.wait_until_empty()

    # -- sending -----------------------------------------------------------------------------------------------------

    def notify(self, notice: Notice) -> None:
        """See `notice.Listener`."""
        if self._socket.state is not ConnectionState.OPEN or self._scope.cancel_called:
            return
        if not self._outgoing.try_put(notice, text_frame):
            self.cut()

    def cut(self) -> None:
        """See `notice.Listener`."""
        self._scope.cancel()

    def _close(self, code: int, reason: str) -> None:
        if self._socket.state is ConnectionState.OPEN:
            self._outgoing.put(self._socket.send(CloseConnection(code=code, reason=reason[:100])))

    async def _send_outgoing(self) -> None:
        while True:
            chunk = await self._outgoing.next_chunk()
            with trio.move_on_after(SEND_SECONDS + len(chunk) / SEND_BYTES_PER_SECOND) as reading:
                await self._stream.send_all(chunk)
            # A part of a frame may have been sent, so the connection cannot go on.
            if reading.cancelled_caught:
                self.cut()
            self._outgoing.mark_sent()

    async def _linger(self) -> None:
        """Let the client read the last bytes of this side before the connection closes."""
        # A socket that is closed with unread input sends a reset, and the client's system may then drop our last bytes.
        with trio.move_on_after(CLOSE_SECONDS):
            if isinstance(self._stream, trio.SocketStream):  # TLS cannot be closed by half
                await self._stream.send_eof()
            while await self._stream.receive_some(READ_BYTES):
                pass


def text_frame(message: bytes) -> bytes:
    """Return a server's text message (UTF-8) as one frame without mask and extension (RFC 6455, section 5.2)."""
    # The frames of a notice are made when they are sent. They do not depend on the state of wsproto's connection.
    size = len(message)
    if size < 126:
        return b"\x81%c%b" % (size, message)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), message)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), message)
