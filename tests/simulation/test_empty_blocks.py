"""QBFT with a period of empty blocks: what a silent proposer costs, and a transaction that only some pools have."""

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest

from lacnode.consensus.bft.messages import Proposal, round_id_of
from lacnode.consensus.qbft.protocol import QBFT
from tests.simulation.ledger import Rules
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import STEADY, must_reach

PERIOD_MS, TIMEOUT_MS, EMPTY_MS = 1_000, 2_000, 60_000
LOST_ROUND_MS = TIMEOUT_MS + PERIOD_MS
MARGIN_MS = 2 * PERIOD_MS
"""The transaction waits for the next look into the pool, and timestamps are whole seconds."""


def quiet_network(size: int = 4, seed: int = 1) -> SimulatedNetwork:
    """Validators that run, in a network without transactions."""
    rules = Rules(PERIOD_MS, TIMEOUT_MS, 30_000, protocol_name="qbft", empty_block_period_ms=EMPTY_MS)
    network = SimulatedNetwork(size, random.Random(seed), rules=rules, weather=STEADY)
    network.start()
    return network


def submit(network: SimulatedNetwork, indices: Iterable[int]) -> None:
    """Put the transaction into the pools of these nodes."""
    for index in indices:
        network.nodes[index].has_waiting_transaction = True


def proposer(network: SimulatedNetwork) -> int:
    """The number of the node that proposes in round 0 now."""
    machine = network.honest[0].machine
    assert machine is not None
    validators, creator = machine.status.validators, network.honest[0].disk.ledger.head.coinbase
    place = (validators.index(creator) + 1) % len(validators) if creator in validators else 0
    return network.addresses.index(validators[place])


def round_of(network: SimulatedNetwork, number: int) -> int:
    return QBFT.decode_extra_data(network.honest[0].disk.ledger.blocks[number].header.extra_data).round


def is_full(network: SimulatedNetwork, number: int) -> bool:
    return bool(network.honest[0].disk.ledger.blocks[number].transactions)


@simulated
async def test_without_transactions_blocks_come_once_an_empty_block_period() -> None:
    network = quiet_network()
    await must_reach(network, 4, 4 * EMPTY_MS + MARGIN_MS)
    assert [round_of(network, number) for number in range(1, 5)] == [0] * 4
    times = [block.header.timestamp for block in network.nodes[0].disk.ledger.blocks]
    assert [later - earlier for earlier, later in pairwise(times[1:])] == [EMPTY_MS // 1000] * 3


@simulated
async def test_a_transaction_that_all_have_is_mined_at_once_and_costs_no_round() -> None:
    network = quiet_network()
    await network.run_for(10_000)
    for number in range(1, 9):
        submit(network, range(4))
        await must_reach(network, number, MARGIN_MS)
        assert (round_of(network, number), is_full(network, number)) == (0, True)


@pytest.mark.parametrize("size", [4, 7])
@simulated
async def test_a_silent_proposer_costs_waiting_transactions_one_round(size: int) -> None:
    network = quiet_network(size)
    for number in range(1, 6):
        await network.run_for(5_000)
        network.byzantine = frozenset({proposer(network)})
        network.stop(list(network.byzantine))
        submit(network, range(size))
        await must_reach(network, number, LOST_ROUND_MS + MARGIN_MS)
        assert (round_of(network, number), is_full(network, number)) == (1, True)
        network.start()
        assert await network.run_until(lambda number=number: min(n.height for n in network.nodes) == number, 30_000)  # type: ignore[misc]
        network.byzantine = frozenset()


@simulated
async def test_a_transaction_of_one_pool_costs_no_height_of_a_healthy_network() -> None:
    """Its node leaves round 0 alone, and only once. It mines the transaction when it is its turn."""
    network = quiet_network()
    await network.run_for(2_000)
    alone = (proposer(network) + 3) % 4
    submit(network, [alone])
    await must_reach(network, 4, 3 * EMPTY_MS + 10_000)
    assert [is_full(network, number) for number in range(1, 5)] == [False, False, False, True]
    assert [round_of(network, number) for number in range(1, 5)] == [0] * 4
    assert network.notes[alone, "round-expired"] == 1


@simulated
async def test_a_transaction_of_one_pool_with_a_validator_down_costs_one_round() -> None:
    """The one that left waits in round 1 for the others. It must not go from round to round alone."""
    network = quiet_network()
    await network.run_for(2_000)
    first = proposer(network)
    network.byzantine = frozenset({(first + 3) % 4})
    network.stop(list(network.byzantine))
    submit(network, [(first + 2) % 4])
    await must_reach(network, 1, EMPTY_MS + 2 * LOST_ROUND_MS + MARGIN_MS)
    assert round_of(network, 1) == 1


@simulated
async def test_a_transaction_that_two_pools_refuse_costs_one_round() -> None:
    """Two of four leave round 0, and the others follow. Nothing is lost again before the transaction is mined."""
    network = quiet_network()
    await network.run_for(2_000)
    first = proposer(network)
    # After a block of round 1 the next two proposers are those that have it.
    submit(network, [(first + 2) % 4, (first + 3) % 4])
    await must_reach(network, 1, LOST_ROUND_MS + MARGIN_MS)
    assert (round_of(network, 1), is_full(network, 1)) == (1, False)
    await must_reach(network, 2, MARGIN_MS)
    assert (round_of(network, 2), is_full(network, 2)) == (0, True)


@simulated
async def test_a_stranger_costs_healthy_heights_one_round_in_a_cycle() -> None:
    """Each height a transaction comes that the proposers of both rounds refuse. Two pools keep it."""
    network = quiet_network()
    for number in range(1, 11):
        await network.run_for(1_500)
        first = proposer(network)
        for node in network.nodes:
            node.has_waiting_transaction = node.index not in (first, (first + 1) % 4)
        await must_reach(network, number, EMPTY_MS + LOST_ROUND_MS + MARGIN_MS)
    lost = [number for number in range(1, 11) if round_of(network, number) > 0]
    assert len(lost) <= 3, lost


def show_each_another_block(network: SimulatedNetwork, index: int) -> None:
    """Node `index` proposes another empty block to each of the others, and votes for none."""
    node = network.nodes[index]

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = network.wire.read(code, data)
        if message.signed.author != node.address:
            return False
        if isinstance(message, Proposal):
            round_id, timestamp = round_id_of(message), message.block.header.timestamp
            for number, recipient in enumerate(sorted(recipients)):
                block = node.disk.ledger.make_block(node.address, round_id.round, timestamp, b"%d" % number)
                signed = network.wire.propose(round_id, block, node.key)
                shown = Proposal(signed, block, message.justification)
                network.transmit(source, *network.wire.write(shown), frozenset({recipient}))
        return True

    network.byzantine = frozenset({index})
    network.interceptors[index] = intercept


@simulated
async def test_a_proposer_that_shows_each_another_block_does_not_end_the_searches() -> None:
    """It proposes early although there is nothing to mine, and is silent at its next turn."""
    network = quiet_network()
    await network.run_for(2_000)
    liar = proposer(network)
    show_each_another_block(network, liar)
    submit(network, [liar])
    await must_reach(network, 1, LOST_ROUND_MS + MARGIN_MS)
    assert (round_of(network, 1), is_full(network, 1)) == (1, False)
    for number in (2, 3):
        submit(network, range(4))
        await must_reach(network, number, MARGIN_MS)
    assert proposer(network) == liar
    network.stop([liar])
    submit(network, range(4))
    await must_reach(network, 4, LOST_ROUND_MS + MARGIN_MS)
    assert (round_of(network, 4), is_full(network, 4)) == (1, True)
