"""Run random scenarios on both engines: `python -m tests.differential --seeds 1000`.

`--first` names the first seed, `--fork` one fork alone. Without it the forks take turns. A line a minute says how far the
run is. A run that is stopped (SIGINT, SIGTERM) ends after its seed and says what it has compared. The exit status is 1 if
the engines say anything differently, and 2 if nothing differed until the run was stopped.
"""

import argparse
import os
import signal
import sys
import time
import traceback
import warnings
from collections import defaultdict

from lacnode.chainspec.forks import Fork
from tests.differential.comparison import Count, differences
from tests.differential.scenarios import FORKS, fork_of

MAX_DIFFERENCES = 10
"""A run ends with so many."""

PROGRESS_SECONDS = 60


class Run:
    """The seeds of one run, and what came of them until now."""

    def __init__(self, *, traces_too: bool) -> None:
        self.counts: defaultdict[Fork, Count] = defaultdict(Count)
        self.seeds = 0
        self.differences = 0
        self.is_stopped = False
        self._traces_too = traces_too
        self._began = self._shown = time.monotonic()

    def stop(self, *_: object) -> None:
        """End after the seed that is being run. A handler of signals."""
        self.is_stopped = True

    def run(self, seed: int, fork: Fork) -> None:
        """Compare the engines in one scenario, and print what differs."""
        try:
            found = differences(seed, fork, self.counts[fork], traces_too=self._traces_too)
        # One seed on which the comparison fails must not cost the others.
        except Exception:
            found = [f"seed {seed}, {fork.name}: the comparison fails\n{traceback.format_exc()}"]
        for difference in found:
            print(difference, flush=True)
        self.seeds += 1
        self.differences += len(found)
        if time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self._shown = time.monotonic()
            print(self._in_short(), flush=True)

    def summary(self) -> str:
        """What was compared, fork by fork."""
        lines = ["", f"{'fork':12}{'transactions':>14}{'refused':>10}{'blocks':>10}{'calls':>10}{'traces':>10}"]
        for fork, count in sorted(self.counts.items()):
            numbers = f"{count.transactions:14}{count.refused:10}{count.blocks:10}{count.calls:10}{count.traces:10}"
            lines.append(f"{fork.name:12}{numbers}")
        total = self._total()
        lines += [f"left to py-evm {times} times: {reason}" for reason, times in sorted(total.left.items())]
        if total.traces:
            lines.append(f"{total.recorded} of {total.traces} traces recorded natively")
        return "\n".join([*lines, f"stopped: {self._in_short()}" if self.is_stopped else self._in_short()])

    def _in_short(self) -> str:
        total, seconds = self._total(), time.monotonic() - self._began
        return (
            f"{self.seeds} seeds, {total.transactions} transactions executed on both engines, {total.refused} refused, "
            f"{total.blocks} blocks, {total.calls} calls, {seconds:.0f} s: {self.differences} differences"
        )

    def _total(self) -> Count:
        return sum(self.counts.values(), Count())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=int.from_bytes(os.urandom(4)), help="the first seed")
    parser.add_argument("--fork", choices=[fork.name for fork in FORKS], help="one fork alone")
    parser.add_argument("--without-traces", action="store_true", help="compare blocks and calls alone, which is faster")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # py-evm's, about SELFDESTRUCT
    run = Run(traces_too=not arguments.without_traces)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, run.stop)
    print(f"seeds {arguments.first} to {arguments.first + arguments.seeds - 1}", flush=True)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        run.run(seed, Fork[arguments.fork] if arguments.fork else fork_of(seed))
        if run.is_stopped or run.differences >= MAX_DIFFERENCES:
            break
    print(run.summary(), flush=True)
    return 1 if run.differences else 2 if run.is_stopped else 0


if __name__ == "__main__":
    sys.exit(main())
