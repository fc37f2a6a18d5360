"""The port that Prometheus reads: paths, codes and bodies as Besu's `MetricsHttpService` has them."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from urllib.parse import parse_qsl

import structlog
import trio

from lacnode.http.allowed_hosts import AllowedHosts
from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners
from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import HOST_REFUSED, JSON, Request, Response
from lacnode.metrics.metrics_settings import MetricsSettings
from lacnode.metrics.prometheus_text import encode_metrics
from lacnode.metrics.series import MetricSeries, MetricsRegistry

log = structlog.get_logger("metrics")

TEXT = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
MAX_CONNECTIONS = 20
MAX_REQUEST_BODY_BYTES = 4096
"""Bytes of the body of a request. No reader has anything to send."""


class MetricsEndpoint:
    """Serves `series` over HTTP to Prometheus. `port` is the bound port, None before it runs. `registry` has the series
    of the categories in `settings`."""

    def __init__(self, settings: MetricsSettings, series: Iterable[MetricSeries]) -> None:
        self._settings = settings
        self.registry = MetricsRegistry(series, settings.categories)
        self.port: int | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. The task is started when the port is open. PortUnavailableError if the port cannot be
        opened."""
        routes = _MetricsRoutes(self.registry, AllowedHosts(self._settings.allowed_hosts))
        async with AsyncExitStack() as stack:
            listeners = await open_listeners(self._settings.host, self._settings.port)
            for listener in listeners:
                await stack.enter_async_context(listener)
            self.port = bound_port(listeners)
            log.info(f"Metrics service started and listening on {self._settings.host}:{self.port}")
            task_status.started()
            door = ConnectionServer(
                "Metrics", MAX_CONNECTIONS, lambda stream: HttpConnection(stream, routes, MAX_REQUEST_BODY_BYTES).run()
            )
            await door.serve(listeners)


class _MetricsRoutes:
    """The responses of the metrics port to each path. Series are read in one thread at a time, so that many readers
    cost no more than one."""

    def __init__(self, registry: MetricsRegistry, hosts: AllowedHosts) -> None:
        self._registry = registry
        self._hosts = hosts
        self._reading = trio.CapacityLimiter(1)

    def answer_head(self, head: Request) -> Response | None:
        """Return the refusal (status 403) of a request whose `Host` is not allowed. None if the request is allowed."""
        return None if self._hosts.allows(head.headers) else Response(403, HOST_REFUSED, (JSON,), close=True)

    async def answer(self, request: Request) -> Response:
        """Return the response to a request that `answer_head` has allowed: the series for `GET /metrics`, 404 for
        another path, 405 for another method, 500 if a series cannot be read. `GET /` has 201, as in Besu."""
        path, _, query = request.target.partition("?")
        if path not in ("/", "/metrics"):
            return Response(404)
        if request.method != "GET":
            return Response(405)
        # Besu's service answers so.
        if path == "/":
            return Response(201)
        # Prometheus's own query parameter, by which a reader asks for some series only.
        names = {value for name, value in parse_qsl(query, keep_blank_values=True) if name == "name[]"}
        try:
            body = await trio.to_thread.run_sync(lambda: self._text(names), limiter=self._reading)
        # A series that cannot be read must not end the port: the other readers and the next reading may work.
        except Exception:
            log.exception("metrics could not be read")
            return Response(500)
        return Response(200, body, (TEXT,))

    def _text(self, names: set[str]) -> bytes:
        return encode_metrics(self._registry.read(names))
