"""Series: a name that stays the same for years, and a function that gives its values at each reading.

Nothing is counted here. To add a series, make one where its values are and give it to the node's `MetricsRegistry`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from lacnode.metrics.metrics_settings import MetricCategory


class MetricType(Enum):
    """The kind of a value: a counter only grows while the node runs, a gauge may fall as well. A summary has a count, a
    sum and quantiles."""

    COUNTER = "counter"
    GAUGE = "gauge"
    SUMMARY = "summary"


class MetricSample(NamedTuple):
    """One value, and the labels that distinguish it from others of its series. `suffix` follows the name: `_sum` and
    `_count` of a summary, else empty."""

    # A named tuple, because a scrape makes thousands of them, and a frozen dataclass takes three times as long to make.
    value: float
    labels: Mapping[str, str] = MappingProxyType({})
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """A series: its category, name and kind, the text that explains it, and the function that reads its values. `name`
    is the complete name, with the beginning of its category. `read` is called in a worker thread, once for each
    reading. It gives no samples if there is no value yet. Labels must have few values, since Prometheus keeps every one
    that it has seen."""

    category: MetricCategory
    name: str
    kind: MetricType
    text: str
    read: Callable[[], Iterable[MetricSample]]

    @property
    def short_name(self) -> str:
        """The name without the beginning of its category. The complete name if it does not begin so."""
        return self.name.removeprefix(self.category.value)


def gauge(category: MetricCategory, name: str, text: str, value: Callable[[], float]) -> MetricSeries:
    """Return a gauge with one value, which `value` returns at each reading. `text` explains it. `name` is without the
    beginning of the category."""
    return MetricSeries(category, category.value + name, MetricType.GAUGE, text, lambda: [MetricSample(value())])


def counter(category: MetricCategory, name: str, text: str, value: Callable[[], float]) -> MetricSeries:
    """Return a counter with one value, which `value` returns at each reading. `text` explains it. `name` is without the
    beginning of the category."""
    return MetricSeries(category, category.value + name, MetricType.COUNTER, text, lambda: [MetricSample(value())])


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A series with the samples that one reading gave."""

    series: MetricSeries
    samples: tuple[MetricSample, ...]


class MetricsRegistry:
    """The series of one node, of the `categories` that its operator wants. The others are left out."""

    def __init__(self, series: Iterable[MetricSeries], categories: Collection[MetricCategory]) -> None:
        self.series = tuple(one for one in series if one.category in categories)

    def read(self, names: Collection[str]) -> list[MetricFamily]:
        """Read every series, or only those with the complete names `names` if there are any. Return them with their
        values, in the order of the registry. Series without a value now are left out, and unknown names are ignored.
        The errors of a series pass through."""
        wanted = [series for series in self.series if not names or series.name in names]
        families = (MetricFamily(series, tuple(series.read())) for series in wanted)
        return [family for family in families if family.samples]
