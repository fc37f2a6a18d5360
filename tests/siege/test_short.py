"""A short form of `make siege`: the chain goes on while it is attacked, and exercises lose nothing.

Nothing here asserts a speed. What these attacks did before their fixes was to stop the chain for minutes.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.siege.attack import Exercise, LoadAttack, Plan
from tests.siege.attacks import ATTACKS, by_name
from tests.siege.network import SiegeNetwork, running_network
from tests.siege.siege import attacking
from tests.siege.watch import Watch

BLOCKS = 4
"""That must come while an attack lasts."""

DEADLINE_SECONDS = 60.0
PLAN = Plan(kills=4, stale_blocks=6, chain_blocks=10)

pytestmark = pytest.mark.xdist_group("siege")

LOAD_ATTACKS = [attack.name for attack in ATTACKS if isinstance(attack, LoadAttack)]
EXERCISES = [attack.name for attack in ATTACKS if isinstance(attack, Exercise)]


@pytest.fixture(scope="module")
def network() -> Iterator[SiegeNetwork]:
    with running_network() as running:
        yield running


@pytest.mark.parametrize("name", LOAD_ATTACKS)
def test_blocks_come_under_attack(network: SiegeNetwork, name: str) -> None:
    attack = by_name(name)
    assert isinstance(attack, LoadAttack)
    if attack.modified:
        network.renew(attack.modified)
    facts: list[str] = []
    with Watch(network.manifest) as watch, attacking(attack, network, facts) as has_begun:
        wait_until(has_begun, f"{name} has begun")
        begin = watch.head
        wait_until(lambda: watch.head >= begin + BLOCKS, f"{BLOCKS} blocks during {name}")
    if attack.modified or not network.is_healthy(DEADLINE_SECONDS):
        network.renew()


@pytest.mark.parametrize("name", EXERCISES)
def test_exercises_find_no_fault(network: SiegeNetwork, name: str) -> None:
    exercise = by_name(name)
    assert isinstance(exercise, Exercise)
    try:
        findings = exercise.carry_out(network, PLAN)
    finally:
        if exercise.breaks_nodes:
            network.renew()
    assert findings.faults == []


def wait_until(reached: Callable[[], bool], what: str) -> None:
    """Return once `reached()`; fail with `what` at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(0.1)
