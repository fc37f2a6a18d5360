"""The series of the RPC ports: times, errors, connections and subscriptions. Must not count anything itself."""

from collections.abc import Callable, Iterable, Iterator

from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType, gauge
from lacnode.rpc.call_statistics import QUANTILES, CallStatistics
from lacnode.rpc.server import RpcServers

_CATEGORY = MetricCategory.RPC
_QUANTILE_TEXTS = tuple(map(str, QUANTILES))


def rpc_series(rpc: RpcServers) -> Iterator[MetricSeries]:
    """Yield the series of the JSON-RPC ports under Besu's names: times, errors, connections and subscriptions."""
    statistics = rpc.statistics
    name = f"{_CATEGORY.value}request_time"
    yield MetricSeries(_CATEGORY, name, MetricType.SUMMARY, "Time of a call in seconds", lambda: _times(statistics))
    yield _counter("errors_count", "Calls that ended in an error", lambda: _errors(statistics))
    yield gauge(_CATEGORY, "active_http_connection_count", "Connections over HTTP", lambda: rpc.http_connections)
    yield gauge(_CATEGORY, "active_ws_connection_count", "Connections over WebSocket", lambda: rpc.ws_connections)
    yield _counter(
        "subscription_subscribe_total",
        "Subscriptions that began",
        lambda: [MetricSample(began, {"type": kind}) for kind, began, _ in rpc.subscription_totals],
    )
    yield _counter(
        "subscription_unsubscribe_total",
        "Subscriptions that ended",
        lambda: [MetricSample(ended, {"type": kind}) for kind, _, ended in rpc.subscription_totals],
    )


def _times(statistics: CallStatistics) -> Iterator[MetricSample]:
    for times in statistics.times():
        label = {"methodName": times.method}
        for quantile, seconds in zip(_QUANTILE_TEXTS, times.quantiles, strict=True):
            yield MetricSample(seconds, {"methodName": times.method, "quantile": quantile})
        yield MetricSample(times.count, label, "_count")
        yield MetricSample(times.total_seconds, label, "_sum")


def _errors(statistics: CallStatistics) -> Iterator[MetricSample]:
    for (method, error_type), count in statistics.errors().items():
        yield MetricSample(count, {"rpcMethod": method, "errorType": error_type})


def _counter(name: str, text: str, read: Callable[[], Iterable[MetricSample]]) -> MetricSeries:
    return MetricSeries(_CATEGORY, _CATEGORY.value + name, MetricType.COUNTER, text, read)
