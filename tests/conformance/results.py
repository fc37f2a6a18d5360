"""What became of each test of a file, in a form that can be kept in a file and go on from there."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.conformance.execution import Verdict, run_state_test
from tests.conformance.fixtures import read_state_tests


@dataclass(frozen=True, slots=True, order=True)
class StateTestResult:
    """One test's end. `file` is relative to the folder of the suites."""

    file: str
    name: str
    fork_name: str
    verdict: Verdict
    reason: str

    @property
    def directory(self) -> str:
        return self.file.rpartition("/")[0]


def run_file(folder: Path, file: str, cpu_seconds: float) -> list[StateTestResult]:
    """Run all tests in `file`, each for at most `cpu_seconds`. A file that cannot be read is a failure of its own."""
    try:
        tests = read_state_tests(folder / file)
    except Exception as error:
        return [StateTestResult(file, "", "", Verdict.FAILED, f"not readable: {type(error).__name__}: {error}")]
    results = []
    for test in tests:
        outcome = run_state_test(test, cpu_seconds)
        results.append(StateTestResult(file, test.name, test.fork_name, outcome.verdict, outcome.reason))
    return results


def write_results(out: TextIO, file: str, results: list[StateTestResult]) -> None:
    """Append the results of `file` as one line of JSON."""
    rows = [[result.name, result.fork_name, result.verdict.name, result.reason] for result in results]
    out.write(json.dumps({"file": file, "results": rows}) + "\n")
    out.flush()


def read_results(path: Path) -> Iterator[tuple[str, list[StateTestResult]]]:
    """The files in what `write_results` wrote, with their results. A last line that was not finished is left out."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        file = record["file"]
        yield (
            file,
            [
                StateTestResult(file, name, fork_name, Verdict[verdict], reason)
                for name, fork_name, verdict, reason in record["results"]
            ],
        )
