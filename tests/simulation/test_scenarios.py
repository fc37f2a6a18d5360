"""Failures that networks like these have had in the field, and the crashes and liars that theory allows, one by one.

Safety is watched by `invariants` in every step of every test here; what the tests add is the set-up and the bound within
which blocks must come. Times are virtual. A name with a number is a thread of Besu's or Polygon Edge's issue tracker.
"""

import random

import pytest

from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.round_timers import RESEND_INTERVAL_MS
from lacnode.consensus.bft.validator_set_change import ValidatorSetChange
from tests.simulation.byzantine import BEHAVIOURS
from tests.simulation.campaign import recovery_bound_ms
from tests.simulation.chain import Speeds
from tests.simulation.links import Weather
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import play, simulated
from tests.simulation.stage import (
    STEADY,
    all_prepared,
    all_restart,
    every,
    keeping_back,
    must_reach,
    prepared_hash,
    started,
)

HOUR_MS = 3_600_000


# -- from the field ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reached", range(1, 5))
@pytest.mark.parametrize("import_ms", [0, 1, 2, 700])
@pytest.mark.parametrize("offset_ms", range(-3, 4))
@simulated
async def test_besu_1734(offset_ms: int, import_ms: int, reached: int) -> None:
    """The commits that finish a block reach one, two, three or all nodes just when their round runs out."""
    network = started(4, Speeds(import_ms=import_ms))
    lucky = set(network.addresses[:reached])

    def hold(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        id_, author = network.wire.envelope(code, data)
        is_held = (network.wire.kind(code), id_.sequence, id_.round) == (MessageKind.COMMIT, 3, 0)
        if not is_held or source != network.addresses.index(author):
            return is_held
        for node in network.nodes:
            ends = node.machine.status.round_ends_ms if node.machine is not None else None
            if node.address in recipients & lucky and ends is not None:
                network.clock.at(
                    ends + offset_ms,
                    lambda node=node: node.receive(code, data, author),  # type: ignore[misc]
                )
        return True

    every(network, hold)
    await must_reach(network, 2, 20_000)
    await must_reach(network, 6, recovery_bound_ms(network))


@simulated
async def test_besu_740() -> None:
    """Four absent validators are voted in, one after another: every vote is warned of, the one that stops the network as
    such, and it stops with that one. One of the absent comes, and the network goes on by itself."""
    network = SimulatedNetwork(8, random.Random(740), weather=STEADY, validators=4)
    here, absent = network.nodes[:4], list(network.addresses[4:])
    network.start(range(4))

    async def reach(height: int, within_ms: int = 30_000) -> bool:
        return await network.run_until(lambda: all(node.height >= height for node in here), within_ms)

    assert await reach(2)
    for newcomer, then in zip(absent, ["one more failure", "one more failure", "no block"], strict=False):
        validators = here[0].disk.ledger.validators
        (warning,) = ValidatorSetChange(validators, newcomer, True, frozenset(network.addresses[:4])).warnings()
        assert then in warning
        for node in here:
            node.vote_proposer.propose(newcomer, True)
        assert await network.run_until(lambda new=newcomer: new in here[0].disk.ledger.validators, 60_000)  # type: ignore[misc]
        halted = not await reach(here[0].height + 2)
        assert halted is (then == "no block")
    halted_at = max(node.height for node in here)
    network.start([6])
    assert await reach(halted_at + 2, RESEND_INTERVAL_MS + 10_000)


@simulated
async def test_besu_740_does_not_happen_to_who_heeds_the_warnings() -> None:
    """Operators who cast no vote that they are warned of get the newcomers that have come, and one more that has not:
    of seven, one may still fail. The eighth would take that reserve."""
    network = SimulatedNetwork(8, random.Random(741), weather=STEADY, validators=4)
    network.start(range(6))
    ledger = network.nodes[0].disk.ledger
    for newcomer in network.addresses[4:]:
        present = frozenset(node.address for node in network.nodes if node.running)
        if ValidatorSetChange(ledger.validators, newcomer, True, present).warnings():
            continue
        for node in network.nodes[:4]:
            node.vote_proposer.propose(newcomer, True)
        assert await network.run_until(lambda new=newcomer: new in ledger.validators, 60_000)  # type: ignore[misc]
    assert set(ledger.validators) == set(network.addresses[:7])
    network.stop([5])
    height = ledger.head.number
    assert await network.run_until(lambda: ledger.head.number >= height + 5, recovery_bound_ms(network))


@pytest.mark.parametrize(("size", "offline"), [(4, 2), (5, 2), (7, 3), (7, 5), (10, 4)])
@simulated
async def test_besu_611(size: int, offline: int) -> None:
    """More than a third of the validators are off for three hours. Nobody has to do anything once they are back."""
    network = started(size)
    await must_reach(network, 3, 20_000)
    network.stop(range(offline))
    await network.run_for(3 * HOUR_MS)
    before = max(node.height for node in network.nodes)
    network.start()
    await must_reach(network, before + 1, RESEND_INTERVAL_MS + 10_000)


@pytest.mark.parametrize("apart_ms", [10_000, 100_000, HOUR_MS])
@simulated
async def test_polygon_edge_185(apart_ms: int) -> None:
    """Two validators are far ahead in rounds, two that return have just begun; and nobody tells them to wait."""
    network = started(4)
    await must_reach(network, 3, 20_000)
    network.partition({0: 1, 1: 1})
    await network.run_for(apart_ms)
    network.stop([2, 3])
    await network.run_for(apart_ms)
    before = max(node.height for node in network.nodes)
    network.start([2, 3])
    await network.run_for(3_000)
    network.partition({})
    await must_reach(network, before + 1, RESEND_INTERVAL_MS + 10_000)


@simulated
async def test_besu_6613() -> None:
    """Building a block takes longer than the first rounds last; later ones are long enough."""
    network = started(4, Speeds(build_ms=5_000))
    await must_reach(network, 4, 4 * (2_000 + 4_000 + 8_000))


@simulated
async def test_besu_6732() -> None:
    """What was prepared and not committed is proposed again, the same block, even if nobody can build another."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    every(network, keeping_back(network, MessageKind.COMMIT, 3, 0))
    assert await network.run_until(all_prepared(network, 3), 10_000)
    (expected,) = {prepared_hash(network, index) for index in range(4)}
    for node in network.nodes:
        node.speeds.build_ms = HOUR_MS
    await must_reach(network, 3, 2_000 + 4_000)
    assert network.nodes[0].disk.ledger.hash_at(3) == expected
    for node in network.nodes:
        node.speeds.build_ms = 3
    await must_reach(network, 5, recovery_bound_ms(network))


@simulated
async def test_besu_8307() -> None:
    """Two of four lose their data directories."""
    network = started(4)
    await must_reach(network, 13, 60_000)
    network.stop([0, 1])
    network.wipe(0)
    network.wipe(1)
    await network.run_for(60_000)
    before = max(node.height for node in network.nodes)
    network.start()
    await must_reach(network, before + 2, RESEND_INTERVAL_MS + 10_000)


@simulated
async def test_besu_10024() -> None:
    """Three of four lose their data directories, and one node is the source of everything.

    They return one after the other: three that remember nothing are a quorum, and free to begin again at block 1.
    """
    network = started(4)
    await must_reach(network, 13, 60_000)
    network.stop([0, 1, 2])
    await network.run_for(60_000)
    before = max(node.height for node in network.nodes)
    for index in range(3):
        network.wipe(index)
    for index in range(3):
        network.start([index])
        node = network.nodes[index]
        assert await network.run_until(lambda node=node: node.height >= before, 10_000)  # type: ignore[misc]
    await must_reach(network, before + 2, RESEND_INTERVAL_MS + 10_000)


@simulated
async def test_besu_6457() -> None:
    """A network of one validator restarts: there is nobody to wait for."""
    network = started(1)
    await must_reach(network, 5, 10_000)
    network.stop([0])
    await network.run_for(HOUR_MS)
    network.start()
    await must_reach(network, 6, 1_000)


@pytest.mark.parametrize("skew_ms", [-1_000, 1_000])
@simulated
async def test_besu_2241(skew_ms: int) -> None:
    """One clock is a second off: every proposal is valid all the same, and no round is lost."""
    network = SimulatedNetwork(
        4, random.Random(4), weather=STEADY, speeds=lambda index: Speeds(clock_skew_ms=skew_ms if index == 1 else 0)
    )
    network.start()
    await must_reach(network, 20, 20 * 2_000 + 2_000)
    topics = {topic for _, topic in network.notes}
    assert not topics & {"proposal-refused", "own-proposal-invalid", "round-expired"}
    assert all(network.notes[index, "clock-skew"] == 1 for index in range(4)), "each says so, and only once"
    wrong = network.addresses[1]
    for node in network.nodes:
        assert node.machine is not None
        status = node.machine.status
        assert status.clocks_off == (wrong,)
        assert abs(status.clock_offsets_ms[wrong] - skew_ms) <= 200


@simulated
async def test_clocks_that_agree_are_not_reported() -> None:
    """Half a second off, over a network that delays and reorders: nobody is blamed."""
    network = SimulatedNetwork(4, random.Random(5), speeds=lambda index: Speeds(clock_skew_ms=(-250, 0, 0, 250)[index]))
    network.start()
    await must_reach(network, 30, 30 * 4_000)
    assert "clock-skew" not in {topic for _, topic in network.notes}


@simulated
async def test_slow_builders_are_not_taken_for_slow_clocks() -> None:
    """Under load every block comes late, our own too."""
    network = SimulatedNetwork(4, random.Random(6), weather=STEADY, speeds=lambda index: Speeds(build_ms=900))
    network.start()
    await must_reach(network, 20, 20 * 3_000)
    assert "clock-skew" not in {topic for _, topic in network.notes}


# -- crashes -------------------------------------------------------------------------------------------------------


class CrashingNetwork(SimulatedNetwork):
    """Four validators of which one dies right before the `step`-th thing it does that lasts."""

    def __init__(self, victim: int, step: int | None) -> None:
        super().__init__(4, random.Random(4), weather=STEADY)
        self.victim = victim
        self.steps = 0
        self._step = step

    def strike(self, index: int, step: str) -> bool:
        if index != self.victim:
            return False
        self.steps += 1
        return self.steps - 1 == self._step


async def life_with_crash(victim: int, step: int | None) -> int:
    """Two blocks, one of them in a second round since its commits got lost; how many steps the victim took."""
    network = CrashingNetwork(victim, step)
    every(network, keeping_back(network, MessageKind.COMMIT, 2, 0))
    network.start()
    network.keep_restarting(100)
    await must_reach(network, 2, 60_000)
    steps = network.steps
    every(network, None)
    await must_reach(network, 4, recovery_bound_ms(network))
    return steps


@pytest.mark.parametrize("victim", range(4))
def test_crash_anywhere(victim: int) -> None:
    """Whatever it was about to do: it comes back, contradicts nothing it said, and catches up."""
    steps = play(life_with_crash, victim, None)
    assert steps > 50
    for step in range(steps):
        play(life_with_crash, victim, step)


@simulated
async def test_a_proposer_that_dies_before_sending_does_not_cost_the_round() -> None:
    """Its proposal is signed and in nobody's hands; it comes back within the round and says it."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    proposer = 2

    def lost(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if source == proposer and network.wire.kind(code) == MessageKind.PROPOSAL:
            network.interceptors.pop(proposer)
            network.clock.after(0, lambda: network.stop([proposer]))
            network.clock.after(300, lambda: network.start([proposer]))
            return True
        return False

    network.interceptors[proposer] = lost
    await must_reach(network, 3, 2_000)
    assert "round-expired" not in {topic for _, topic in network.notes}


@pytest.mark.parametrize("finisher", [None, 0, 1, 2, 3])
@simulated
async def test_all_restart(finisher: int | None) -> None:
    """All die between prepare and commit. If one of them had the block, it stays away: the others must find the same."""
    await all_restart(finisher)


# -- liars ---------------------------------------------------------------------------------------------------------


async def among_liars(name: str, size: int, seed: int) -> None:
    """As many liars as a network can bear and messages that get lost; then fair weather, and blocks in time."""
    rng = random.Random(seed)
    liars = frozenset(rng.sample(range(size), (size - 1) // 3))
    weather = Weather(min_delay_ms=1, max_delay_ms=60, loss=0.1, reordering=0.2)
    network = SimulatedNetwork(size, rng, weather=weather, byzantine=liars)
    for index in sorted(liars):
        network.interceptors[index] = BEHAVIOURS[name](network, index, rng)
    network.start()
    await network.run_for(20_000)
    network.links.weather = weather.fair
    await must_reach(network, max(node.height for node in network.honest) + 2, recovery_bound_ms(network))


LIES = [(size, seed) for size in (4, 7) for seed in range(5)]


@pytest.mark.parametrize(("size", "seed"), LIES)
@simulated
async def test_equivocator(size: int, seed: int) -> None:
    """Two blocks for two halves."""
    await among_liars("equivocator", size, seed)


@pytest.mark.parametrize(("size", "seed"), LIES)
@simulated
async def test_withholder(size: int, seed: int) -> None:
    """Commits and other messages that reach some or nobody."""
    await among_liars("withholder", size, seed)


@pytest.mark.parametrize(("size", "seed"), LIES)
@simulated
async def test_forger(size: int, seed: int) -> None:
    """Round changes with stale certificates, for rounds that nobody asked for."""
    await among_liars("forger", size, seed)


@pytest.mark.parametrize(("size", "seed"), LIES)
@simulated
async def test_replayer(size: int, seed: int) -> None:
    """Whatever was said before, again."""
    await among_liars("replayer", size, seed)


@pytest.mark.parametrize(("size", "seed"), LIES)
@simulated
async def test_garbler(size: int, seed: int) -> None:
    """Signed messages with altered bytes, and bytes that are no message."""
    await among_liars("garbler", size, seed)


@pytest.mark.parametrize(("size", "seed"), LIES)
@simulated
async def test_body_swapper(size: int, seed: int) -> None:
    """The blocks of others with another body, which no signature covers."""
    await among_liars("body_swapper", size, seed)


@simulated
async def test_silent_proposer_costs_one_round() -> None:
    """A validator whose proposals never arrive delays a block by a round's time, not more."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    every(network, keeping_back(network, MessageKind.PROPOSAL, 3, 0))
    await must_reach(network, 3, 2_000 + 1_000)
