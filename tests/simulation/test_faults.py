"""The simulation bites: deliberate faults in consensus are caught, and only they are.

Each fault has a scenario that holds with the code as it is and fails with the fault in it. Some are also looked for
with random seeds, as an unknown fault would have to be.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from lacnode.chain import block_verifier
from lacnode.consensus.bft import committee, header_form, header_rules, quorum
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.messages import Commit, Prepare
from lacnode.consensus.bft.payloads import CommitPayload, MessageKind, PreparePayload, RoundId, SignedPayload
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.round import Round
from lacnode.consensus.bft.round_change_manager import RoundChangeManager
from lacnode.consensus.ibft2 import message_validation
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import CURVE_ORDER, public_key_of
from tests.simulation.byzantine import Behaviour, hurrier, pretender, usurper
from tests.simulation.campaign import Stalled, recovery_bound_ms, run_seed
from tests.simulation.clock import Storm
from tests.simulation.invariants import Broken
from tests.simulation.network import Interceptor, SimulatedNetwork
from tests.simulation.play import play
from tests.simulation.stage import all_prepared, all_restart, every, keeping_back, must_reach, started

Fault = Callable[[pytest.MonkeyPatch], None]
Scenario = Callable[[], Awaitable[None]]

CAUGHT = (Broken, Stalled, Storm)

FINISHER, PROPOSER = 0, 2
"""At height 3 node 2 proposes first and node 3 next; node 0 finishes the block in secret where a scenario wants so."""


# -- faults --------------------------------------------------------------------------------------------------------


def one_vote_too_few_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _change_quorum(monkeypatch, -1)


def one_vote_more_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    _change_quorum(monkeypatch, 1)


def _change_quorum(monkeypatch: pytest.MonkeyPatch, change: int) -> None:
    monkeypatch.setattr(committee, "quorum", lambda n: quorum.quorum(n) + change)
    monkeypatch.setattr(header_form, "quorum", lambda n: quorum.quorum(n) + change)
    monkeypatch.setattr(
        committee,
        "prepares_needed_beside_proposal",
        lambda n: quorum.prepares_needed_beside_proposal(n) + change,
    )


def everything_is_forgotten_on_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "restore", lambda records, protocols, head: Journal(protocols))


def the_prepared_block_is_forgotten_on_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed is remembered, the lock is not."""
    restore = Journal.restore

    def forgetful(records: list[bytes], protocols: ProtocolSchedule, head: int) -> Journal:
        journal = restore(records, protocols, head=head)
        for signed in journal._heights.values():
            signed.prepared = None
        return journal

    monkeypatch.setattr(Journal, "restore", forgetful)


def prepared_certificates_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_validation, "check_prepared_certificate", lambda *_: None)


def round_change_certificates_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_validation, "_check_round_change_certificate", lambda *_: None)


def repeated_prepares_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepares are told apart by their signatures and not by their authors."""

    def add_prepare(round_: Round, signed: SignedPayload[PreparePayload]) -> str | None:
        if round_.digest in (None, signed.payload.digest):
            round_.prepares[signed.signature] = signed
        return None

    monkeypatch.setattr(Round, "add_prepare", add_prepare)


def repeated_commits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with commits, whose seals are then counted in the same way at import."""
    repeated_prepares_count(monkeypatch)

    def add_commit(round_: Round, signed: SignedPayload[CommitPayload]) -> str | None:
        if round_.digest in (None, signed.payload.digest):
            round_.commits[signed.signature] = signed
        return None

    monkeypatch.setattr(Round, "add_commit", add_commit)
    monkeypatch.setattr(block_verifier, "check_sealed_header_rules", header_rules.check_proposed_header_rules)


def one_vote_takes_us_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single round change for a later round is followed, instead of f+1."""
    highest_round_wanted_by = RoundChangeManager.highest_round_wanted_by
    monkeypatch.setattr(
        RoundChangeManager,
        "highest_round_wanted_by",
        lambda book, count, above: highest_round_wanted_by(book, 1, above),
    )


# -- scenarios that hold without them --------------------------------------------------------------------------------


async def halves() -> None:
    """A network cut in the middle stands still, and goes on when it is whole."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    network.partition({0: 1, 1: 1})
    await network.run_for(20_000)
    network.partition({})
    await must_reach(network, max(node.height for node in network.nodes) + 2, recovery_bound_ms(network))


async def one_is_gone() -> None:
    """Three of four go on."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    network.stop([3])
    bound = 3 * recovery_bound_ms(network)
    if not await network.run_until(lambda: all(node.height >= 4 for node in network.nodes[:3]), bound):
        raise Stalled("three of four do not go on")


async def finisher_returns_all() -> None:
    await all_restart(FINISHER)


async def finishing_proposer_returns_last() -> None:
    """Nobody is left who would propose the same block again only because it is its own."""
    await all_restart(PROPOSER)


async def with_liar(index: int, behaviour: Behaviour) -> SimulatedNetwork:
    """Four validators at height 3, one of which turns into a liar now."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    turn_liar(network, index, behaviour)
    return network


def turn_liar(network: SimulatedNetwork, index: int, behaviour: Behaviour) -> None:
    network.byzantine = frozenset({index})
    network.invariants.trust_no_more(network.addresses[index])
    network.interceptors[index] = behaviour(network, index, network.rng)


async def one_finishes_in_secret(liar: int, behaviour: Behaviour) -> None:
    """All prepare block 3 and only one node gets the commits, and is gone for a while; the liar proposes another."""
    network = started(4)
    await must_reach(network, 2, 20_000)
    lose = keeping_back(network, MessageKind.COMMIT, 3, 0)

    def to_finisher(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if not lose(source, code, data, recipients):
            return False
        network.transmit(source, code, data, recipients & {network.addresses[FINISHER]})
        return True

    every(network, to_finisher)
    assert await network.run_until(all_prepared(network, 3), 10_000)
    assert await network.run_until(lambda: network.nodes[FINISHER].height == 3, 1_000)
    network.stop([FINISHER])
    every(network, None)
    turn_liar(network, liar, behaviour)
    await network.run_for(15_000)
    network.start([FINISHER])
    await must_reach(network, 5, recovery_bound_ms(network))


async def a_usurper() -> None:
    await one_finishes_in_secret(3, usurper)


async def a_pretender() -> None:
    await one_finishes_in_secret(1, pretender)


async def a_repeater() -> None:
    """Node 0 says all it says to the proposer twice, in different bytes, and nothing to others, who hear of no proposal
    either; and then it is silent."""
    network = await with_liar(0, repeater)
    network.interceptors[PROPOSER] = lambda source, code, data, recipients: _only_to(
        network,
        {network.addresses[0]},
        keeping_back(network, MessageKind.PROPOSAL, 3, 0),
        (source, code, data, recipients),
    )
    await must_reach(network, 5, 3 * recovery_bound_ms(network))


def _only_to(
    network: SimulatedNetwork, few: set[bytes], which: Interceptor, sent: tuple[int, int, bytes, frozenset[bytes]]
) -> bool:
    source, code, data, recipients = sent
    if which(*sent):
        network.transmit(source, code, data, recipients & few)
        return True
    return False


def repeater(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Prepares and commits what it hears of in round 0 of height 3, both twice, and only the proposer is told."""
    node = network.nodes[index]
    signer, other = node.key, _OtherNonce(node.key, 7)
    victim = frozenset({network.addresses[PROPOSER]})

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = network.wire.read(code, data)
        payload = message.signed.payload
        if isinstance(message, Prepare) and payload.round_id == RoundId(3, 0) and message.signed.author == node.address:
            commit = CommitPayload(payload.round_id, message.signed.payload.digest)
            again = Prepare(network.wire.sign(message.signed.payload, other))
            commits = (Commit(network.wire.sign(commit, signer)), Commit(network.wire.sign(commit, other)))
            for said in (message, again, *commits):
                network.transmit(source, *network.wire.write(said), victim)
        return True

    return intercept


@dataclass(frozen=True)
class _OtherNonce:
    """Signs with the key of `identity`, and with another nonce. A key has many low-s signatures for one digest."""

    identity: NodeKey
    nonce: int

    @property
    def address(self) -> bytes:
        return self.identity.address

    def sign(self, digest: bytes) -> bytes:
        point = public_key_of(self.nonce.to_bytes(32))
        r, parity = int.from_bytes(point[:32]), point[63] & 1
        secret = int.from_bytes(self.identity.private_key)
        s = pow(self.nonce, -1, CURVE_ORDER) * (int.from_bytes(digest) + r * secret) % CURVE_ORDER
        if s > CURVE_ORDER // 2:
            s, parity = CURVE_ORDER - s, 1 - parity
        return r.to_bytes(32) + s.to_bytes(32) + bytes([parity])


async def a_hurrier() -> None:
    """Node 0 asks for rounds that last for hours, in which it is the proposer, and says nothing else."""
    network = await with_liar(0, hurrier)
    await must_reach(network, 5, 3 * recovery_bound_ms(network))


# -- the tests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        (halves, one_vote_too_few_is_enough),
        (one_is_gone, one_vote_more_is_needed),
        (finisher_returns_all, everything_is_forgotten_on_restart),
        (finishing_proposer_returns_last, the_prepared_block_is_forgotten_on_restart),
        (a_pretender, prepared_certificates_are_believed),
        (a_usurper, round_change_certificates_are_believed),
        (a_repeater, repeated_prepares_count),
        (a_repeater, repeated_commits_count),
        (a_hurrier, one_vote_takes_us_along),
    ],
)
def test_a_scenario_catches(scenario: Scenario, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    play(scenario)
    fault(monkeypatch)
    with pytest.raises(CAUGHT):
        play(scenario)


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (one_vote_too_few_is_enough, 0),
        (one_vote_more_is_needed, 0),
        (everything_is_forgotten_on_restart, 0),
        (the_prepared_block_is_forgotten_on_restart, 40),
    ],
)
def test_random_seeds_catch(fault: Fault, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of sixty. They begin at `first`: one in fifty catches the last fault, and from there on it comes soon."""
    fault(monkeypatch)
    with pytest.raises(CAUGHT):
        _run_seeds(range(first, first + 60))


def _run_seeds(seeds: range) -> None:
    for seed in seeds:
        run_seed(seed)
