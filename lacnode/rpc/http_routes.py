"""The answers of each path of the HTTP port. Status codes and bodies are those of Besu's `JsonRpcHttpService`. Knows no
socket."""

import time

import orjson
import trio

from lacnode.http.http_messages import JSON, Header, Request, Response
from lacnode.rpc import errors
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.envelope import error_reply
from lacnode.rpc.health import LIVENESS, READINESS, health_response
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.login import Login
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.services import RpcServices
from lacnode.rpc.time_share import TimeShare
from lacnode.rpc.user import Authenticator

PAGE_SECONDS = 0.0003
"""Estimated time of the event loop for a request that is no call."""

PAGES_SHARE, PAGES_BURST_SECONDS = 0.1, 0.5
"""The share of one processor's time that such requests may take, and how much of it may be saved up."""


class HttpRoutes:
    """Answers the HTTP requests of the JSON-RPC port (`RequestHandler`). `gate` decides by `Host` and `Origin` whether
    a request may pass. `dispatcher` has the methods. `runner` runs them, each request for at most `timeout` seconds.
    `authenticator` is None if the port needs no tokens."""

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
        """A thread for the health paths alone. A load balancer must get its answer even if methods use all other threads."""

    def answer_head(self, head: Request) -> Response | None:
        """Return the answer (status 403) to a request whose `Host` or `Origin` may not pass, or None if the body must
        be read."""
        refusal = self._gate.refusal(head.headers)
        if refusal is not None:
            return Response(refusal.status, refusal.body, (JSON,) if refusal.body else (), close=True)
        return None

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request that `answer_head` did not answer: a call, `/login`, `/liveness` or
        `/readiness`. Status 404 for an unknown path, 405 for another method than the path has, 504 for a call after the
        timeout. A CORS preflight gets 204, and `GET /` gets 201, both without a body."""
        cors = self._gate.cors_headers(request.headers)
        path, _, query = request.target.partition("?")
        if path == "/" and request.method == "POST":
            return await self._call(request, cors)
        # Calls pay their share in the runner. Other requests pay here, so that a flood of them
        # does not stop consensus.
        self._share.spend(PAGE_SECONDS)
        await trio.sleep(self._share.delay_seconds())
        return await self._page(request, path, query, cors)

    async def _page(self, request: Request, path: str, query: str, cors: list[Header]) -> Response:
        """Return the answer to a request that is no call."""
        if request.method == "OPTIONS" and {"origin", "access-control-request-method"} <= request.headers.keys():
            return Response(204, headers=(*cors, ("access-control-allow-headers", "*,content-type")))
        if path in (LIVENESS, READINESS) and request.method == "GET":
            return await self._health(path, query, cors)
        if path == "/login" and request.method == "POST":
            return await self._login.answer(request, cors)
        if path not in ("/", LIVENESS, READINESS, "/login"):
            return Response(404, headers=tuple(cors))
        # Besu answers GET / with 201 and an empty body.
        if path == "/" and request.method == "GET":
            return Response(201, headers=tuple(cors))
        return Response(405, headers=tuple(cors))

    async def _health(self, path: str, query: str, cors: list[Header]) -> Response:
        room = self._services.privacy
        # The state of the groups is read from the database, so it is read in a thread.
        standing = None if room is None else await trio.to_thread.run_sync(room.statuses.health, limiter=self._looking)
        status, body = health_response(self._services, path, query, standing)
        return Response(status, body, (JSON, *cors))

    async def _call(self, request: Request, cors: list[Header]) -> Response:
        until, body = time.monotonic() + self._timeout, request.body
        authorization = request.headers.get("authorization")
        steps = self._dispatcher.answer_http(body, until, authorization, request.client)
        if not request.is_plain:
            self._runner.charge_unusual_request()
        reply = self._runner.answer_at_once(body, steps)
        if reply is None:
            with trio.move_on_after(self._timeout):
                reply = await self._runner.run(body, steps, request.client)
        if reply is not None:
            retry = (("retry-after", str(reply.retry_after)),) if reply.retry_after else ()
            return Response(reply.status, reply.body, (JSON, *retry, *cors))
        # The steps may still run in an abandoned thread. Its reply is dropped.
        late = orjson.dumps(error_reply(None, errors.timeout()))
        return Response(504, late, (JSON, *cors), close=True)
