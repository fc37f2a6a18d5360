"""What scenarios are set up with: a network that runs, messages that get lost, a height that must be reached."""

import random
from collections.abc import Callable

from lacnode.consensus.bft.payloads import MessageKind
from tests.simulation.campaign import Stalled, recovery_bound_ms
from tests.simulation.chain import Speeds
from tests.simulation.invariants import Broken
from tests.simulation.links import Weather
from tests.simulation.network import Interceptor, SimulatedNetwork

STEADY = Weather(min_delay_ms=5, max_delay_ms=5)


def started(size: int, speeds: Speeds | None = None, weather: Weather = STEADY) -> SimulatedNetwork:
    """A network of honest validators that run."""
    network = SimulatedNetwork(size, random.Random(size), weather=weather, speeds=lambda index: speeds or Speeds())
    network.start()
    return network


async def must_reach(network: SimulatedNetwork, height: int, within_ms: int) -> None:
    """Every honest node gets to `height` in time, or Stalled; and all have the same chain."""
    if not await network.run_until(lambda: network.height >= height, within_ms):
        states = [(node.height, node.machine and node.machine.status.round) for node in network.nodes]
        raise Stalled(f"no block {height} everywhere within {within_ms} ms: (head, round) {states}")
    chains = {tuple(map(n.disk.ledger.hash_at, range(1, height + 1))) for n in network.honest}
    assert len(chains) == 1


def every(network: SimulatedNetwork, interceptor: Interceptor | None) -> None:
    """Put `interceptor` on all nodes, or take it off."""
    for index in range(len(network.nodes)):
        if interceptor is None:
            network.interceptors.pop(index, None)
        else:
            network.interceptors[index] = interceptor


def keeping_back(network: SimulatedNetwork, kind: MessageKind, height: int, round_: int) -> Interceptor:
    """Lose every message of this kind."""

    def intercept(source: int, sent: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        id_, _ = network.wire.envelope(sent, data)
        return (network.wire.kind(sent), id_.sequence, id_.round) == (kind, height, round_)

    return intercept


def prepared_hash(network: SimulatedNetwork, index: int) -> bytes:
    """Of the block that node `index` is bound to."""
    prepared = network.nodes[index].prepared
    assert prepared is not None
    return network.rules.protocols.block_hash(prepared.block.header)


def all_prepared(network: SimulatedNetwork, height: int) -> Callable[[], bool]:
    """Whether every node is bound to a block at `height`."""

    def reached() -> bool:
        statuses = [node.machine.status for node in network.nodes if node.machine is not None]
        return all(status.height == height and status.locked_round is not None for status in statuses)

    return reached


async def all_restart(finisher: int | None) -> None:
    """All four die between prepare and commit of block 3; node `finisher` has imported it, and is the last to return."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    lose = keeping_back(network, MessageKind.COMMIT, 3, 0)

    def to_finisher(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if not lose(source, code, data, recipients):
            return False
        if finisher is not None:
            network.transmit(source, code, data, recipients & {network.addresses[finisher]})
        return True

    every(network, to_finisher)
    assert await network.run_until(all_prepared(network, 3), 10_000)
    (expected,) = {prepared_hash(network, index) for index in range(4)}
    if finisher is not None:
        assert await network.run_until(lambda: network.nodes[finisher].height == 3, 1_000)
    network.stop(range(4))
    await network.run_for(3_000)
    every(network, None)
    alive = [index for index in range(4) if index != finisher]
    network.start(alive)
    reached = await network.run_until(
        lambda: all(network.nodes[i].height >= 3 for i in alive), recovery_bound_ms(network)
    )
    if not reached:
        raise Stalled("those who came back do not agree on block 3")
    found = {network.nodes[i].disk.ledger.hash_at(3) for i in alive}
    if found != {expected}:
        raise Broken("a block that all had prepared gave way to another")
    network.start()
    await must_reach(network, 5, recovery_bound_ms(network))
