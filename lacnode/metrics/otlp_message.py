"""OTLP's message with the metrics of a node (`ExportMetricsServiceRequest`), in protobuf.

Scopes and names are Besu's (`OpenTelemetrySystem`): a scope for each category, and names without the beginning of the
category. The message is small and its format is stable, so it is written here. The packages of OpenTelemetry would bring
protobuf, gRPC's own threads and a second HTTP client into every installation. Must not know the meaning of a series.

The numbers of the fields are those of `opentelemetry/proto/metrics/v1/metrics.proto`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.protobuf import (
    double_field,
    fixed64_field,
    message_field,
    number_field,
    read_fields,
    text_field,
)
from lacnode.metrics.series import MetricFamily, MetricSample, MetricType

CUMULATIVE = 2
"""`AGGREGATION_TEMPORALITY_CUMULATIVE`: a counter is told as its value since `started_ns`."""

_QUANTILE = "quantile"


def encode_otlp(families: Iterable[MetricFamily], resource: Mapping[str, str], started_ns: int, now_ns: int) -> bytes:
    """Return OTLP's message (protobuf) with `families` at `now_ns`. Counters began at `started_ns`. Both are Unix
    nanoseconds. `resource` has the attributes of this node."""
    since, now = fixed64_field(2, started_ns), fixed64_field(3, now_ns)
    by_category: dict[MetricCategory, list[bytes]] = {}
    for family in families:
        by_category.setdefault(family.series.category, []).append(message_field(2, _metric(family, since, now)))
    scopes = (
        message_field(2, message_field(1, text_field(1, category.short_name)) + b"".join(metrics))
        for category, metrics in by_category.items()
    )
    return message_field(1, message_field(1, _attributes(1, resource)) + b"".join(scopes))


def read_refusal(answer: bytes) -> tuple[int, str]:
    """Return how many values the `answer` of a collector (`ExportMetricsServiceResponse`) refuses, and why in its words.
    They are 0 and empty text if it refuses none, or if the answer has another form: the status has said that it
    accepted the message. A warning without a refusal has 0 and a text. No error is raised."""
    refused, reason = 0, ""
    try:
        for number, partial_success in read_fields(answer):
            if number != 1 or not isinstance(partial_success, bytes):
                continue
            for member, value in read_fields(partial_success):
                if member == 1 and isinstance(value, int):
                    refused = value
                elif member == 2 and isinstance(value, bytes):
                    reason = value.decode(errors="replace")
    except ValueError:
        return 0, ""
    # The field is signed: its upper half stands for numbers below 0.
    return refused if refused < 2**63 else 0, reason


def _metric(family: MetricFamily, since: bytes, now: bytes) -> bytes:
    series = family.series
    head = text_field(1, series.short_name) + text_field(2, series.text)
    if series.kind is MetricType.SUMMARY:
        return head + message_field(11, b"".join(_summary_points(family.samples, since + now)))
    if series.kind is MetricType.COUNTER:
        points = b"".join(_point(sample, since + now) for sample in family.samples)
        # The last field says that a counter only grows.
        return head + message_field(7, points + number_field(2, CUMULATIVE) + number_field(3, True))
    # A gauge has no beginning.
    return head + message_field(5, b"".join(_point(sample, now) for sample in family.samples))


def _point(sample: MetricSample, times: bytes) -> bytes:
    return message_field(1, times + double_field(4, sample.value) + _attributes(7, sample.labels))


def _summary_points(samples: Sequence[MetricSample], times: bytes) -> Iterator[bytes]:
    """Yield one point for all samples that differ in their quantile and suffix alone."""
    points: dict[tuple[tuple[str, str], ...], bytes] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != _QUANTILE}
        point = points.setdefault(tuple(labels.items()), times + _attributes(7, labels))
        points[tuple(labels.items())] = point + _part_of_summary(sample)
    for point in points.values():
        yield message_field(1, point)


def _part_of_summary(sample: MetricSample) -> bytes:
    """Return the field of a summary's point that a sample gives."""
    if sample.suffix == "_count":
        return fixed64_field(4, int(sample.value))
    if sample.suffix == "_sum":
        return double_field(5, sample.value)
    return message_field(6, double_field(1, float(sample.labels[_QUANTILE])) + double_field(2, sample.value))


def _attributes(number: int, values: Mapping[str, str]) -> bytes:
    return b"".join(
        message_field(number, text_field(1, name) + message_field(2, text_field(1, value)))
        for name, value in values.items()
    )
