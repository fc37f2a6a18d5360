"""OTLP's message with the metrics of a node (`ExportMetricsServiceRequest`), in the JSON encoding of the OTLP specification.

Scopes and names are Besu's (`OpenTelemetrySystem`): a scope for each category, and names without the beginning of the
category. The message is small and its format is stable, so it is written here. The packages of OpenTelemetry would bring
protobuf and a second HTTP client into every installation. Must not know the meaning of a series.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricFamily, MetricSample, MetricType

CUMULATIVE = 2
"""`AGGREGATION_TEMPORALITY_CUMULATIVE`: a counter is told as its value since `started_ns`."""

_QUANTILE = "quantile"


def encode_otlp(families: Iterable[MetricFamily], resource: Mapping[str, str], started_ns: int, now_ns: int) -> bytes:
    """Return OTLP's message (JSON in UTF-8) with `families` at `now_ns`. Counters began at `started_ns`. Both are Unix
    nanoseconds. `resource` has the attributes of this node."""
    times = {"startTimeUnixNano": str(started_ns), "timeUnixNano": str(now_ns)}
    by_category: dict[MetricCategory, list[dict[str, Any]]] = {}
    for family in families:
        by_category.setdefault(family.series.category, []).append(_metric(family, times))
    scopes = [{"scope": {"name": category.short_name}, "metrics": metrics} for category, metrics in by_category.items()]
    return orjson.dumps({"resourceMetrics": [{"resource": _attributes(resource), "scopeMetrics": scopes}]})


def read_refusal(answer: bytes) -> tuple[int, str]:
    """Return how many values the JSON `answer` of a collector refuses, and why in its words. They are 0 and empty text
    if it refuses none, or if the answer has another form: the status has said that it accepted the message. A warning
    without a refusal has 0 and a text. No error is raised."""
    try:
        document = orjson.loads(answer)
        told = document["partialSuccess"]
        # JSON has 64-bit numbers as texts, so both forms are read.
        return int(told.get("rejectedDataPoints", 0)), str(told.get("errorMessage", ""))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return 0, ""


def _metric(family: MetricFamily, times: Mapping[str, str]) -> dict[str, Any]:
    series = family.series
    metric: dict[str, Any] = {"name": series.short_name, "description": series.text}
    if series.kind is MetricType.SUMMARY:
        metric["summary"] = {"dataPoints": [*_summary_points(family.samples, times)]}
    elif series.kind is MetricType.COUNTER:
        points = [_point(sample, times) for sample in family.samples]
        metric["sum"] = {"dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": True}
    else:
        # A gauge has no beginning.
        now = {"timeUnixNano": times["timeUnixNano"]}
        metric["gauge"] = {"dataPoints": [_point(sample, now) for sample in family.samples]}
    return metric


def _point(sample: MetricSample, times: Mapping[str, str]) -> dict[str, Any]:
    return {**_attributes(sample.labels), **times, "asDouble": _number(sample.value)}


def _summary_points(samples: Sequence[MetricSample], times: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield one point for all samples that differ in their quantile and suffix alone."""
    points: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != _QUANTILE}
        point = points.setdefault(
            tuple(labels.items()), {**_attributes(labels), **times, "count": "0", "sum": 0.0, "quantileValues": []}
        )
        if sample.suffix == "_count":
            point["count"] = str(int(sample.value))
        elif sample.suffix == "_sum":
            point["sum"] = _number(sample.value)
        else:
            quantile = {"quantile": float(sample.labels[_QUANTILE]), "value": _number(sample.value)}
            point["quantileValues"].append(quantile)
    yield from points.values()


def _attributes(values: Mapping[str, str]) -> dict[str, Any]:
    return {"attributes": [{"key": name, "value": {"stringValue": value}} for name, value in values.items()]}


def _number(value: float) -> float | str:
    """Return the number as protobuf's JSON has it: JSON itself has no infinity."""
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
