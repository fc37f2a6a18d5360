"""A short form of `make siege`: the chain goes on while it is attacked.

Nothing here asserts a speed. What these attacks did before their fixes was to stop the chain for minutes.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.siege.attack import Findings, LoadAttack
from tests.siege.attacks import by_name
from tests.siege.network import SiegeNetwork, running_network
from tests.siege.siege import attacking
from tests.siege.watch import Watch

BLOCKS = 3
"""That must come while an attack lasts."""

DEADLINE_SECONDS = 120.0
"""On a machine that runs other tests at the same time."""

pytestmark = pytest.mark.xdist_group("siege")

LOAD_ATTACKS = (
    "heavy-kinds",
    "heavy-stream",
    "sync-hostages-changing",
    "consensus-noise",
    "rpc-endless-calls",
)
"""One of each kind; `make siege` has all."""


@pytest.fixture(scope="module")
def network() -> Iterator[SiegeNetwork]:
    with running_network() as running:
        yield running


@pytest.mark.parametrize("name", LOAD_ATTACKS)
def test_blocks_come_under_attack(network: SiegeNetwork, name: str) -> None:
    attack = by_name(name)
    assert isinstance(attack, LoadAttack)
    findings = Findings()
    with Watch(network.manifest) as watch, attacking(attack, network, findings) as has_begun:
        wait_until(has_begun, f"{name} has begun")
        begin = watch.head
        wait_until(lambda: watch.head >= begin + BLOCKS, f"{BLOCKS} blocks during {name}")


def wait_until(reached: Callable[[], bool], what: str) -> None:
    """Return once `reached()`; fail with `what` at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(0.1)
