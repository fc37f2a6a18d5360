"""What each path of the HTTP port answers: status codes and bodies as Besu's `JsonRpcHttpService` gives them. Knows no
socket."""

import time

import orjson
import trio

from lacnode.http.http_messages import JSON, Header, Request, Response
from lacnode.rpc import errors
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.envelope import failure
from lacnode.rpc.health import LIVENESS, READINESS, health
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.login import Login
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.services import RpcServices
from lacnode.rpc.time_share import TimeShare
from lacnode.rpc.user import Authenticator

PAGE_SECONDS = 0.0003
"""About what the event loop does for a request that is no call."""

PAGES_SHARE, PAGES_BURST_SECONDS = 0.1, 0.5
"""What such requests may take of one processor's time, and how much of it may be saved up."""


class HttpRoutes:
    """Answers requests. `runner` runs the methods, for at most `timeout` seconds."""

    def __init__(
        self,
        gate: HostAndCorsFilter,
        dispatcher: Dispatcher,
        services: RpcServices,
        runner: RequestRunner,
        timeout: float,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._gate = gate
        self._dispatcher = dispatcher
        self._services = services
        self._runner = runner
        self._timeout = timeout
        self._login = Login(authenticator)
        self._share = TimeShare(PAGES_SHARE, PAGES_BURST_SECONDS)
        self._looking = trio.CapacityLimiter(1)
        """One thread for whoever asks how the node is, so that this waits for no method."""

    def answer_head(self, head: Request) -> Response | None:
        """The answer to a request whose body need not be read, None if it must be."""
        refusal = self._gate.refusal(head.headers)
        if refusal is not None:
            return Response(refusal.status, refusal.body, (JSON,) if refusal.body else (), close=True)
        return None

    async def answer(self, request: Request) -> Response:
        """The answer to a request that was not answered early."""
        cors = self._gate.cors_headers(request.headers)
        path, _, query = request.target.partition("?")
        if path == "/" and request.method == "POST":
            return await self._call(request, cors)
        self._share.spend(PAGE_SECONDS)
        await trio.sleep(self._share.delay_seconds())
        return await self._page(request, path, query, cors)

    async def _page(self, request: Request, path: str, query: str, cors: list[Header]) -> Response:
        """The answer to a request that is no call."""
        if request.method == "OPTIONS" and {"origin", "access-control-request-method"} <= request.headers.keys():
            return Response(204, headers=(*cors, ("access-control-allow-headers", "*,content-type")))
        if path in (LIVENESS, READINESS) and request.method == "GET":
            return await self._health(path, query, cors)
        if path == "/login" and request.method == "POST":
            return await self._login.answer(request, cors)
        if path not in ("/", LIVENESS, READINESS, "/login"):
            return Response(404, headers=tuple(cors))
        if path == "/" and request.method == "GET":
            return Response(201, headers=tuple(cors))
        return Response(405, headers=tuple(cors))

    async def _health(self, path: str, query: str, cors: list[Header]) -> Response:
        room = self._services.privacy
        standing = None if room is None else await trio.to_thread.run_sync(room.standing, limiter=self._looking)
        status, body = health(self._services, path, query, standing)
        return Response(status, body, (JSON, *cors))

    async def _call(self, request: Request, cors: list[Header]) -> Response:
        until, body = time.monotonic() + self._timeout, request.body
        authorization = request.headers.get("authorization")
        steps = self._dispatcher.http(body, until, authorization, request.client)
        with trio.move_on_after(self._timeout):
            reply = await self._runner.run(body, steps, request.client)
            retry = (("retry-after", str(reply.retry_after)),) if reply.retry_after else ()
            return Response(reply.status, reply.body, (JSON, *retry, *cors))
        late = orjson.dumps(failure(None, errors.timeout()))
        return Response(504, late, (JSON, *cors), close=True)
