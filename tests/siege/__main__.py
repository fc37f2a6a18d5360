"""`make siege`: every attack, measured. The status is 1 if one breaks its bound."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.siege.attack import Exercise, LoadAttack, Plan
from tests.siege.attacks import CHAPTERS, by_name
from tests.siege.network import running_network
from tests.siege.report import table
from tests.siege.siege import Result, Siege


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.list:
        print("\n".join(f"{attack.name:<24}{attack.about}" for attack in CHAPTERS[arguments.chapter]))
        return 0
    try:
        chosen = [by_name(name) for name in arguments.only] or list(CHAPTERS[arguments.chapter])
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    # The nodes take an option that their files leave out from the environment.
    os.environ["LACNODE_EVM"] = arguments.evm.upper()
    plan = Plan(arguments.seconds, arguments.kills, seed=arguments.seed)
    # The default action of SIGTERM would end this process and leave the nodes of its networks running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results: list[Result] = []
    is_whole = False
    try:
        _run(chosen, plan, arguments.block_period, results)
        is_whole = True
    except KeyboardInterrupt:
        _say(f"interrupted after {len(results)} of {len(chosen)} attacks")
    print(table(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", "utf-8")
    return 0 if is_whole and all(result.holds for result in results) else 1


def _run(
    chosen: Sequence[LoadAttack | Exercise], plan: Plan, block_period_seconds: float, results: list[Result]
) -> None:
    """Run the chosen attacks one after the other. Adds each result to `results` as soon as it is known."""
    with running_network(block_period_seconds, kind=chosen[0].kind) as network:
        siege = Siege(network, plan, _say)
        for attack in chosen:
            results.append(siege.run(attack))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.siege", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the attacks and stop")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this attack; may be repeated")
    parser.add_argument(
        "--chapter",
        choices=tuple(CHAPTERS),
        default="all",
        help="private: only attacks on managers, private groups and permissions (default all)",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long the calm and each attack last (default 60)"
    )
    parser.add_argument("--kills", type=int, default=200, help="how often nodes are killed (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="what the random choices begin with (default 1)")
    parser.add_argument("--block-period", type=float, default=1.0, metavar="SECONDS", help="(default 1)")
    parser.add_argument(
        "--evm", choices=("python", "native", "both"), default="python", help="the nodes' engine (default python)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    return parser


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
