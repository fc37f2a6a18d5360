"""The part of Prometheus' query language that the dashboard and the alert rules use, on texts that a node served.

`rate` and `increase` take the first and the last value in the window and do not extrapolate.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector

_TOKEN = re.compile(r'\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|("[^"]*")|(==|=~|<=|>=|[-+*/<>(){}\[\],=]))')
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.M)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else float("nan"),
}


@dataclass(frozen=True)
class Scrape:
    """What a node served at `time` (Unix seconds)."""

    time: float
    text: str

    def series(self) -> dict[str, Vector]:
        found: dict[str, Vector] = {"up": {frozenset(): float(bool(self.text))}}
        # Not by prometheus_client's parser, which adds `_total` to the names of counters.
        for name, labels, value in _SAMPLE.findall(self.text):
            found.setdefault(name, {})[frozenset(_LABEL.findall(labels))] = float(value)
        return found


def names_in(expression: str) -> set[str]:
    """The series that an expression asks for."""
    names: set[str] = set()

    def select(name: str, _matchers: list[tuple[str, str, str]], _window: float | None) -> Vector:
        names.add(name)
        return {}

    _Parser(expression, select, 0.0).whole()
    return names


def evaluate(expression: str, scrapes: list[Scrape], now: float) -> Vector:
    """The value of an expression at `now`, of scrapes in the order of their times."""
    read = [(scrape.time, scrape.series()) for scrape in scrapes]

    def select(name: str, matchers: list[tuple[str, str, str]], window: float | None) -> Vector:
        known = [(time, series.get(name, {})) for time, series in read if time <= now]
        if window is None:
            return {labels: value for labels, value in known[-1][1].items() if _fits(labels, matchers)}
        inside = [(time, vector) for time, vector in known if time >= now - window]
        return dict(_increases(inside, matchers))

    value = _Parser(expression, select, now).whole()
    return value if isinstance(value, dict) else {frozenset(): value}


def _fits(labels: Labels, matchers: list[tuple[str, str, str]]) -> bool:
    found = dict(labels)
    # The variable of a dashboard stands for any node.
    return all(text.startswith("$") or found.get(name, "") == text for name, _, text in matchers)


def _increases(
    inside: list[tuple[float, Vector]], matchers: list[tuple[str, str, str]]
) -> Iterator[tuple[Labels, float]]:
    for labels, last in inside[-1][1].items() if len(inside) > 1 else ():
        first = next((vector[labels] for _, vector in inside[:-1] if labels in vector), None)
        if first is not None and _fits(labels, matchers):
            yield labels, last - first


class _Parser:
    def __init__(
        self, text: str, select: Callable[[str, list[tuple[str, str, str]], float | None], Vector], now: float
    ) -> None:
        self._tokens = [next(filter(None, groups)) for groups in self._split(text)]
        self._select = select
        self._now = now
        self._window = 0.0

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, ...]]:
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            assert found is not None, f"{text[position:]!r} is not known here"
            yield found.groups()
            position = found.end()

    def whole(self) -> Value:
        value = self._both()
        assert not self._tokens, f"{self._tokens} is not known here"
        return value

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, *expected: str) -> str:
        token = self._tokens.pop(0)
        assert not expected or token in expected, f"{token!r} instead of {expected}"
        return token

    def _both(self) -> Value:
        value = self._compared()
        while self._next() == "and":
            self._take()
            other = self._compared()
            assert isinstance(value, dict)
            assert isinstance(other, dict)
            value = {labels: number for labels, number in value.items() if labels in other}
        return value

    def _compared(self) -> Value:
        value = self._sum()
        if self._next() not in _COMPARISONS:
            return value
        holds, other = _COMPARISONS[self._take()], self._sum()
        assert isinstance(value, dict), "a comparison of numbers"
        others = other if isinstance(other, dict) else dict.fromkeys(value, other)
        return {
            labels: number for labels, number in value.items() if labels in others and holds(number, others[labels])
        }

    def _sum(self) -> Value:
        return self._chain(self._product, "+-")

    def _product(self) -> Value:
        return self._chain(self._atom, "*/")

    def _chain(self, part: Callable[[], Value], operators: str) -> Value:
        value = part()
        while self._next() and self._next() in operators:
            compute, ignored = _ARITHMETIC[self._take()], self._ignored()
            value = _combined(value, part(), compute, ignored)
        return value

    def _ignored(self) -> set[str]:
        if self._next() != "ignoring":
            return set()
        self._take()
        self._take("(")
        name = self._take()
        self._take(")")
        return {name}

    def _atom(self) -> Value:
        token = self._take()
        if token[0].isdigit():
            return float(token)
        if token == "(":
            value = self._both()
            self._take(")")
            return value
        if self._next() != "(":
            return self._selected(token)
        self._take()
        if token == "time":
            self._take(")")
            return self._now
        assert token in ("rate", "irate", "increase"), token
        value = self._both()
        self._take(")")
        assert isinstance(value, dict)
        assert self._window, "a function of a range"
        seconds, self._window = (1.0 if token == "increase" else self._window), 0.0
        return {labels: number / seconds for labels, number in value.items()}

    def _selected(self, name: str) -> Vector:
        matchers: list[tuple[str, str, str]] = []
        if self._next() == "{":
            while self._take("{", ",", "}") != "}":
                matchers.append((self._take(), self._take("=", "=~"), self._take().strip('"')))
        if self._next() != "[":
            return self._select(name, matchers, None)
        self._take()
        self._window = float(self._take()) * _SECONDS[self._take()]
        self._take("]")
        return self._select(name, matchers, self._window)


def _combined(left: Value, right: Value, compute: Callable[[float, float], float], ignored: set[str]) -> Value:
    if not isinstance(left, dict):
        if not isinstance(right, dict):
            return compute(left, right)
        return {labels: compute(left, number) for labels, number in right.items()}
    if not isinstance(right, dict):
        return {labels: compute(number, right) for labels, number in left.items()}

    def matched(labels: Labels) -> Labels:
        return frozenset((name, text) for name, text in labels if name not in ignored)

    others = {matched(labels): number for labels, number in right.items()}
    return {
        matched(labels): compute(number, others[matched(labels)])
        for labels, number in left.items()
        if matched(labels) in others
    }
