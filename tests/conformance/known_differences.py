"""Failures of official tests that stay, each with its reason. Every other failure fails `make conformance`."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.conformance.results import StateTestResult


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """Tests whose `file` and `name` match these patterns (of `fnmatch`) may fail, because of `reason`."""

    file: str
    reason: str
    name: str = "*"

    def covers(self, result: StateTestResult) -> bool:
        return fnmatchcase(result.file, self.file) and fnmatchcase(result.name, self.name)


KNOWN_DIFFERENCES: Sequence[KnownDifference] = ()


def known_difference(result: StateTestResult) -> KnownDifference | None:
    """The known difference that `result` is an example of; None for a failure that must be looked at."""
    return next((known for known in KNOWN_DIFFERENCES if known.covers(result)), None)
