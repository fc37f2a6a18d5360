"""One seed, one life of a network: trouble for a while, then peace, then a block within a stated bound.

Everything is drawn from the seed: size, weather, clocks, speeds, crashes, partitions, restarts, liars, lost data. Safety is
watched all the time; liveness is asked for once the trouble is over.
"""

import random
from dataclasses import dataclass

from lacnode.consensus.bft.round_timers import MAX_DOUBLINGS
from tests.simulation.byzantine import BEHAVIOURS, CROSSING
from tests.simulation.chain import Speeds
from tests.simulation.ledger import MIGRATION, Rules, agreeing_by, default_protocol
from tests.simulation.links import Weather
from tests.simulation.misfortunes import MISFORTUNES
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import play
from tests.simulation.sync_liars import SYNC_LIARS

TROUBLE_MS = 25_000
"""Virtual milliseconds of trouble."""

FAULTS = (*sorted(BEHAVIOURS), *sorted(MISFORTUNES), *sorted(SYNC_LIARS))
"""What may be wrong with one of the f validators that a network can bear."""


FAULTS_OF_MIGRATIONS = (*FAULTS, *4 * sorted(CROSSING))
"""The same for a network that changes its protocol. One liar in five speaks both protocols at once."""


class Stalled(AssertionError):
    """No block within the bound after the network healed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed ended: validators, what is wrong with some, blocks before healing and at the end, how long the next block
    took and might have taken, how many deliveries and timers there were, and a hash of all that happened."""

    seed: int
    validators: int
    faults: tuple[str, ...]
    blocks_in_trouble: int
    blocks: int
    recovery_ms: int
    bound_ms: int
    actions: int
    trace: str


def recovery_bound_ms(network: SimulatedNetwork) -> int:
    """How long the next block may take once every node runs and every message arrives.

    The highest round reached so far lasts `timeout * 2^round`. With the jump at f+1 and the round change that is sent
    again, all honest nodes are in one round by the end of the next one, whose proposer may be a liar, up to f times. The
    next two blocks may have to wait for transactions.
    """
    highest = max((node.machine.status.round for node in network.nodes if node.machine is not None), default=0)
    highest = min(highest, MAX_DOUBLINGS)
    faulty = (len(network.nodes) - 1) // 3
    timeout = network.rules.request_timeout_ms
    return int(
        sum(timeout * 2 ** (highest + extra) for extra in range(faulty + 3))
        + 10 * network.rules.block_period_ms
        + 2 * network.rules.empty_block_period_ms
    )


def run_seed(seed: int, protocol: str | None = None) -> Outcome:
    """Play one seed to its end, with the default protocol if none is named; Broken or Stalled if a promise does not hold."""
    with agreeing_by(protocol or default_protocol.get()):
        return play(_life, seed)


async def _life(seed: int) -> Outcome:
    rng = random.Random(seed)
    # Of its own: IBFT 2.0 has no such period, and its seeds stay what they were.
    waits = random.Random(f"empty blocks {seed}")
    size = rng.choice((1, 2, 3, 4, 4, 4, 5, 6, 7, 7, 10))
    faulty = (size - 1) // 3
    is_migration = default_protocol.get() == MIGRATION
    faults = FAULTS_OF_MIGRATIONS if is_migration else FAULTS
    faulty_ones = {index: rng.choice(faults) for index in rng.sample(range(size), rng.randint(0, faulty))}
    rules = Rules(
        block_period_ms=rng.choice((1000, 1000, 2000)),
        request_timeout_ms=rng.choice((2000, 4000)),
        epoch_length=10,
        has_transactions=rng.random() < 0.3,
        qbft_start_block=rng.randint(2, 8) if is_migration else 0,
        empty_block_period_ms=waits.choice((0, 0, 3_000, 10_000)) if default_protocol.get() != "ibft2" else 0,
    )
    skew = rng.choice((0, 0, 200, 400))
    observers = rng.choice((0, 0, 0, 0, 0, 1, 2))
    network = SimulatedNetwork(
        size + observers,
        rng,
        rules=rules,
        weather=_weather(rng),
        validators=size,
        byzantine=frozenset({*faulty_ones, *range(size, size + observers)}),
        speeds=lambda index: _speeds(rng, skew),
    )
    for index, name in sorted(faulty_ones.items()):
        _make_faulty(network, index, name, rng)
    for index in range(size, size + observers):
        network.nodes[index].lies = SYNC_LIARS[rng.choice(sorted(SYNC_LIARS))](network.nodes[index])
    _plan_trouble(network, rng)
    if network.rules.empty_block_period_ms:
        _submit_now_and_then(network, waits)
    network.start()
    await network.run_for(TROUBLE_MS)
    blocks_in_trouble = network.height
    recovery, bound = await _heal(network)
    if is_migration:
        await _must_pass_the_switch(network, bound)
    names, actions = tuple(faulty_ones.values()), network.clock.actions
    return Outcome(seed, size, names, blocks_in_trouble, network.height, recovery, bound, actions, network.trace)


def _make_faulty(network: SimulatedNetwork, index: int, name: str, rng: random.Random) -> None:
    if name in BEHAVIOURS or name in CROSSING:
        network.interceptors[index] = (BEHAVIOURS | CROSSING)[name](network, index, rng)
    elif name in MISFORTUNES:
        MISFORTUNES[name](network, index, rng)
    else:
        network.nodes[index].lies = SYNC_LIARS[name](network.nodes[index])


def _speeds(rng: random.Random, skew: int) -> Speeds:
    """Most nodes are fast, some have a slow processor, disk or key."""
    return Speeds(
        build_ms=rng.choice((3, 3, 3, 100, 500)),
        check_ms=rng.choice((3, 3, 3, 100, 500)),
        import_ms=rng.choice((2, 2, 2, 50, 300)),
        disk_ms=rng.choice((0, 0, 0, 1, 30)),
        sign_ms=rng.choice((0, 0, 0, 5, 100)),
        clock_skew_ms=rng.randint(-skew, skew),
    )


def _weather(rng: random.Random) -> Weather:
    slow = rng.choice((20, 40, 100, 300))
    return Weather(
        min_delay_ms=rng.randint(0, 5),
        max_delay_ms=slow,
        loss=rng.choice((0.0, 0.0, 0.05, 0.3)),
        duplication=rng.choice((0.0, 0.1)),
        reordering=rng.choice((0.0, 0.3)),
        bytes_per_ms=rng.choice((0, 0, 0, 20, 200)),
    )


def _plan_trouble(network: SimulatedNetwork, rng: random.Random) -> None:
    """Schedule partitions and restarts, and let crashes strike."""
    network.crash_chance = rng.choice((0.0, 0.002, 0.02))
    network.crash_limit = 20
    network.connections.commit_loss = rng.choice((0.0, 0.0, 0.5, 0.7))
    network.finisher_loss = rng.choice((0.0, 0.0, 0.3))
    network.keep_restarting(rng.choice((50, 2_000, 8_000)))
    for _ in range(rng.randrange(4)):
        start, length = rng.randrange(TROUBLE_MS), rng.randrange(500, 15_000)
        sides = {index: rng.randrange(2) for index in range(len(network.nodes))}
        network.clock.after(start, lambda sides=sides: network.partition(sides))  # type: ignore[misc]
        network.clock.after(start + length, lambda: network.partition({}))
    for _ in range(rng.randrange(2)):
        start, length, lag = rng.randrange(TROUBLE_MS), rng.randrange(1_000, 10_000), rng.randrange(500)
        loaded, slowness = rng.randrange(len(network.nodes)), rng.choice((5, 20))
        network.clock.after(start, lambda args=(loaded, slowness, lag): network.steal_cpu(*args))  # type: ignore[misc]
        network.clock.after(start + length, lambda loaded=loaded: network.steal_cpu(loaded, 1.0, 0))  # type: ignore[misc]
    for _ in range(rng.randrange(3)):
        victims = rng.sample(range(len(network.nodes)), rng.randint(1, len(network.nodes)))
        start, length = rng.randrange(TROUBLE_MS), rng.randrange(100, 12_000)
        network.clock.after(start, lambda victims=victims: network.stop(victims))  # type: ignore[misc]
        network.clock.after(start + length, lambda victims=victims: network.start(victims))  # type: ignore[misc]


def _submit_now_and_then(network: SimulatedNetwork, rng: random.Random) -> None:
    """Put the transaction into the pools of some nodes, now and then and without an end. Each has its own view of it."""

    def submit() -> None:
        for node in network.nodes:
            node.has_waiting_transaction = node.has_waiting_transaction or rng.random() < share
        network.clock.after(rng.randrange(500, 12_000), submit)

    share = rng.choice((0.3, 0.7, 1.0))
    network.clock.after(rng.randrange(500, 12_000), submit)


async def _heal(network: SimulatedNetwork) -> tuple[int, int]:
    """End all trouble; milliseconds until every honest node has two more blocks than any had, and the bound."""
    network.crash_limit = 0
    network.connections.commit_loss = network.finisher_loss = 0.0
    network.links.weather = network.links.weather.fair
    for index in range(len(network.nodes)):
        network.steal_cpu(index, 1.0, 0)
    network.start()
    network.partition({})
    bound = recovery_bound_ms(network)
    healed_at = network.clock.now_ms
    target = max(node.height for node in network.honest) + 2
    if not await network.run_until(lambda: network.height >= target, bound):
        raise Stalled(f"no block {target} within {bound} ms after healing: {_states(network)}")
    return network.clock.now_ms - healed_at, bound


async def _must_pass_the_switch(network: SimulatedNetwork, bound_ms: int) -> None:
    """Every honest node gets to the third block of QBFT, each block within the bound."""
    target = network.rules.qbft_start_block + 2
    while network.height < target:
        following = network.height + 1
        if not await network.run_until(lambda number=following: network.height >= number, bound_ms):  # type: ignore[misc]
            raise Stalled(f"no block {following} within {bound_ms} ms at the switch to QBFT: {_states(network)}")


def _states(network: SimulatedNetwork) -> str:
    return "; ".join(
        f"{node.index}: head {node.height}, {node.machine.status if node.machine else 'down'}" for node in network.nodes
    )
