"""JSON-RPC over HTTP/1.1, on `h11` and trio streams.

Status codes and bodies are Besu's. Bodies are bounded while they arrive, requests in time, connections in number; methods
run in worker threads, so that the event loop stays free for consensus.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field

import h11
import orjson
import trio

from lacnode.rpc import errors
from lacnode.rpc.access import ANY, host_allowed, origin_allowed
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.settings import HttpSettings

READ_SIZE = 65_536
MAX_HEADERS = 32_768
REQUEST_SECONDS = 30.0
"""How long a request may take to arrive, from its first byte."""

IDLE_SECONDS = 300.0
GZIP_FROM = 1400
"""Bytes from which a reply is compressed for those who accept it."""

Header = tuple[str, str]
Health = Callable[[dict[str, str]], bool]
"""Whether the node is ready, given the query's parameters."""


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: list[Header] = field(default_factory=list)
    close: bool = False


class HttpServer:
    """Serves connections; `limiter` bounds the methods that run at once."""

    def __init__(
        self, settings: HttpSettings, dispatcher: Dispatcher, ready: Health, limiter: trio.CapacityLimiter
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._ready = ready
        self._limiter = limiter
        self._connections = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, request after request. Never raises for what the client does."""
        if self._connections >= self._settings.max_connections:
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
        while True:
            request = await self._next_request(connection, stream)
            if request is None:
                return
            response = await self._respond_in_time(connection, stream, request)
            await self._send(connection, stream, request, response)
            if response.close or connection.our_state is h11.MUST_CLOSE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _next_request(self, connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
        """The next request's head; None when the client has nothing more to say, or says it wrongly."""
        try:
            with trio.move_on_after(IDLE_SECONDS):
                first = await self._event(connection, stream, REQUEST_SECONDS)
                return first if isinstance(first, h11.Request) else None
        except h11.RemoteProtocolError as error:
            await self._send(connection, stream, None, Response(error.error_status_hint, close=True))
        return None

    async def _event(self, connection: h11.Connection, stream: trio.SocketStream, seconds: float) -> object:
        """The next event; the deadline runs from the first byte on."""
        event = connection.next_event()
        if event is h11.NEED_DATA and connection.trailing_data[0] == b"":
            connection.receive_data(await stream.receive_some(READ_SIZE))
            event = connection.next_event()
        with trio.move_on_after(seconds):
            while event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(READ_SIZE))
                event = connection.next_event()
            return event
        raise h11.RemoteProtocolError("the request took too long to arrive", error_status_hint=408)

    async def _respond_in_time(
        self, connection: h11.Connection, stream: trio.SocketStream, request: h11.Request
    ) -> Response:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers}
        try:
            body = await self._body(connection, stream, headers)
        except h11.RemoteProtocolError as error:
            return Response(error.error_status_hint, close=True)
        if body is None:
            return Response(413, close=True)
        with trio.move_on_after(self._settings.timeout):
            return await self._respond(request, headers, body)
        reply = {"jsonrpc": "2.0", "id": None, "error": {"code": errors.INTERNAL_ERROR, "message": "Timeout expired"}}
        return Response(504, orjson.dumps(reply), [_JSON], close=True)

    async def _body(
        self, connection: h11.Connection, stream: trio.SocketStream, headers: dict[str, str]
    ) -> bytes | None:
        """The request's body, None if it is too large: then the rest is not read."""
        limit = self._settings.max_body
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            return None
        if connection.they_are_waiting_for_100_continue:
            go_on = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
            await stream.send_all(go_on or b"")
        parts: list[bytes] = []
        size = 0
        while True:
            event = await self._event(connection, stream, REQUEST_SECONDS)
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(event.data)
                if size > limit:
                    return None
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            else:
                raise h11.RemoteProtocolError("the request broke off")

    # -- answering -----------------------------------------------------------------------------------------------

    async def _respond(self, request: h11.Request, headers: dict[str, str], body: bytes) -> Response:
        method, target = request.method.decode("ascii"), request.target.decode("latin-1")
        cors = self._cors(headers)
        if method == "OPTIONS" and "access-control-request-method" in headers:
            return Response(204 if cors else 403, headers=cors)
        if not host_allowed(self._settings.allowed_hosts, headers.get("host")):
            return Response(403, b'{"message":"Host not authorized."}', [_JSON])
        path, _, query = target.partition("?")
        if path in ("/liveness", "/readiness"):
            return self._health(method, path, query, cors)
        if path != "/":
            return Response(404, headers=cors)
        if method == "GET":
            return Response(201, headers=cors)
        if method != "POST":
            return Response(405, headers=cors)
        reply = await trio.to_thread.run_sync(
            self._dispatcher.http, body, limiter=self._limiter, abandon_on_cancel=True
        )
        return Response(400 if reply.bad_request else 200, reply.body, [_JSON, *cors])

    def _health(self, method: str, path: str, query: str, cors: list[Header]) -> Response:
        if method != "GET":
            return Response(405, headers=cors)
        parameters = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        up = path == "/liveness" or self._ready(parameters)
        body = b'{\n  "status" : "%s"\n}' % (b"UP" if up else b"DOWN")
        return Response(200 if up else 503, body, [_JSON, *cors])

    def _cors(self, headers: dict[str, str]) -> list[Header]:
        origin = headers.get("origin")
        if origin is None or not origin_allowed(self._settings.cors_origins, origin):
            return []
        everybody = bool(ANY.intersection(self._settings.cors_origins))
        shown = [("access-control-allow-origin", "*" if everybody else origin)]
        if "access-control-request-method" in headers:
            shown += [("access-control-allow-methods", "GET,POST"), ("access-control-allow-headers", "*,content-type")]
        return shown

    async def _send(
        self, connection: h11.Connection, stream: trio.SocketStream, request: h11.Request | None, response: Response
    ) -> None:
        body, headers = response.body, list(response.headers)
        if len(body) >= GZIP_FROM and request is not None and _accepts_gzip(request):
            body = await trio.to_thread.run_sync(gzip.compress, body, 1)
            headers.append(("content-encoding", "gzip"))
        headers.append(("content-length", str(len(body))))
        if response.close:
            headers.append(("connection", "close"))
        sent = connection.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if request is not None and request.method == b"HEAD":
            body = b""
        sent += connection.send(h11.Data(data=body)) or b""
        sent += connection.send(h11.EndOfMessage()) or b""
        with trio.fail_after(REQUEST_SECONDS + len(sent) / 100_000):
            await stream.send_all(sent)


_JSON: Header = ("content-type", "application/json")


def _accepts_gzip(request: h11.Request) -> bool:
    return any(name.lower() == b"accept-encoding" and b"gzip" in value for name, value in request.headers)
