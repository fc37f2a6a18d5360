"""The API of one node: its registries, its two ports, and what feeds filters and subscriptions."""

import errno
from collections.abc import Awaitable, Callable

import trio

from lacnode.chain.blockchain import NewHead
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.filters import Filters
from lacnode.rpc.http import HttpServer
from lacnode.rpc.methods import all_methods
from lacnode.rpc.registry import Registry
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import ApiSettings, HttpSettings, WebSocketSettings
from lacnode.rpc.subscriptions import Subscriptions
from lacnode.rpc.websocket import WebSocketServer
from lacnode.txpool.pooled import PooledTransaction

WORKERS = 16
"""Methods that run at once, over all connections."""

ACCEPT_PAUSE = 0.1


class RpcPortTaken(Exception):
    """A port of the API is in use by somebody else."""


class Feeds:
    """What happens in the node, told to filters and subscriptions. On the event loop."""

    def __init__(self, filters: Filters, subscriptions: Subscriptions) -> None:
        self._filters = filters
        self._subscriptions = subscriptions
        self.pending_dropped = subscriptions.pending_dropped
        self.sync_changed = subscriptions.sync_changed

    def block_added(self, new_head: NewHead) -> None:
        self._filters.block_added(new_head)
        self._subscriptions.block_added(new_head)

    def pending_added(self, pooled: PooledTransaction) -> None:
        self._filters.pending_added(pooled)
        self._subscriptions.pending_added(pooled)


class RpcServers:
    """HTTP and WebSocket, each where it is switched on. `http_port` and `ws_port` are the real ones once it runs."""

    def __init__(
        self,
        http: HttpSettings | None,
        websocket: WebSocketSettings | None,
        api: ApiSettings,
        services: RpcServices,
    ) -> None:
        self._http = http
        self._websocket = websocket
        self._services = services
        self._filters = Filters()
        self._subscriptions = Subscriptions(services.chain)
        self._methods = (*all_methods(), *self._filters.methods())
        self.subscriptions = Feeds(self._filters, self._subscriptions)
        self.http_port: int | None = None
        self.ws_port: int | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; RpcPortTaken if a port cannot be had."""
        services, limiter = self._services, trio.CapacityLimiter(WORKERS)
        services.token = trio.lowlevel.current_trio_token()
        services.endpoints = {}
        groups: set[str] = set()
        async with trio.open_nursery() as nursery:
            if self._http is not None:
                registry = Registry(self._methods, self._http.groups)
                dispatcher = Dispatcher(registry, services, max_batch=self._http.max_batch, pretty=self._http.pretty)
                server = HttpServer(self._http, dispatcher, self._ready, limiter)
                self.http_port = await nursery.start(_listen, self._http.host, self._http.port, server.serve)
                services.endpoints["jsonrpc"] = (self._http.host, self.http_port)
                groups.update(registry.groups)
            if self._websocket is not None:
                registry = Registry(self._methods, self._websocket.groups)
                ws_server = WebSocketServer(
                    self._websocket, Dispatcher(registry, services), self._subscriptions, limiter
                )
                self.ws_port = await nursery.start(_listen, self._websocket.host, self._websocket.port, ws_server.serve)
                services.endpoints["ws"] = (self._websocket.host, self.ws_port)
                groups.update(registry.groups)
            services.groups = tuple(sorted(groups))
            task_status.started()

    def _ready(self, parameters: dict[str, str]) -> bool:
        """Besu's readiness: enough peers, and not too far behind."""
        try:
            min_peers = int(parameters.get("minPeers", "1"))
            max_behind = int(parameters.get("maxBlocksBehind", "2"))
        except ValueError:
            return False
        network, status = self._services.network, self._services.sync_status()
        if network is not None and len(network.peers) < min_peers:
            return False
        return status is None or status.highest_block - status.current_block <= max_behind


async def _listen(
    host: str,
    port: int,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections for ever; started with the real port."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE or "in use" in str(error):
            text = f"Port(s) '[{port}]' already in use. Check for other processes using the port(s)."
        else:
            text = f"{host}:{port} cannot be listened on: {error}"
        raise RpcPortTaken(text) from None
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(_accept, listener, nursery, serve)
        task_status.started(int(listeners[0].socket.getsockname()[1]))


async def _accept(
    listener: trio.SocketListener, nursery: trio.Nursery, serve: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    while True:
        try:
            stream = await listener.accept()
        except OSError:
            await trio.sleep(ACCEPT_PAUSE)
            continue
        nursery.start_soon(serve, stream)
