"""The API of one node: its registries, its two ports, and the feeds of filters and subscriptions."""

import importlib
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog
import trio

from lacnode.http.arriving_bodies import ArrivingBodies
from lacnode.http.connection_server import ConnectionServer, PortUnavailableError, bound_port, open_listeners
from lacnode.http.http_connection import MAX_PORT_REQUEST_BYTES, MAX_PORT_RESPONSE_BYTES, HttpConnection
from lacnode.http.send_backlog import SendBacklog
from lacnode.rpc.call_statistics import CallStatistics
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.filters import PollingFilters
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.http_routes import HttpRoutes
from lacnode.rpc.ipc_server import IpcServer
from lacnode.rpc.login import Login, LoginRoutes
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import MethodRegistry
from lacnode.rpc.private_filters import PrivateFilters
from lacnode.rpc.readers.reader_threads import ReaderThreads
from lacnode.rpc.reply_memory import ReplyMemory
from lacnode.rpc.request_runner import Readers, RequestRunner
from lacnode.rpc.rpc_tls import load_tls_handshakes, over_tls
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import HttpSettings, IpcSettings, WebSocketSettings
from lacnode.rpc.short_read_trials import ShortReadTrials
from lacnode.rpc.subscription_feeds import SubscriptionFeeds
from lacnode.rpc.subscriptions import Subscriptions
from lacnode.rpc.user import Authenticator
from lacnode.rpc.websocket import WebSocketService, limit_send_buffer

__all__ = ["PortUnavailableError", "RpcServers"]

log = structlog.get_logger("rpc")

Listeners = Sequence[trio.SocketListener]
HTTP_TITLE, WEBSOCKET_TITLE = "Ethereum JSON-RPC listener", "the WebSocket listener"


class RpcServers:
    """The HTTP port, the WebSocket port and the IPC socket. A port whose settings are None is off.

    `http_port` and `ws_port` are the bound port numbers once it runs, None before and for a port that is off. `readers`
    answer calls that only read. Threads of this process answer them if it is None. Other ports that answer such calls
    (GraphQL) must use the same `runner` and `trials`, so that all ports together stay within one share of the time.
    InvalidCorsOriginError if a CORS origin cannot be used. AuthenticationSetupError if a file about users or tokens
    cannot be used, RpcTlsError if one of TLS cannot.
    """

    def __init__(
        self,
        http: HttpSettings | None,
        websocket: WebSocketSettings | None,
        services: RpcServices,
        readers: Readers | None = None,
        ipc: IpcSettings | None = None,
    ) -> None:
        self._http = http
        self._ipc = ipc
        self._websocket = websocket
        self._services = services
        self._readers = readers or ReaderThreads(services.read_context, services.settings.call_seconds)
        self.runner = RequestRunner(self._readers)
        self.trials = ShortReadTrials()
        self._memory = ReplyMemory()
        self.statistics = CallStatistics()
        # Filters belong to the node, not to a port: a filter that was made by one port can be polled by the other.
        filters, private_filters = PollingFilters(), PrivateFilters()
        self._subscriptions = Subscriptions(services.chain)
        private = None if services.privacy is None else services.privacy.mode
        protocols = [name for _, name in services.chain.spec.protocols]
        self._methods = (*all_methods(private=private, protocols=protocols), *filters.methods())
        if private is not None:
            self._methods += private_filters.methods()
        # Users, origins and certificates are checked here, before any port opens: a faulty file must stop the start.
        self._http_users, self._ws_users = _authenticator(http), _authenticator(websocket)
        self._http_tls = load_tls_handshakes(None if http is None else http.tls, HTTP_TITLE)
        self._ws_tls = load_tls_handshakes(None if websocket is None else websocket.tls, WEBSOCKET_TITLE)
        self._http_filter, self._ws_filter = _host_and_cors_filter(http), _host_and_cors_filter(websocket)
        self.subscriptions = SubscriptionFeeds(filters, self._subscriptions, private_filters)
        self.http_port: int | None = None
        self.ws_port: int | None = None
        self._http_server: ConnectionServer | None = None
        self._ws_server: ConnectionServer | None = None

    @property
    def http_connections(self) -> int:
        """The number of open connections of the HTTP port now. 0 if the port is off or not open yet."""
        return 0 if self._http_server is None else self._http_server.connections

    @property
    def ws_connections(self) -> int:
        """The number of open connections of the WebSocket port now. 0 if the port is off or not open yet."""
        return 0 if self._ws_server is None else self._ws_server.connections

    @property
    def subscription_totals(self) -> list[tuple[str, int, int]]:
        """One entry for each kind of subscription: the kind, how many have begun since the start, and how many of them
        have ended. A kind of which none has ever begun is absent."""
        return self._subscriptions.count_totals()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Reports as started when all ports are open. PortUnavailableError if a port cannot be
        opened, for the IPC socket within an ExceptionGroup. No client was served then."""
        endpoints = self._services.node.endpoints
        doors: list[tuple[ConnectionServer, Listeners]] = []
        # Both ports are opened before either is served. If the second is taken, no client was served by the first.
        async with AsyncExitStack() as stack:
            if self._http is not None:
                listeners = await _opened(self._http, stack)
                self.http_port = bound_port(listeners)
                endpoints["jsonrpc"] = (self._http.host, self.http_port)
                self._http_server = self._http_door(self._http)
                doors.append((self._http_server, listeners))
            if self._websocket is not None:
                listeners = await _opened(self._websocket, stack)
                self.ws_port = bound_port(listeners)
                endpoints["ws"] = (self._websocket.host, self.ws_port)
                self._ws_server = self._ws_door(self._websocket)
                doors.append((self._ws_server, listeners))
            async with trio.open_nursery() as nursery:
                # The feeds run before the first client is served, so that no subscription misses an event.
                nursery.start_soon(self.subscriptions.run)
                nursery.start_soon(self._readers.run)
                if self._ipc is not None:
                    await nursery.start(self._ipc_server(self._ipc).run)
                for door, listeners in doors:
                    nursery.start_soon(door.serve, listeners)
                task_status.started()

    def _http_door(self, settings: HttpSettings) -> ConnectionServer:
        users = self._http_users
        registry = MethodRegistry(self._methods, settings.groups)
        services = self._services.for_port(registry.groups)
        dispatcher = Dispatcher(
            registry,
            services,
            max_batch=settings.max_batch,
            pretty=settings.pretty,
            authenticator=users,
            trials=self.trials,
            memory=self._memory,
            statistics=self.statistics,
        )
        routes = HttpRoutes(self._http_filter, dispatcher, services, self.runner, settings.timeout, users)
        with_tls = "" if self._http_tls is None else " with TLS enabled."
        log.info(f"JSON-RPC service started and listening on {settings.host}:{self.http_port}{with_tls}")
        backlog, arriving = SendBacklog(MAX_PORT_RESPONSE_BYTES), ArrivingBodies(MAX_PORT_REQUEST_BYTES)

        async def serve(stream: trio.abc.Stream, client: str) -> None:
            await HttpConnection(stream, routes, settings.max_body, backlog, arriving, client).run()

        return ConnectionServer("JSON-RPC", settings.max_connections, over_tls(self._http_tls, serve))

    def _ipc_server(self, settings: IpcSettings) -> IpcServer:
        registry = MethodRegistry(self._methods, settings.groups)
        services = self._services.for_port(registry.groups)
        dispatcher = Dispatcher(registry, services, trials=self.trials, memory=self._memory, statistics=self.statistics)
        return IpcServer(settings, dispatcher, self.runner)

    def _ws_door(self, settings: WebSocketSettings) -> ConnectionServer:
        registry = MethodRegistry(self._methods, settings.groups)
        services = self._services.for_port(registry.groups)
        dispatcher = Dispatcher(
            registry,
            services,
            authenticator=self._ws_users,
            trials=self.trials,
            memory=self._memory,
            statistics=self.statistics,
        )
        login = None if self._ws_users is None else LoginRoutes(self._ws_filter, Login(self._ws_users))
        service = WebSocketService(settings, self._ws_filter, dispatcher, self._subscriptions, self.runner, login)
        log.info(f"Websocket service started and listening on {settings.host}:{self.ws_port}")
        return ConnectionServer(
            "WebSocket", settings.max_connections, over_tls(self._ws_tls, service.handle_connection, limit_send_buffer)
        )


def _authenticator(settings: HttpSettings | WebSocketSettings | None) -> Authenticator | None:
    """Make the authenticator of a port, or None if it has none. AuthenticationSetupError if a file cannot be used."""
    # The module is loaded only if it is needed, because its libraries cost 50 ms of a start.
    if settings is None or settings.authentication is None:
        return None
    module = importlib.import_module("lacnode.rpc.authentication.authenticator")
    authenticator: Authenticator = module.TokenAuthenticator(settings.authentication)
    return authenticator


def _host_and_cors_filter(settings: HttpSettings | WebSocketSettings | None) -> HostAndCorsFilter:
    return (
        HostAndCorsFilter((), ())
        if settings is None
        else HostAndCorsFilter(settings.allowed_hosts, settings.cors_origins)
    )


async def _opened(settings: HttpSettings | WebSocketSettings, stack: AsyncExitStack) -> Listeners:
    listeners = await open_listeners(settings.host, settings.port)
    for listener in listeners:
        await stack.enter_async_context(listener)
    return listeners
