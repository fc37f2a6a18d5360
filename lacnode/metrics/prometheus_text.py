"""Prometheus's text format 0.0.4, as Besu 24.1.0 writes it: names stay as they are, a counter gets no `_total`.

A scrape of a busy node has some thousand lines, and this node must not spend its processor on them.
"""

import math
from collections.abc import Iterable
from functools import lru_cache

from lacnode.metrics.series import MetricFamily, MetricType

MAX_KEPT_TEXTS = 8192
"""Beginnings of lines that are kept from scrape to scrape. All methods of the API together have about 1,500."""

_IN_TEXT = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def encode_metrics(families: Iterable[MetricFamily]) -> bytes:
    """Return the families in Prometheus's text format 0.0.4, in UTF-8, one after the other. A family without values has
    its two comment lines alone."""
    return "".join(_written(family) for family in families).encode()


def _written(family: MetricFamily) -> str:
    name = family.series.name
    lines = [
        f"{_beginning(name, suffix, tuple(labels.items()))}{_number(value)}\n"
        for value, labels, suffix in family.samples
    ]
    return _head(name, family.series.text, family.series.kind) + "".join(lines)


@lru_cache(MAX_KEPT_TEXTS)
def _head(name: str, text: str, kind: MetricType) -> str:
    return f"# HELP {name} {text.translate(_IN_TEXT)}\n# TYPE {name} {kind.value}\n"


@lru_cache(MAX_KEPT_TEXTS)
def _beginning(name: str, suffix: str, labels: tuple[tuple[str, str], ...]) -> str:
    """Return a line up to its value."""
    if not labels:
        return f"{name}{suffix} "
    pairs = ",".join(f'{label}="{value.translate(_IN_LABEL)}"' for label, value in labels)
    return f"{name}{suffix}{{{pairs}}} "


def _number(value: float) -> str:
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
