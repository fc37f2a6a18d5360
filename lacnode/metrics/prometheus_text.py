"""Prometheus's text format 0.0.4, as Besu 24.1.0 writes it: names stay as they are, a counter gets no `_total`.

A scrape of a busy node has some thousand lines, and this node must not spend its processor on them.
"""

import math
from collections.abc import Iterable

from lacnode.metrics.series import MetricFamily, MetricSample

_IN_TEXT = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def encode_metrics(families: Iterable[MetricFamily]) -> bytes:
    """Return the families in the text format, one after the other."""
    return "".join(_written(family) for family in families).encode()


def _written(family: MetricFamily) -> str:
    series = family.series
    lines = [f"# HELP {series.name} {series.text.translate(_IN_TEXT)}", f"# TYPE {series.name} {series.kind.value}"]
    lines += [f"{series.name}{sample.suffix}{_labels(sample)} {_number(sample.value)}" for sample in family.samples]
    return "\n".join(lines) + "\n"


def _labels(sample: MetricSample) -> str:
    if not sample.labels:
        return ""
    pairs = (f'{name}="{value.translate(_IN_LABEL)}"' for name, value in sample.labels.items())
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
