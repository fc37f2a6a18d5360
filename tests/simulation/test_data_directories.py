"""Data directories that are old, incomplete, or on a disk that forgets: the validator contradicts nothing it ever said.

Contradictions are watched by `invariants`, which forgets nothing here: the validator that something happens to is honest.
"""

import random
from collections.abc import Callable

import pytest

from lacnode.consensus.bft.payloads import MessageKind
from tests.simulation.campaign import recovery_bound_ms
from tests.simulation.links import Weather
from tests.simulation.misfortunes import lose_log, restore
from tests.simulation.network import SimulatedNetwork
from tests.simulation.node import NodeDisk
from tests.simulation.play import play, simulated
from tests.simulation.stage import STEADY, all_prepared, every, keeping_back, must_reach, started

VICTIM = 1
START_OF_SIGNING_MS = 20_000
"""What a validator that lost something may wait before it signs again, while the network goes on without it."""


def others_reach(network: SimulatedNetwork, more: int) -> Callable[[], bool]:
    """Whether the others have so many blocks more than now."""
    others = [node for node in network.nodes if node.index != VICTIM]
    target = max(node.height for node in others) + more
    return lambda: min(node.height for node in others) >= target


def signs_again(network: SimulatedNetwork) -> Callable[[], bool]:
    """Whether the victim takes part in agreement."""
    address = network.addresses[VICTIM]

    def reached() -> bool:
        machine = network.nodes[0].machine
        return machine is not None and address in machine.status.prepared_by

    return reached


async def comes_back(change: Callable[[SimulatedNetwork, NodeDisk], None]) -> None:
    """The victim stops, `change` is done to its disk, of which a copy was made 20 blocks earlier, and it starts again."""
    network = started(4)
    await must_reach(network, 3, 20_000)
    network.stop([VICTIM])
    copy = network.nodes[VICTIM].disk.copy()
    network.start([VICTIM])
    await must_reach(network, 23, 60_000)
    network.stop([VICTIM])
    change(network, copy)
    assert await network.run_until(others_reach(network, 2), 20_000)
    network.start([VICTIM])
    assert await network.run_until(others_reach(network, 5), 30_000), "the others must not wait for it"
    assert await network.run_until(signs_again(network), START_OF_SIGNING_MS), "and it signs again by itself"
    await must_reach(network, network.nodes[0].height + 3, recovery_bound_ms(network))


def an_old_copy(network: SimulatedNetwork, copy: NodeDisk) -> None:
    restore(network, VICTIM, copy)


def a_lost_log(network: SimulatedNetwork, copy: NodeDisk) -> None:
    lose_log(network, VICTIM)


def an_old_log(network: SimulatedNetwork, copy: NodeDisk) -> None:
    network.nodes[VICTIM].disk.files = copy.files


def an_old_chain(network: SimulatedNetwork, copy: NodeDisk) -> None:
    network.nodes[VICTIM].disk.ledger = copy.ledger


@pytest.mark.parametrize("change", [an_old_copy, a_lost_log, an_old_log, an_old_chain])
def test_a_validator_comes_back_with(change: Callable[[SimulatedNetwork, NodeDisk], None]) -> None:
    play(comes_back, change)


@pytest.mark.parametrize("change", [a_lost_log, an_old_log])
@simulated
async def test_the_proof_of_a_commit_is_lost(change: Callable[[SimulatedNetwork, NodeDisk], None]) -> None:
    """All have prepared block 3 and say so in commits that get lost. One then forgets it: it must not say otherwise."""
    network = started(4)
    await must_reach(network, 1, 20_000)
    network.stop([VICTIM])
    copy = network.nodes[VICTIM].disk.copy()
    network.start([VICTIM])
    await must_reach(network, 2, 20_000)
    every(network, keeping_back(network, MessageKind.COMMIT, 3, 0))
    assert await network.run_until(all_prepared(network, 3), 10_000)
    network.stop([VICTIM])
    change(network, copy)
    network.start([VICTIM])
    await must_reach(network, 3, recovery_bound_ms(network))
    await must_reach(network, 8, recovery_bound_ms(network) + START_OF_SIGNING_MS)


class LosingPower(SimulatedNetwork):
    """One validator loses power at every `every`-th flush, before anything is flushed."""

    def __init__(self, seed: int, every: int) -> None:
        super().__init__(4, random.Random(seed), weather=Weather(min_delay_ms=1, max_delay_ms=30))
        self._every = every
        self._flushes = 0

    def strike(self, index: int, step: str) -> bool:
        if index != VICTIM or step != "flush":
            return False
        self._flushes += 1
        return self._flushes % self._every == 0


@pytest.mark.parametrize("every_flushes", [1, 2, 7, 11, 23])
@pytest.mark.parametrize("seed", range(3))
@simulated
async def test_writes_are_torn_again_and_again(seed: int, every_flushes: int) -> None:
    """What was not flushed is lost or torn; what was is there, and the log can be read."""
    network = LosingPower(seed, every_flushes)
    network.start()
    network.keep_restarting(500)
    assert await network.run_until(others_reach(network, 15), 90_000)


@simulated
async def test_a_disk_that_lies() -> None:
    """It says that it has flushed, and forgets when the power goes. Its validator counts as faulty; the others go on."""
    network = SimulatedNetwork(4, random.Random(3), weather=STEADY, byzantine=frozenset({VICTIM}))
    network.nodes[VICTIM].disk.files.forgets_flushes = True
    network.start()
    for _ in range(5):
        assert await network.run_until(others_reach(network, 3), recovery_bound_ms(network))
        network.stop([VICTIM])
        network.start([VICTIM])
