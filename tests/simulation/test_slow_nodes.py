"""Processors, disks and keys that are slow: who is slow costs its own rounds, and nothing is lost."""

import random

import pytest

from lacnode.consensus.bft import proposal_builder
from lacnode.consensus.bft.events import Event, ProposalChecked
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.validator.event_queue import ConsensusEventQueue
from tests.simulation.chain import Speeds
from tests.simulation.ledger import Rules
from tests.simulation.links import Weather
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import STEADY, every, keeping_back, must_reach

SLOW = 1


def one_slow(speeds: Speeds) -> SimulatedNetwork:
    """Four validators that run, one of them slow."""
    network = SimulatedNetwork(
        4, random.Random(1), weather=STEADY, speeds=lambda index: speeds if index == SLOW else Speeds()
    )
    network.start()
    return network


@pytest.mark.parametrize(
    "speeds",
    [
        Speeds(check_ms=3_000),
        Speeds(build_ms=3_000),
        Speeds(import_ms=1_500),
        Speeds(disk_ms=400),
        Speeds(sign_ms=1_000),
    ],
    ids=["check", "build", "import", "disk", "key"],
)
@simulated
async def test_one_slow_validator_costs_its_own_rounds(speeds: Speeds) -> None:
    """Of four heights it proposes at one, which may take a second round. The others agree without it."""
    network = one_slow(speeds)
    fast = [node for node in network.nodes if node.index != SLOW]
    cycle_ms = 3 * 1_000 + 1_000 + 2_000 + 2_000
    assert await network.run_until(lambda: min(node.height for node in fast) >= 20, 5 * cycle_ms + 5_000)
    network.nodes[SLOW].speeds.check_ms = network.nodes[SLOW].speeds.build_ms = 3
    network.nodes[SLOW].speeds.import_ms = 2
    network.nodes[SLOW].speeds.disk_ms = network.nodes[SLOW].speeds.sign_ms = 0
    await must_reach(network, fast[0].height + 4, 15_000)


@pytest.mark.parametrize(
    "speeds",
    [Speeds(check_ms=300), Speeds(build_ms=400), Speeds(import_ms=400), Speeds(disk_ms=40), Speeds(sign_ms=100)],
    ids=["check", "build", "import", "disk", "key"],
)
@simulated
async def test_all_are_slow(speeds: Speeds) -> None:
    """Slower, but within the first round."""
    network = SimulatedNetwork(4, random.Random(2), weather=STEADY, speeds=lambda index: speeds)
    network.start()
    await must_reach(network, 20, 20 * 2_500)
    assert "round-expired" not in {topic for _, topic in network.notes}


@simulated
async def test_a_build_without_end_ends_with_its_round() -> None:
    """Whose turn passes without a block takes part in the next rounds again, and is not busy with the last one."""
    network = one_slow(Speeds(build_ms=3_600_000))
    observer, slow = network.nodes[0], network.nodes[SLOW]
    assert await network.run_until(lambda: observer.height >= 6, 60_000)

    def prepares() -> bool:
        return observer.machine is not None and slow.address in observer.machine.status.prepared_by

    assert await network.run_until(prepares, 5_000)


@simulated
async def test_a_check_that_did_not_end_costs_no_later_round() -> None:
    """GoQuorum, and Besu before 24.12, propose a prepared block with the same digest in each round. The slow validator,
    whose vote is needed, does not end its check in round 0, and must not take that for its answer in round 1."""
    slow, leaver, height = 3, 0, 2
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(proposal_builder, "with_round", lambda protocol, block, round_: block)
        rules = Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000, protocol_name="qbft")
        network = SimulatedNetwork(4, random.Random(5), rules=rules, weather=STEADY)
        put = ConsensusEventQueue.put

        def answer_late(queue: ConsensusEventQueue, event: Event) -> None:
            # A real execution looks at its budget now and then. Here it would end at once.
            if isinstance(event, ProposalChecked) and event.failure is not None:
                network.clock.at(network.clock.now_ms + 100, lambda: put(queue, event))
            else:
                put(queue, event)

        patched.setattr(ConsensusEventQueue, "put", answer_late)
        network.start()
        await must_reach(network, height - 1, 10_000)
        network.nodes[slow].speeds.check_ms = 3_000
        every(network, keeping_back(network, MessageKind.COMMIT, height, 0))
        fast = [node for node in network.nodes if node.index != slow]
        assert await network.run_until(lambda: all(node.prepared is not None for node in fast), 5_000)
        network.stop([leaver])
        alive = [node for node in network.nodes if node.index != leaver]
        assert await network.run_until(lambda: min(node.height for node in alive) >= height, 10_000)
        decided = network.nodes[slow].disk.ledger.blocks[height]
        assert network.rules.protocols.extra_data(decided.header).round == 1


@simulated
async def test_a_processor_busy_with_calls() -> None:
    """One validator in turn executes fifty times slower and gets to its messages half a second late; blocks go on."""
    network = SimulatedNetwork(4, random.Random(3), weather=STEADY)
    network.start()
    await must_reach(network, 3, 10_000)
    for loaded in range(4):
        before = max(node.height for node in network.nodes)
        network.steal_cpu(loaded, 50.0, 500)
        free = [node for node in network.nodes if node.index != loaded]
        assert await network.run_until(lambda: min(node.height for node in free) >= before + 8, 8 * 2_000)  # noqa: B023
        network.steal_cpu(loaded, 1.0, 0)
        await must_reach(network, before + 10, 12_000)


@simulated
async def test_thin_wires() -> None:
    """A node that fetches a long chain over a wire that is full with it takes part all the same: what agreement needs is
    sent before what the fetching needs."""
    weather = Weather(min_delay_ms=5, max_delay_ms=20, bytes_per_ms=100)
    rules = Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000, has_transactions=True)
    network = SimulatedNetwork(5, random.Random(4), rules=rules, weather=weather, validators=4)
    network.start(range(4))
    await network.run_for(200_000)
    before = min(node.height for node in network.nodes[:4])
    assert before >= 190
    network.start([4])
    assert await network.run_until(lambda: network.nodes[4].height >= before, 60_000)
    assert "round-expired" not in {topic for _, topic in network.notes}
