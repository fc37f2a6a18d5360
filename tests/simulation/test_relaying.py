"""Validators without a direct connection: what a liar among their relays may cost them."""

import random
from dataclasses import replace

import pytest

from lacnode.consensus.bft.messages import Justification, Proposal
from lacnode.consensus.bft.payloads import MessageKind, RoundChangePayload, RoundId
from lacnode.consensus.bft.relay_shares import MAX_RELAYED_INDIRECT_MESSAGES
from lacnode.consensus.bft.round_timers import RESEND_INTERVAL_MS
from tests.simulation import network as simulated_network
from tests.simulation.connections import SILENCE_MS
from tests.simulation.ledger import Rules
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import STEADY, must_reach

PROPOSER, RELAY, FAR_RELAY, LIAR, FAR = range(5)
WIRES = {(PROPOSER, RELAY), (RELAY, FAR_RELAY), (RELAY, LIAR), (FAR_RELAY, FAR)}
"""A path from the first proposer to the validator that is farthest from it. The liar is connected to the first relay."""
SLOW_MS = 200
"""How much later the votes of the proposer arrive than the liar's copies of its proposal."""


def path() -> SimulatedNetwork:
    """Five validators along `WIRES`, not started. All votes of the four honest ones are needed."""
    rules = Rules(1_000, 2_000, 30_000, protocol_name="qbft")
    network = SimulatedNetwork(5, random.Random(5), rules=rules, weather=STEADY, byzantine=frozenset({LIAR}))
    network.links.permits = lambda a, b: (min(a, b), max(a, b)) in WIRES
    return network


def multiply_proposals(network: SimulatedNetwork) -> None:
    """The liar attaches its own round changes to each proposal of another, and says nothing else."""
    signer, multiplied = network.nodes[LIAR].key, set[bytes]()

    def lie(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        return True

    def hear(code: int, data: bytes, sender: bytes) -> None:
        message = network.wire.read(code, data)
        if not isinstance(message, Proposal) or message.signed.signature in multiplied:
            return
        multiplied.add(message.signed.signature)
        height = message.signed.payload.round_id.sequence
        for number in range(1, MAX_RELAYED_INDIRECT_MESSAGES + 10):
            asked = network.wire.sign(RoundChangePayload(RoundId(height, number), None), signer)
            variant = network.wire.write(replace(message, justification=Justification((asked,))))
            network.transmit(LIAR, *variant, frozenset({network.addresses[RELAY]}))

    network.interceptors[LIAR] = lie
    network.nodes[LIAR].receive = hear  # type: ignore[method-assign]


def slow_votes(network: SimulatedNetwork) -> None:
    def slow(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if network.wire.kind(code) not in (MessageKind.PREPARE, MessageKind.COMMIT):
            return False
        network.clock.after(SLOW_MS, lambda: network.transmit(source, code, data, recipients))
        return True

    network.interceptors[PROPOSER] = slow


@simulated
async def test_a_liar_does_not_use_up_what_an_honest_relay_may_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_network, "LIAR_MESSAGES_PER_SECOND", 1_000)
    network = path()
    slow_votes(network)
    multiply_proposals(network)
    network.start()
    await must_reach(network, 1, 20_000)
    header = network.nodes[FAR].disk.ledger.blocks[1].header
    assert network.rules.protocols.extra_data(header).round == 0


@simulated
async def test_validators_that_meet_through_one_relay_agree_in_the_round_in_which_the_link_heals() -> None:
    """Three of four are left, in a line. The validator beyond the cut link proposes in the round that lasts when it heals:
    it needs a round change whose author is not connected to it."""
    rules = Rules(2_000, 10_000, 30_000)
    network = SimulatedNetwork(4, random.Random(5), rules=rules, weather=STEADY)
    wires = {(0, 1), (1, 2)}
    network.start()
    await must_reach(network, 1, 60_000)
    network.stop([3])
    network.links.permits = lambda a, b: (min(a, b), max(a, b)) in wires
    network.partition({2: 1})
    await network.run_for(600_000)
    network.partition({})
    height = network.nodes[0].height
    bound = SILENCE_MS + 2 * RESEND_INTERVAL_MS
    assert await network.run_until(lambda: all(node.height > height for node in network.nodes[:3]), bound)
