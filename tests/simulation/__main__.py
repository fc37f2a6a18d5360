"""Run many seeds on all cores, or replay one.

`python -m tests.simulation --seeds 2000 [--from 0]`, `python -m tests.simulation --seed 17`.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback

from tests.simulation.campaign import run_seed


def _try(seed: int) -> tuple[int, int, str | None]:
    """The seed, how many deliveries and timers it took, and how it failed if it did."""
    try:
        return seed, run_seed(seed).actions, None
    except Exception as error:
        return seed, 0, f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seed", type=int, help="replay this one")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(arguments.seed)
    return _many(range(arguments.first, arguments.first + arguments.seeds))


def _replay(seed: int) -> int:
    try:
        print(run_seed(seed))
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _many(seeds: range) -> int:
    started, done, failed, busiest = time.monotonic(), 0, 0, 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for seed, actions, failure in pool.imap_unordered(_try, seeds, chunksize=4):
            done, busiest = done + 1, max(busiest, actions)
            if failure is not None:
                failed += 1
                print(f"\rseed {seed} fails: {failure}\n  replay: .venv/bin/python -m tests.simulation --seed {seed}")
            if sys.stderr.isatty() and done % 20 == 0:
                print(f"\r{done}/{len(seeds)} seeds", end="", file=sys.stderr, flush=True)
    elapsed = time.monotonic() - started
    print(f"\r{done} seeds, {failed} failed, {done / elapsed:.1f} seeds/s, {busiest} steps in the busiest")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
