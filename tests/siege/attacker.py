"""The process that sends: `python -m tests.siege.attacker NAME DATA_PATH`, until SIGTERM.

It gives way to the nodes, as an attacker on another machine would not take their processor time. Prints a line of JSON
when the first thing was sent, and what it has sent in all, and what it succeeded in, when it ends.
"""

import json
import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import structlog
import trio

from lacnode.devnet.manifest import Manifest, load_manifest
from tests.siege.attack import LoadAttack, Sent
from tests.siege.attacks import by_name

NICENESS = 15
FIRST_SECONDS = 5.0


async def attack(attack: LoadAttack, manifest: Manifest) -> Sent:
    """Carry the attack out until SIGTERM comes or the starter is gone."""
    sent = Sent()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        nursery.start_soon(_stop_when_orphaned, nursery.cancel_scope)
        nursery.start_soon(_tell_of_the_first, sent)
        nursery.start_soon(attack.carry_out, manifest, sent)
    return sent


async def _tell_of_the_first(sent: Sent) -> None:
    """A modified validator attacks by itself; there is nothing to wait for then."""
    with trio.move_on_after(FIRST_SECONDS):
        while not sent.counts:  # noqa: ASYNC110
            await trio.sleep(0.05)
    print(json.dumps(asdict(sent)), flush=True)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _stop_when_orphaned(scope: trio.CancelScope) -> None:
    starter = os.getppid()
    while os.getppid() == starter:  # noqa: ASYNC110
        await trio.sleep(1)
    scope.cancel()


def main(words: list[str]) -> int:
    name, path = words
    found, manifest = by_name(name), load_manifest(Path(path))
    assert isinstance(found, LoadAttack), f"{name} has no attacking process"
    assert manifest is not None, f"no devnet under {path}"
    os.nice(NICENESS)
    # Standard output has the lines of JSON alone, and some attackers run parts of a node that log.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sent = trio.run(attack, found, manifest)
    print(json.dumps(asdict(sent)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
