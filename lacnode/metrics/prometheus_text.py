"""Prometheus's text format 0.0.4. It is loaded by name once metrics are on: the library costs a start 50 ms.

No module may import it. `endpoint` and `push` load it.
"""

from collections.abc import Iterable

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from lacnode.metrics.series import MetricFamily, MetricType


def written(families: Iterable[MetricFamily]) -> bytes:
    """Return the families in the text format, one after the other."""
    return b"".join(_written(family) for family in families)


def _written(family: MetricFamily) -> bytes:
    series = family.series
    metric = Metric(series.name, series.text, series.kind.value)
    for sample in family.samples:
        metric.add_sample(series.name, dict(sample.labels), sample.value)
    text = generate_latest(_One(metric))
    if series.kind is MetricType.COUNTER:
        # The library adds `_total` to the name of a counter in the lines about it. Besu 24.1.0 writes the name as it
        # is.
        text = text.replace(f" {series.name}_total ".encode(), f" {series.name} ".encode(), 2)
    return text


class _One:
    """A collector of one family."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
