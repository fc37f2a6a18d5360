"""The port of GraphQL. Paths, status codes and bodies are those of Besu's `GraphQLHttpService`."""

import importlib
from contextlib import AsyncExitStack

import orjson
import structlog
import trio

from lacnode.graphql.requests import GraphQlDispatcher
from lacnode.graphql.settings import GRAPHQL_TITLE, GraphQlSettings
from lacnode.http.arriving_bodies import ArrivingBodies
from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners
from lacnode.http.http_connection import MAX_PORT_REQUEST_BYTES, MAX_PORT_RESPONSE_BYTES, HttpConnection
from lacnode.http.http_messages import JSON, Header, Request, Response
from lacnode.http.send_backlog import SendBacklog
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.http_routes import PAGE_SECONDS, PAGES_BURST_SECONDS, PAGES_SHARE
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.rpc_tls import load_tls_handshakes, over_tls
from lacnode.rpc.services import RpcServices
from lacnode.rpc.short_read_trials import ShortReadTrials
from lacnode.rpc.time_share import TimeShare

log = structlog.get_logger("graphql")

MAX_CONNECTIONS = 80
MAX_BODY_BYTES = 2 * 2**20
"""Bytes of a request: the text and its variables. The longest transaction fits into them."""

PATH, SCHEMA_PATH = "/graphql", "/graphql/schema.graphql"


class GraphQlServer:
    """Answers GraphQL queries over HTTP.

    `runner` and `trials` are those of JSON-RPC, so that both ports have one share of the time. `port` is the bound port
    number once it runs, None before. InvalidCorsOriginError if a CORS origin cannot be used, RpcTlsError if a file of
    TLS cannot.
    """

    def __init__(
        self, settings: GraphQlSettings, services: RpcServices, runner: RequestRunner, trials: ShortReadTrials
    ) -> None:
        self._settings = settings
        self._tls = load_tls_handshakes(settings.tls, GRAPHQL_TITLE)
        self._routes = _GraphQlRoutes(settings, GraphQlDispatcher(services, trials), runner)
        self.port: int | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Reports as started when the port is open. PortUnavailableError if it cannot be opened."""
        # graphql-core is loaded in a thread now, so that the first query does not wait for it.
        await trio.to_thread.run_sync(importlib.import_module, "lacnode.graphql.answer")
        backlog, arriving = SendBacklog(MAX_PORT_RESPONSE_BYTES), ArrivingBodies(MAX_PORT_REQUEST_BYTES)
        async with AsyncExitStack() as stack:
            listeners = await open_listeners(self._settings.host, self._settings.port)
            for listener in listeners:
                await stack.enter_async_context(listener)
            self.port = bound_port(listeners)
            with_tls = "" if self._tls is None else " with TLS enabled."
            log.info(f"GraphQL HTTP service started and listening on {self._settings.host}:{self.port}{with_tls}")

            async def serve(stream: trio.abc.Stream, client: str) -> None:
                await HttpConnection(stream, self._routes, MAX_BODY_BYTES, backlog, arriving, client).run()

            server = ConnectionServer("GraphQL", MAX_CONNECTIONS, over_tls(self._tls, serve))
            task_status.started()
            await server.serve(listeners)


class _GraphQlRoutes:
    """Answers the requests of each path of the GraphQL port (`RequestHandler`) with `dispatcher`, whose steps `runner`
    runs. Knows no socket. InvalidCorsOriginError if a CORS origin of `settings` cannot be used."""

    def __init__(self, settings: GraphQlSettings, dispatcher: GraphQlDispatcher, runner: RequestRunner) -> None:
        self._gate = HostAndCorsFilter(settings.allowed_hosts, settings.cors_origins)
        self._timeout = settings.timeout
        self._dispatcher = dispatcher
        self._runner = runner
        self._share = TimeShare(PAGES_SHARE, PAGES_BURST_SECONDS)

    def answer_head(self, head: Request) -> Response | None:
        """Return the answer (status 403) to a request whose `Host` or `Origin` may not pass, or None if the body must
        be read."""
        refusal = self._gate.refusal(head.headers)
        if refusal is None:
            return None
        return Response(refusal.status, refusal.body, (JSON,) if refusal.body else (), close=True)

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request that `answer_head` did not answer: a query, or the text of the schema.
        Status 404 for an unknown path, 405 for another method than the path has, 504 after the timeout."""
        cors = self._gate.cors_headers(request.headers)
        path = request.target.partition("?")[0]
        if path == PATH and request.method in ("GET", "POST"):
            return await self._answer_query(request, cors)
        # GraphQL requests pay their share in the runner. All other requests pay here, so that a flood of them
        # does not stop consensus.
        self._share.spend(PAGE_SECONDS)
        await trio.sleep(self._share.delay_seconds())
        return await _page(request, path, cors)

    async def _answer_query(self, request: Request, cors: list[Header]) -> Response:
        steps = self._dispatcher.steps(request)
        if not request.is_plain:
            self._runner.charge_unusual_request()
        with trio.move_on_after(self._timeout):
            # The runner counts the bytes of a request, and the memory of its values while it waits for a reader.
            content = request.body if request.method == "POST" else request.target.encode("utf-8", "replace")
            reply = await self._runner.run(content, steps, request.client)
            retry = (("retry-after", str(reply.retry_after)),) if reply.retry_after else ()
            return Response(reply.status, reply.body, (JSON, *retry, *cors))
        return Response(504, orjson.dumps({"errors": [{"message": "Timeout expired"}]}), (JSON, *cors), close=True)


async def _page(request: Request, path: str, cors: list[Header]) -> Response:
    """Return the answer to a request that is no query."""
    if request.method == "OPTIONS" and {"origin", "access-control-request-method"} <= request.headers.keys():
        return Response(204, headers=(*cors, ("access-control-allow-headers", "*,content-type")))
    if path == "/" and request.method in ("GET", "POST"):
        return Response(308, headers=(("location", PATH), *cors))
    if path == SCHEMA_PATH and request.method == "GET":
        module = importlib.import_module("lacnode.graphql.schema")
        text = await trio.to_thread.run_sync(module.schema_text)
        return Response(200, text.encode(), (("content-type", "text/plain; charset=utf-8"), *cors))
    return Response(405 if path in ("/", PATH, SCHEMA_PATH) else 404, headers=tuple(cors))
