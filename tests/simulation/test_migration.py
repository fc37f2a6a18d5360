"""Networks that go from IBFT 2.0 to QBFT: who is down across the switch, who votes across it, and who speaks both protocols.

In every story, `invariants` sees to it that no honest node says anything in a protocol that does not decide the height.
"""

import random
from collections import Counter
from dataclasses import replace

import pytest

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.events import HeadChanged
from lacnode.consensus.bft.height_manager import HeightManager
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives.rlp import RlpError
from tests.simulation.byzantine import crosser
from tests.simulation.campaign import Stalled, recovery_bound_ms, run_seed
from tests.simulation.invariants import Broken
from tests.simulation.ledger import MIGRATION, Rules, agreeing_by
from tests.simulation.links import Weather
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import play, simulated
from tests.simulation.stage import STEADY, all_restart, must_reach

START_BLOCK = 5
RULES = Rules(
    block_period_ms=1000,
    request_timeout_ms=2000,
    epoch_length=30_000,
    protocol_name=MIGRATION,
    qbft_start_block=START_BLOCK,
)


def migrating(size: int = 4, seed: int = 1, **more: object) -> SimulatedNetwork:
    return SimulatedNetwork(size, random.Random(seed), rules=RULES, **{"weather": STEADY, **more})  # type: ignore[arg-type]


def codes_said(network: SimulatedNetwork) -> Counter[int]:
    """Counts from now on how often each message code is sent."""
    said: Counter[int] = Counter()

    def listen(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        said[code] += 1
        return False

    for index in range(len(network.nodes)):
        network.interceptors[index] = listen
    return said


@simulated
async def test_a_network_changes_its_protocol_without_a_pause() -> None:
    network = migrating()
    said = codes_said(network)
    network.start()
    await must_reach(network, START_BLOCK - 1, 20_000)
    assert max(said) < 0x12
    before = network.clock.now_ms
    await must_reach(network, START_BLOCK + 4, 20_000)
    # Five blocks with a period of a second, and no round that expired.
    assert network.clock.now_ms - before < 7_000
    assert "round-expired" not in {topic for _, topic in network.notes}
    assert {index for index, topic in network.notes if topic == "protocol"} == {0, 1, 2, 3}
    headers = [block.header for block in network.nodes[0].disk.ledger.blocks[1:]]
    for header in headers:
        (IBFT2 if header.number < START_BLOCK else QBFT).decode_extra_data(header.extra_data)


@pytest.mark.parametrize("down_at", [START_BLOCK - 3, START_BLOCK - 1])
@simulated
async def test_a_validator_that_is_down_across_the_switch_comes_back(down_at: int) -> None:
    network = migrating()
    network.start()
    await must_reach(network, down_at, 30_000)
    network.stop([2])
    others = [node for node in network.nodes if node.index != 2]
    assert await network.run_until(lambda: min(n.height for n in others) >= START_BLOCK + 3, 120_000)
    network.start([2])
    await must_reach(network, max(node.height for node in others) + 8, recovery_bound_ms(network) + 20_000)
    # It proposes again, by QBFT.
    assert network.addresses[2] in {b.header.coinbase for b in others[0].disk.ledger.blocks[START_BLOCK:]}


@simulated
async def test_besu_10680_all_restart_after_the_switch_and_speak_qbft_alone() -> None:
    """In Besu the IBFT 2.0 engine starts again beside QBFT after a restart, and proposes blocks at every height."""
    network = migrating()
    network.start()
    await must_reach(network, START_BLOCK + 1, 30_000)
    network.stop(range(4))
    await network.run_for(3_000)
    said = codes_said(network)
    network.start()
    await must_reach(network, START_BLOCK + 6, recovery_bound_ms(network) + 20_000)
    assert said
    assert min(said) >= 0x12


@pytest.mark.parametrize("finisher", [None, 1])
def test_all_die_between_prepare_and_commit_of_the_last_block_before_it(finisher: int | None) -> None:
    # Block 3 is the one of the story, and QBFT begins with block 4 unless a network says otherwise.
    with agreeing_by(MIGRATION):
        play(all_restart, finisher)


@simulated
async def test_a_vote_that_began_before_it_is_finished_after_it() -> None:
    """Two validators vote before the switch and forget their wish in a restart. The third votes after it."""
    network = migrating(5, validators=4)
    newcomer = network.addresses[4]
    for node in network.nodes[:2]:
        node.vote_proposer.propose(newcomer, True)
    network.start()
    ledger = network.nodes[3].disk.ledger
    assert await network.run_until(lambda: len(ledger.tally.additions.get(newcomer, ())) == 2, 20_000)
    assert ledger.head.number < START_BLOCK
    for node in network.nodes[:2]:
        node.vote_proposer.discard(newcomer)
    await must_reach(network, START_BLOCK + 1, 60_000)
    assert newcomer not in ledger.validators
    network.nodes[2].vote_proposer.propose(newcomer, True)
    assert await network.run_until(lambda: newcomer in ledger.validators, 30_000)
    await must_reach(network, ledger.head.number + 5, 60_000)


def give_genesis(network: SimulatedNetwork, index: int, rules: Rules) -> None:
    """Put another genesis file on a node that is stopped."""
    ledger = network.nodes[index].disk.ledger
    ledger.rules, ledger.protocols = rules, rules.protocols


OLD_FILE = Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000, protocol_name="ibft2")


@simulated
async def test_half_of_the_validators_with_the_old_file_stop_the_network_and_lose_nothing() -> None:
    """They ask for rounds by IBFT 2.0 at the first height of QBFT. With the new file they go on behind these rounds."""
    network = migrating()
    # The two are honest. They say IBFT 2.0 where the others say QBFT, and that is what this invariant is about.
    network.invariants.sent = lambda author, code, data: None  # type: ignore[method-assign]
    for index in (1, 2):
        give_genesis(network, index, OLD_FILE)
    network.start()
    await must_reach(network, START_BLOCK - 1, 20_000)
    await network.run_for(30_000)
    assert {node.height for node in network.nodes} == {START_BLOCK - 1}
    network.stop([1, 2])
    for index in (1, 2):
        give_genesis(network, index, RULES)
    bound = recovery_bound_ms(network)
    network.start()
    await must_reach(network, START_BLOCK + 4, bound + 20_000)


@simulated
async def test_a_validator_that_had_an_earlier_switch_than_the_others_is_brought_back() -> None:
    """It waits before its switch while the others go on with IBFT 2.0. With their file it follows them."""
    network = migrating()
    early = replace(RULES, qbft_start_block=3)
    network.invariants.sent = lambda author, code, data: None  # type: ignore[method-assign]
    give_genesis(network, 0, early)
    network.start()
    others = network.nodes[1:]
    assert await network.run_until(lambda: min(node.height for node in others) >= START_BLOCK + 2, 120_000)
    assert network.nodes[0].height == 2
    network.stop([0])
    give_genesis(network, 0, RULES)
    network.start()
    await must_reach(network, max(node.height for node in others) + 4, recovery_bound_ms(network) + 20_000)


@pytest.mark.parametrize("seed", range(4))
def test_a_validator_that_speaks_both_protocols_at_every_height_is_not_heard_twice(seed: int) -> None:
    async def story() -> None:
        weather = Weather(min_delay_ms=1, max_delay_ms=60, loss=0.05, reordering=0.2)
        network = migrating(4, seed, weather=weather, byzantine=frozenset({seed}))
        network.interceptors[seed] = crosser(network, seed, network.rng)
        network.start()
        await network.run_for(15_000)
        network.links.weather = weather.fair
        await must_reach(network, max(START_BLOCK, network.height) + 3, 4 * recovery_bound_ms(network))
        assert any(topic == "other-protocol" for _, topic in network.notes)

    play(story)


def test_a_node_that_takes_the_old_protocol_one_block_too_far_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliberate fault: the protocol of a height is that of the head."""

    def new_height(machine: BftController, head: HeadChanged) -> HeightManager:
        number = head.header.number + 1
        protocol, signed = machine._protocols.protocol_at(head.header.number), machine._journal.signed_at(number)
        timers = RoundTimers(head, protocol.first_round_waits_for_block)
        return HeightManager(protocol, machine._address, head, signed, timers)

    monkeypatch.setattr(BftController, "_new_height", new_height)
    with pytest.raises((Broken, Stalled, RlpError)):
        run_seed(5, MIGRATION)
