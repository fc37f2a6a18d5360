"""The API of one node: its registries, its two ports, and what feeds filters and subscriptions."""

import importlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog
import trio

from lacnode.http.arriving import ArrivingBodies
from lacnode.http.backlog import Backlog
from lacnode.http.conversation import PORT_REQUEST_BYTES, PORT_RESPONSE_BYTES, HttpConversation
from lacnode.http.listening import Door, RpcPortTaken, bind, port_of
from lacnode.rpc.access import Gate
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.feeds import Feeds
from lacnode.rpc.filters import Filters
from lacnode.rpc.login import Login, LoginRoutes
from lacnode.rpc.methods import all_methods
from lacnode.rpc.private_filters import PrivateFilters
from lacnode.rpc.readers.threads import ReaderThreads
from lacnode.rpc.registry import Registry
from lacnode.rpc.reply_memory import ReplyMemory
from lacnode.rpc.requests import Readers, RequestRunner
from lacnode.rpc.routes import Routes
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import HttpSettings, WebSocketSettings
from lacnode.rpc.subscriptions import Subscriptions
from lacnode.rpc.trials import Trials
from lacnode.rpc.user import Authenticator
from lacnode.rpc.websocket import WebSocketService

__all__ = ["RpcPortTaken", "RpcServers"]

log = structlog.get_logger("rpc")

Listeners = Sequence[trio.SocketListener]


class RpcServers:
    """HTTP and WebSocket, each where it is switched on. `http_port` and `ws_port` are the real ones once it runs. `readers`
    answer calls that only read; without them, threads of this process do. `runner` and `trials` are for every other port
    that answers such calls.
    BadOrigin if a CORS origin cannot be used, CannotAuthenticate if a file about users or tokens cannot
    be."""

    def __init__(
        self,
        http: HttpSettings | None,
        websocket: WebSocketSettings | None,
        services: RpcServices,
        readers: Readers | None = None,
    ) -> None:
        self._http = http
        self._websocket = websocket
        self._services = services
        self._readers = readers or ReaderThreads(services.reading, services.settings.call_seconds)
        self.runner = RequestRunner(self._readers)
        self.trials = Trials()
        self._memory = ReplyMemory()
        filters, private_filters = Filters(), PrivateFilters()
        self._subscriptions = Subscriptions(services.chain)
        private = None if services.privacy is None else services.privacy.mode
        self._methods = (*all_methods(private=private), *filters.methods())
        if private is not None:
            self._methods += private_filters.methods()
        self._http_users, self._ws_users = _authenticator(http), _authenticator(websocket)
        self._http_gate = Gate(http.allowed_hosts, http.cors_origins) if http is not None else Gate((), ())
        self.subscriptions = Feeds(filters, self._subscriptions, private_filters)
        self.http_port: int | None = None
        self.ws_port: int | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when both ports are open. RpcPortTaken if one cannot be had."""
        self._services.token = trio.lowlevel.current_trio_token()
        self._services.endpoints = endpoints = {}
        doors: list[tuple[Door, Listeners]] = []
        async with AsyncExitStack() as stack:
            if self._http is not None:
                listeners = await _opened(self._http, stack)
                self.http_port = port_of(listeners)
                endpoints["jsonrpc"] = (self._http.host, self.http_port)
                doors.append((self._http_door(self._http), listeners))
            if self._websocket is not None:
                listeners = await _opened(self._websocket, stack)
                self.ws_port = port_of(listeners)
                endpoints["ws"] = (self._websocket.host, self.ws_port)
                doors.append((self._ws_door(self._websocket), listeners))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.subscriptions.run)
                nursery.start_soon(self._readers.run)
                for door, listeners in doors:
                    nursery.start_soon(door.serve, listeners)
                task_status.started()

    def _http_door(self, settings: HttpSettings) -> Door:
        users = self._http_users
        registry = Registry(self._methods, settings.groups)
        services = replace(self._services, groups=registry.groups)
        dispatcher = Dispatcher(
            registry,
            services,
            max_batch=settings.max_batch,
            pretty=settings.pretty,
            authenticator=users,
            trials=self.trials,
            memory=self._memory,
        )
        routes = Routes(self._http_gate, dispatcher, services, self.runner, settings.timeout, users)
        log.info(f"JSON-RPC service started and listening on {settings.host}:{self.http_port}")
        backlog, arriving = Backlog(PORT_RESPONSE_BYTES), ArrivingBodies(PORT_REQUEST_BYTES)
        return Door(
            "JSON-RPC",
            settings.max_connections,
            lambda stream: HttpConversation(stream, routes, settings.max_body, backlog, arriving).run(),
        )

    def _ws_door(self, settings: WebSocketSettings) -> Door:
        registry = Registry(self._methods, settings.groups)
        services = replace(self._services, groups=registry.groups)
        dispatcher = Dispatcher(
            registry, services, authenticator=self._ws_users, trials=self.trials, memory=self._memory
        )
        gate = Gate(settings.allowed_hosts, ("*",))
        login = None if self._ws_users is None else LoginRoutes(gate, Login(self._ws_users))
        service = WebSocketService(settings, gate, dispatcher, self._subscriptions, self.runner, login)
        log.info(f"Websocket service started and listening on {settings.host}:{self.ws_port}")
        return Door("WebSocket", settings.max_connections, service.converse)


def _authenticator(settings: HttpSettings | WebSocketSettings | None) -> Authenticator | None:
    """Loaded only where it is wanted: its libraries cost a start 50 ms."""
    if settings is None or settings.authentication is None:
        return None
    module = importlib.import_module("lacnode.rpc.authentication.authenticator")
    authenticator: Authenticator = module.TokenAuthenticator(settings.authentication)
    return authenticator


async def _opened(settings: HttpSettings | WebSocketSettings, stack: AsyncExitStack) -> Listeners:
    listeners = await bind(settings.host, settings.port)
    for listener in listeners:
        await stack.enter_async_context(listener)
    return listeners
