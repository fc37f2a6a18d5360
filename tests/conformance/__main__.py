"""Run all official state tests in a folder on all cores, and write `docs/spec/conformance.md`, or
`docs/spec/conformance-native.md` for the native engine.

`python -m tests.conformance FOLDER`. The exit status is 0 if every test passed, was too slow, or failed for a reason that
`known_differences` lists; 1 if another test failed; 2 if not all files were run.
"""

import argparse
import math
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lacnode.evm.engine_kind import EngineKind
from tests.conformance.execution import Verdict
from tests.conformance.known_differences import known_difference
from tests.conformance.report import report
from tests.conformance.results import StateTestResult, read_results, run_file, write_results
from tests.support import engines

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
PAGES = {EngineKind.PYTHON: SPEC / "conformance.md", EngineKind.NATIVE: SPEC / "conformance-native.md"}
SECONDS_PER_TEST = 10.0
FILES_PER_WORKER = 200
"""Files after which a worker is replaced, so that what the caches of one test hold does not add up."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with suites, one folder each")
    parser.add_argument("--seconds", type=float, default=SECONDS_PER_TEST, help="seconds of one core for one test")
    parser.add_argument("--sample", type=int, help="take only so many files of each directory, evenly spread")
    parser.add_argument("--results", type=Path, help="keep results here, and go on from those that are here")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; go on with --results")
    parser.add_argument("--page", type=Path, help="where to write the report")
    parser.add_argument("--engine", choices=[kind.value for kind in PAGES], default=EngineKind.PYTHON.value)
    arguments = parser.parse_args()
    kind = EngineKind(arguments.engine)
    missing_library = engines.why_skipped(kind)
    if missing_library is not None:
        parser.error(f"no native engine: {missing_library}")
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder")
    files = _sample(sorted(_files(arguments.folder)), arguments.sample)
    if not files:
        parser.error(f"{arguments.folder} has no JSON files")
    done = dict(read_results(arguments.results)) if arguments.results else {}
    left = [file for file in files if file not in done]
    done.update(_run(arguments.folder, left, kind, arguments.seconds, arguments.results, arguments.minutes * 60))
    missing = len(files) - len(files & done.keys())
    if missing:
        print(f"{missing} of {len(files)} files are left; run again with the same --results to go on")
        return 2
    results = [result for file in files for result in done[file]]
    (arguments.page or PAGES[kind]).write_text(report(results, kind, arguments.seconds, arguments.sample))
    return _conclude(results)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}


def _sample(files: Sequence[str], per_directory: int | None) -> list[str]:
    """At most `per_directory` files of each directory, the same ones each time."""
    if per_directory is None:
        return list(files)
    directories: dict[str, list[str]] = {}
    for file in files:
        directories.setdefault(file.rpartition("/")[0], []).append(file)
    return [members[index] for members in directories.values() for index in _spread(len(members), per_directory)]


def _spread(count: int, wanted: int) -> list[int]:
    if count <= wanted:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def _run(
    folder: Path, files: Sequence[str], kind: EngineKind, cpu_seconds: float, kept: Path | None, seconds: float
) -> dict[str, list[StateTestResult]]:
    """The results of as many `files` as `seconds` allow, each written to `kept` as soon as it is there."""
    done: dict[str, list[StateTestResult]] = {}
    ends = time.monotonic() + seconds
    progress = _Progress(len(files))
    with (
        open(kept or os.devnull, "a") as out,
        multiprocessing.Pool(os.cpu_count(), _start_worker, (kind,), maxtasksperchild=FILES_PER_WORKER) as pool,
    ):
        for file, results in pool.imap_unordered(partial(_run_one, folder, cpu_seconds), files):
            done[file] = results
            write_results(out, file, results)
            progress.show(results)
            if time.monotonic() > ends:
                break
    progress.end()
    return done


def _start_worker(kind: EngineKind) -> None:
    engines.use(kind)
    warnings.simplefilter("ignore", DeprecationWarning)  # py-evm's, about SELFDESTRUCT


def _run_one(folder: Path, cpu_seconds: float, file: str) -> tuple[str, list[StateTestResult]]:
    return file, run_file(folder, file, cpu_seconds)


class _Progress:
    """One line on a terminal that is written over; nothing elsewhere."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._done = 0
        self._counts: Counter[Verdict] = Counter()

    def show(self, results: Sequence[StateTestResult]) -> None:
        self._done += 1
        self._counts.update(result.verdict for result in results)
        if sys.stderr.isatty():
            print(
                f"\r{self._done}/{self._files} files, {_counted(self._counts)}  ", end="", file=sys.stderr, flush=True
            )

    def end(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


def _conclude(results: Sequence[StateTestResult]) -> int:
    """Say how many tests passed, and which failures are not listed; the exit status."""
    failed = [result for result in results if result.verdict is Verdict.FAILED]
    unlisted = [result for result in failed if known_difference(result) is None]
    print(_counted(Counter(result.verdict for result in results)))
    for result in unlisted:
        print(f"{result.file} {result.name}: {result.reason}")
    if unlisted:
        print(f"{len(unlisted)} failures are not in known_differences.py")
    return 1 if unlisted else 0


def _counted(counts: Counter[Verdict]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)


if __name__ == "__main__":
    sys.exit(main())
