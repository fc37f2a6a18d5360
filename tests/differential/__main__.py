"""Run random scenarios on both engines: `python -m tests.differential --seeds 1000`.

The exit status is 1 if the engines say anything differently. `--first` names the first seed, `--fork` one fork alone.
"""

import argparse
import os
import sys
import time
import warnings

from lacnode.chainspec.forks import Fork
from tests.differential.comparison import Count, differences

SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=int.from_bytes(os.urandom(4)), help="the first seed")
    parser.add_argument("--fork", choices=[fork.name for fork in Fork], help="one fork alone")
    parser.add_argument("--without-traces", action="store_true", help="compare blocks and calls alone, which is faster")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # py-evm's, about SELFDESTRUCT
    fork = Fork[arguments.fork] if arguments.fork else None
    print(f"seeds {arguments.first} to {arguments.first + arguments.seeds - 1}")
    count, found, began = Count(), 0, time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for difference in differences(seed, count, fork, traces_too=not arguments.without_traces):
            found += 1
            print(difference, flush=True)
        if found >= SHOWN:
            break
    print(
        f"{count.transactions} transactions in {count.blocks} blocks ({count.natively} of them natively) and "
        f"{count.calls} calls, {count.traces} traces ({count.recorded} natively) "
        f"in {time.monotonic() - began:.0f} s: {found} differences"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
