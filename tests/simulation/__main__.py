"""Run many seeds on all cores, or replay one.

`python -m tests.simulation --seeds 2000 [--from 0] [--protocol migration]`, `python -m tests.simulation --seed 17`. Exit
status: 0 when every seed held, 1 when one failed, 3 when the run was cut short and none had failed.
"""

import argparse
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from tests.simulation.campaign import run_seed
from tests.simulation.ledger import NETWORK_KINDS, default_protocol

TERMINAL_EVERY_SECONDS, FILE_EVERY_SECONDS = 0.5, 10.0
"""Between two signs of progress, on a terminal and elsewhere."""

HELD, FAILED, CUT_SHORT = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Result:
    """How one seed went: deliveries and timers, and the failure in words if there was one."""

    seed: int
    actions: int
    failure: str | None


class Interrupted(BaseException):
    """Somebody wants the run to end now."""


def _try(seed: int) -> Result:
    try:
        return Result(seed, run_seed(seed).actions, None)
    except Exception as error:
        return Result(seed, 0, f"{type(error).__name__}: {error}")


@dataclass(slots=True)
class Report:
    """What is known so far of a run of `total` seeds."""

    total: int
    done: int = 0
    busiest: int = 0
    failures: list[Result] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def take(self, result: Result) -> None:
        self.done += 1
        self.busiest = max(self.busiest, result.actions)
        if result.failure is not None:
            self.failures.append(result)
            self._line(f"seed {result.seed} fails: {result.failure}\n  replay: {_replay_command(result.seed)}")

    def show_progress(self) -> None:
        """Say now and then how far the run is."""
        on_terminal, now = sys.stderr.isatty(), time.monotonic()
        if now - self._said < (TERMINAL_EVERY_SECONDS if on_terminal else FILE_EVERY_SECONDS):
            return
        self._said = now
        left = (self.total - self.done) / self._per_second if self.done else 0.0
        text = f"{self.done}/{self.total} seeds, {len(self.failures)} failed, {left:.0f} s left"
        print(f"\r{text}    " if on_terminal else text, end="" if on_terminal else "\n", file=sys.stderr, flush=True)

    def summary(self) -> int:
        """Print the end of the run; the exit status."""
        cut = "" if self.done == self.total else f" of {self.total}, cut short"
        self._line(
            f"{self.done} seeds{cut}, {len(self.failures)} failed, {self._per_second:.1f} seeds/s, "
            f"{self.busiest} steps in the busiest"
        )
        for failure in self.failures:
            print(f"  seed {failure.seed}: {_replay_command(failure.seed)}")
        if self.failures:
            return FAILED
        return HELD if self.done == self.total else CUT_SHORT

    @property
    def _per_second(self) -> float:
        return self.done / (time.monotonic() - self._started)

    def _line(self, text: str) -> None:
        print(f"\r{text}" if sys.stderr.isatty() else text, flush=True)


def _replay_command(seed: int) -> str:
    return f"{os.path.relpath(sys.executable)} -m tests.simulation --protocol {default_protocol.get()} --seed {seed}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many seeds at once")
    parser.add_argument("--protocol", choices=NETWORK_KINDS, default=default_protocol.get(), help="the consensus")
    arguments = parser.parse_args()
    default_protocol.set(arguments.protocol)
    if arguments.seed is not None:
        return _replay(arguments.seed)
    return _many(range(arguments.first, arguments.first + arguments.seeds), arguments.processes)


def _replay(seed: int) -> int:
    try:
        print(run_seed(seed))
    except Exception:
        traceback.print_exc()
        return FAILED
    return HELD


def _many(seeds: range, processes: int) -> int:
    report = Report(len(seeds))
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    pool = ProcessPoolExecutor(processes, initializer=_prepare_worker, initargs=(default_protocol.get(),))
    try:
        for result in _results(pool, seeds, 4 * processes, report):
            report.take(result)
    except Interrupted:
        for process in list(pool._processes.values()):
            process.terminate()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return report.summary()


def _results(pool: ProcessPoolExecutor, seeds: range, at_once: int, report: Report) -> Iterator[Result]:
    """Results in the order in which they come; `at_once` seeds are handed out ahead."""
    left = iter(seeds)
    running: set[Future[Result]] = {pool.submit(_try, seed) for seed in islice(left, at_once)}
    while running:
        done, running = wait(running, timeout=TERMINAL_EVERY_SECONDS, return_when=FIRST_COMPLETED)
        running |= {pool.submit(_try, seed) for seed in islice(left, len(done))}
        for future in done:
            yield future.result()
        report.show_progress()


def _interrupt(number: int, frame: object) -> None:
    """Once: who ends the run may say so twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted


def _prepare_worker(protocol: str) -> None:
    """A terminal sends Ctrl-C to all processes; the first one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    default_protocol.set(protocol)
    gc.set_threshold(100_000, 20, 100)  # a tenth of the time went into looking for cycles


if __name__ == "__main__":
    sys.exit(main())
