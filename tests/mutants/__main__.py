"""Apply every mutant in a copy of the tree and see that its tests notice.

`python -m tests.mutants [NAME ...]`. Exit status: 0 when every fault was caught, 1 when one survived or could not be tried,
3 when the run was cut short before that.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TypeVar

from tests.mutants.consensus_mutants import CONSENSUS
from tests.mutants.mutant import Mutant, StaleMutantError
from tests.mutants.node_mutants import NODE
from tests.mutants.permissioning_mutants import PERMISSIONING
from tests.mutants.privacy_mutants import PRIVACY
from tests.mutants.qbft_mutants import QBFT
from tests.mutants.stranger_mutants import STRANGERS
from tests.mutants.tree import ROOT, Tree, Verdict

MUTANTS = (*CONSENSUS, *QBFT, *NODE, *PERMISSIONING, *PRIVACY, *STRANGERS)
T = TypeVar("T")

MIN_LIMIT_SECONDS, LIMIT_FACTOR = 30.0, 5.0
"""With a fault, tests may take so many times as long as without; then they hang, which is noticed as well."""

ALL_CAUGHT, NOT_ALL_CAUGHT, CUT_SHORT = 0, 1, 3


class Interrupted(BaseException):
    """Somebody wants the run to end now."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants to try, all if none is named")
    parser.add_argument("--list", action="store_true", help="name the mutants and try none")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8), help="how many at once")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not arguments.names or mutant.name in arguments.names]
    if arguments.list or not chosen:
        print(*(f"{mutant.name}  ({mutant.file})" for mutant in MUTANTS), sep="\n")
        return ALL_CAUGHT if arguments.list else NOT_ALL_CAUGHT
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    return _try_all(chosen, arguments.processes)


def _try_all(mutants: Sequence[Mutant], processes: int) -> int:
    started = time.monotonic()
    stale = [name for name in map(_staleness, mutants) if name is not None]
    if stale:
        print(*stale, sep="\n")
        return NOT_ALL_CAUGHT
    verdicts: dict[str, Verdict] = {}
    limits: dict[tuple[str, ...], float] = {}
    try:
        with ExitStack() as stack:
            trees = [stack.enter_context(Tree()) for _ in range(min(processes, len(mutants)))]
            if not _tests_pass_without(trees, mutants, limits):
                return NOT_ALL_CAUGHT
            _try_in(trees, mutants, limits, verdicts)
    except Interrupted:
        print("cut short")
    return _summary(mutants, verdicts, time.monotonic() - started)


def _staleness(mutant: Mutant) -> str | None:
    try:
        mutant.check(ROOT)
    except StaleMutantError as stale:
        return f"{mutant.name}: {stale}"
    return None


def _tests_pass_without(trees: Sequence[Tree], mutants: Sequence[Mutant], limits: dict[tuple[str, ...], float]) -> bool:
    """A test that fails anyway would catch everything. `limits` takes how long each run may take with a fault."""
    commands = list(dict.fromkeys(mutant.tests for mutant in mutants))
    print(f"{len(mutants)} faults; first the {len(commands)} test runs that look for them, without a fault", flush=True)
    runs = _in_parallel(trees, commands, lambda tree, tests: tree.run(tests))
    for number, (tests, verdict, seconds, output) in enumerate(runs, 1):
        limits[tests] = max(MIN_LIMIT_SECONDS, LIMIT_FACTOR * seconds)
        if verdict is not Verdict.SURVIVED:
            print(f"these tests do not pass without a fault: {' '.join(tests)}\n{output}")
            return False
        print(f"  {number}/{len(commands)} {' '.join(tests)}", flush=True)
    return True


def _try_in(
    trees: Sequence[Tree],
    mutants: Sequence[Mutant],
    limits: dict[tuple[str, ...], float],
    verdicts: dict[str, Verdict],
) -> None:
    runs = _in_parallel(trees, mutants, lambda tree, mutant: tree.verdict(mutant, limits[mutant.tests]))
    for mutant, verdict, _, output in runs:
        verdicts[mutant.name] = verdict
        print(f"[{len(verdicts)}/{len(mutants)}] {mutant.name}: {verdict.value}", flush=True)
        if verdict is Verdict.BROKEN:
            print(output)


def _in_parallel(
    trees: Sequence[Tree], items: Sequence[T], run: Callable[[Tree, T], Verdict]
) -> Iterator[tuple[T, Verdict, float, str]]:
    """Each item with the verdict, the seconds and the output of its run in one of the trees, in the order in which they
    end."""
    free: SimpleQueue[Tree] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def attempt(item: T) -> tuple[T, Verdict, float, str]:
        tree = free.get()
        try:
            return item, run(tree, item), tree.seconds, tree.output
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        futures = [pool.submit(attempt, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for tree in trees:
                tree.stop()


def _summary(mutants: Sequence[Mutant], verdicts: dict[str, Verdict], seconds: float) -> int:
    caught = [name for name, verdict in verdicts.items() if verdict in (Verdict.CAUGHT, Verdict.HANGS)]
    print(f"{len(caught)} of {len(mutants)} caught, {len(mutants) - len(verdicts)} not tried, {seconds:.0f} s")
    for mutant in mutants:
        verdict = verdicts.get(mutant.name)
        if verdict in (Verdict.SURVIVED, Verdict.BROKEN):
            print(f"  {mutant.name}: {verdict.value} in {mutant.file}; tests: {' '.join(mutant.tests)}")
    if len(caught) < len(verdicts):
        return NOT_ALL_CAUGHT
    return ALL_CAUGHT if len(verdicts) == len(mutants) else CUT_SHORT


def _interrupt(number: int, frame: object) -> None:
    """Once: who ends the run may say so twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
