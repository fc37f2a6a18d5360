"""What nodes claim of their chains moves nothing: validators agree all the same, and others bring up who is behind."""

import random

import pytest

from tests.simulation.chain import Speeds
from tests.simulation.ledger import Rules
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import STEADY, must_reach
from tests.simulation.sync_liars import SYNC_LIARS

VALIDATORS, LIARS = 4, 4
RULES = Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000, has_transactions=True)


def network_with_liars(name: str) -> SimulatedNetwork:
    """Four validators, and as many nodes besides that lie."""
    size = VALIDATORS + LIARS
    liars = frozenset(range(VALIDATORS, size))
    network = SimulatedNetwork(
        size, random.Random(8), rules=RULES, weather=STEADY, validators=VALIDATORS, byzantine=liars
    )
    for index in liars:
        network.nodes[index].lies = SYNC_LIARS[name](network.nodes[index])
    return network


@pytest.mark.parametrize("name", sorted(SYNC_LIARS))
@simulated
async def test_blocks_come_at_their_time(name: str) -> None:
    """Nobody stops agreeing because a peer promises blocks."""
    network = network_with_liars(name)
    network.start()
    await must_reach(network, 60, 62_000)
    assert "round-expired" not in {topic for _, topic in network.notes}


@pytest.mark.parametrize("name", sorted(SYNC_LIARS))
@simulated
async def test_a_node_that_was_away_catches_up(name: str) -> None:
    """The liars are connected first, and claim more than the honest."""
    network = network_with_liars(name)
    network.start()
    await must_reach(network, 5, 10_000)
    network.stop([0])
    assert await network.run_until(lambda: network.nodes[1].height >= 60, 120_000)
    network.partition({0: 1, **dict.fromkeys(range(VALIDATORS, VALIDATORS + LIARS), 1)})
    network.start([0])
    await network.run_for(3_000)
    network.partition({})
    assert await network.run_until(lambda: network.nodes[0].height >= network.nodes[1].height - 1, 30_000)
    await must_reach(network, network.nodes[1].height + 3, 8_000)


@simulated
async def test_a_liar_is_not_asked_for_ever() -> None:
    """Its promises are cheap, so they must not cost the others anything as long as it makes them."""
    network = network_with_liars("inventor")
    asked: list[int] = []
    liar = network.nodes[VALIDATORS]
    lies = liar.lies
    assert lies is not None
    answer = lies.answer

    async def counted(request: object, server: object) -> object:
        asked.append(network.clock.now_ms)
        return await answer(request, server)  # type: ignore[arg-type]

    lies.answer = counted  # type: ignore[method-assign,assignment]
    network.start()
    await must_reach(network, 120, 125_000)
    late = [when for when in asked if when > asked[0] + 60_000]
    assert len(late) <= VALIDATORS + LIARS, f"{len(late)} questions in the second minute"


@simulated
async def test_one_source_is_enough() -> None:
    """Three of four validators are behind, and a crowd of liars stands around the one that has the chain."""
    network = network_with_liars("crawler")
    network.start()
    await must_reach(network, 3, 10_000)
    network.stop([0])
    assert await network.run_until(lambda: network.nodes[1].height >= 20, 60_000)
    network.stop([2, 3])
    network.start([0])
    for node in network.nodes[:VALIDATORS]:
        node.speeds = Speeds(import_ms=20)
    assert await network.run_until(lambda: network.nodes[0].height >= network.nodes[1].height, 30_000)
