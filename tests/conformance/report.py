"""The page `docs/spec/conformance.md`: which official tests were run, and what came of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine_kind import EngineKind
from tests.conformance.execution import Verdict
from tests.conformance.fixtures import FORKS
from tests.conformance.known_differences import known_difference
from tests.conformance.results import StateTestResult

_COLUMNS = {fork: name for name, fork in FORKS.items()}

_INTRODUCTION = """\
# Conformance with official tests: {engine}

`make conformance SUITES=FOLDER{argument}` writes this page. It runs every state test in the folder (GeneralStateTests of
[ethereum/tests](https://github.com/ethereum/tests) and [ethereum/legacytests](https://github.com/ethereum/legacytests),
`state_tests` of [execution-spec-tests](https://github.com/ethereum/execution-spec-tests)) through {engine} as it executes
blocks, and compares the state root, the hash of the logs, and the reason for refusing a transaction.

A cell says how many tests passed; `passed/all` where not all did. A test may take {cpu_seconds:g} s of one core; beyond that
it is too slow, which says nothing of its result.
"""

_SAMPLE = "Of each directory at most {sample} files were run, evenly spread.\n"


_NAMES = {EngineKind.PYTHON: "py-evm", EngineKind.NATIVE: "the native engine"}


def report(results: Sequence[StateTestResult], kind: EngineKind, cpu_seconds: float, sample: int | None = None) -> str:
    """The page of one engine, the same for the same results in any order. `sample` is the most files that were taken of a
    directory, None for all."""
    argument = "" if kind is EngineKind.PYTHON else f" ENGINE={kind.value}"
    ordered = sorted(results, key=lambda result: (result.file, result.name))
    sections = [
        _INTRODUCTION.format(engine=_NAMES[kind], argument=argument, cpu_seconds=cpu_seconds),
        *([] if sample is None else [_SAMPLE.format(sample=sample)]),
        *_summary(ordered),
        *_failures(ordered),
        *_too_slow(ordered),
        *_directories(ordered),
    ]
    return "\n".join(sections)


def _summary(results: Sequence[StateTestResult]) -> Iterator[str]:
    yield "## Suites\n"
    yield "| Suite | Files | Passed | Failed | Too slow |\n|---|---|---|---|---|"
    suites = sorted({_suite(result) for result in results})
    for suite in suites:
        members = [result for result in results if _suite(result) == suite]
        counts = Counter(result.verdict for result in members)
        files = len({result.file for result in members})
        yield f"| {suite} | {files} | " + " | ".join(str(counts[verdict]) for verdict in Verdict) + " |"
    counts = Counter(result.verdict for result in results)
    yield (
        f"| all | {len({result.file for result in results})} | "
        + " | ".join(str(counts[verdict]) for verdict in Verdict)
        + " |\n"
    )


def _failures(results: Sequence[StateTestResult]) -> Iterator[str]:
    failed = [result for result in results if result.verdict is Verdict.FAILED]
    yield "## Failures\n"
    if not failed:
        yield "None.\n"
        return
    for result in failed:
        known = known_difference(result)
        reason = f"{known.reason} ({result.reason})" if known else f"**{result.reason}**"
        yield f"- `{result.file}` `{result.name}`: {reason}"
    yield ""


def _too_slow(results: Sequence[StateTestResult]) -> Iterator[str]:
    slow = Counter(result.file for result in results if result.verdict is Verdict.TOO_SLOW)
    yield "## Too slow\n"
    if not slow:
        yield "None.\n"
        return
    for file, count in sorted(slow.items()):
        yield f"- `{file}`: {count} test{'s' if count > 1 else ''}"
    yield ""


def _directories(results: Sequence[StateTestResult]) -> Iterator[str]:
    for suite in sorted({_suite(result) for result in results}):
        members = [r for r in results if _suite(r) == suite and r.fork_name]
        forks = sorted({FORKS[result.fork_name] for result in members})
        yield f"## {suite}\n"
        yield "| Directory | " + " | ".join(_COLUMNS[fork] for fork in forks) + " |\n|---" + "|---" * len(forks) + "|"
        for directory in sorted({result.directory for result in members}):
            rows = [result for result in members if result.directory == directory]
            shown = directory.removeprefix(suite).strip("/") or "."
            yield f"| {shown} | " + " | ".join(_cell(rows, fork) for fork in forks) + " |"
        yield ""


def _cell(results: Iterable[StateTestResult], fork: Fork) -> str:
    counts = Counter(result.verdict for result in results if FORKS[result.fork_name] is fork)
    total = sum(counts.values())
    if not total:
        return ""
    return str(total) if counts[Verdict.PASSED] == total else f"{counts[Verdict.PASSED]}/{total}"


def _suite(result: StateTestResult) -> str:
    """The first folder on the way to the file; the suites' own folder has no name."""
    return result.file.split("/")[0] if "/" in result.file else "."
