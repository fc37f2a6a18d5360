"""The simulation bites: deliberate faults in consensus are caught, and only they are.

Each fault has a scenario that holds with the code as it is and fails with the fault in it. Some are also looked for
with random seeds, as an unknown fault would have to be.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lacnode.consensus import header_rules, quorum, validation
from lacnode.consensus.block_hash import committed_seal_hash
from lacnode.consensus.journal import Journal
from lacnode.consensus.messages import Commit, Prepare, Proposal, RoundChange, decode_envelope, decode_message
from lacnode.consensus.payloads import (
    COMMIT,
    PROPOSAL,
    ROUND_CHANGE,
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.round import Round
from lacnode.consensus.round_changes import RoundChangeBook
from lacnode.consensus.validation import Committee
from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.crypto.signer import KeySigner
from lacnode.primitives.block import Block
from tests.simulation import ledger
from tests.simulation.byzantine import signed_by
from tests.simulation.campaign import Stalled, recovery_bound_ms, run_seed
from tests.simulation.clock import Storm
from tests.simulation.invariants import Broken
from tests.simulation.network import Interceptor, Network
from tests.simulation.stage import all_prepared, all_restart, every, keeping_back, must_reach, started

Fault = Callable[[pytest.MonkeyPatch], None]

CAUGHT = (Broken, Stalled, Storm)

FINISHER, PROPOSER = 0, 2
"""At height 3 node 2 proposes first and node 3 next; node 0 finishes the block in secret where a scenario wants so."""


# -- faults --------------------------------------------------------------------------------------------------------


def one_vote_too_few_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _change_quorum(monkeypatch, -1)


def one_vote_more_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    _change_quorum(monkeypatch, 1)


def _change_quorum(monkeypatch: pytest.MonkeyPatch, change: int) -> None:
    monkeypatch.setattr(validation, "quorum", lambda n: quorum.quorum(n) + change)
    monkeypatch.setattr(header_rules, "quorum", lambda n: quorum.quorum(n) + change)
    monkeypatch.setattr(validation, "prepares_needed", lambda n: quorum.prepares_needed(n) + change)


def everything_is_forgotten_on_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "restore", lambda records: Journal())


def the_prepared_block_is_forgotten_on_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed is remembered, the lock is not."""
    restore = Journal.restore

    def forgetful(records: list[bytes]) -> Journal:
        journal = restore(records)
        for signed in journal._heights.values():
            signed.prepared = None
        return journal

    monkeypatch.setattr(Journal, "restore", forgetful)


def prepared_certificates_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "check_prepared_certificate", lambda *_: None)


def round_change_certificates_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_check_round_change_certificate", lambda *_: None)


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
    monkeypatch.setattr(ledger, "check_full", header_rules.check_light)


def one_vote_takes_us_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single round change for a later round is followed, instead of f+1."""
    wanted_by = RoundChangeBook.wanted_by
    monkeypatch.setattr(RoundChangeBook, "wanted_by", lambda book, count, above: wanted_by(book, 1, above))


# -- scenarios that hold without them --------------------------------------------------------------------------------


def halves() -> None:
    """A network cut in the middle stands still, and goes on when it is whole."""
    network = started(4)
    must_reach(network, 2, 20_000)
    network.partition({0: 1, 1: 1})
    network.run_for(20_000)
    network.partition({})
    must_reach(network, max(node.height for node in network.nodes) + 2, recovery_bound_ms(network))


def one_is_gone() -> None:
    """Three of four go on."""
    network = started(4)
    must_reach(network, 2, 20_000)
    network.stop([3])
    bound = 3 * recovery_bound_ms(network)
    if not network.run_until(lambda: all(node.height >= 4 for node in network.nodes[:3]), bound):
        raise Stalled("three of four do not go on")


def finisher_returns_all() -> None:
    all_restart(FINISHER)


def with_liar(index: int, behaviour: Callable[[Network], Interceptor]) -> Network:
    """Four validators at height 3, one of which turns into a liar now."""
    network = started(4)
    must_reach(network, 2, 20_000)
    network.byzantine = frozenset({index})
    network.invariants.trust_no_more(network.addresses[index])
    network.interceptors[index] = behaviour(network)
    return network


def one_finishes_in_secret(liar: int, behaviour: Callable[[Network], Interceptor]) -> None:
    """All prepare block 3 and only one node gets the commits, and is gone for a while; the liar proposes another."""
    network = started(4)
    must_reach(network, 2, 20_000)
    lose = keeping_back(COMMIT, 3, 0)

    def to_finisher(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if not lose(source, code, data, recipients):
            return False
        network.transmit(source, code, data, recipients & {network.addresses[FINISHER]})
        return True

    every(network, to_finisher)
    assert network.run_until(all_prepared(network, 3), 10_000)
    assert network.run_until(lambda: network.nodes[FINISHER].height == 3, 1_000)
    network.stop([FINISHER])
    every(network, None)
    network.byzantine = frozenset({liar})
    network.invariants.trust_no_more(network.addresses[liar])
    network.interceptors[liar] = behaviour(network)
    network.run_for(15_000)
    network.start([FINISHER])
    must_reach(network, 5, recovery_bound_ms(network))


def usurper(network: Network) -> Interceptor:
    """Node 3 proposes a block of its own in round 1, with an empty certificate."""
    node = network.nodes[3]

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = decode_message(code, data)
        if not isinstance(message, Proposal) or message.signed.payload.round_id != RoundId(3, 1):
            return False
        if message.signed.author == node.address:
            block = _other_block(network, 3, 1)
            digest = committed_seal_hash(block.header)
            signer = KeySigner(node.key)
            lie = Proposal(signed_by(ProposalPayload(RoundId(3, 1), digest), signer), block, ())
            vote = Commit(signed_by(CommitPayload(RoundId(3, 1), digest), signer))
            network.transmit(source, PROPOSAL, lie.encode(), recipients)
            network.transmit(source, COMMIT, vote.encode(), recipients)
        return True

    return intercept


def pretender(network: Network) -> Interceptor:
    """Node 1 claims in its round change that a block of its own was prepared, later than any other."""
    node = network.nodes[1]

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        round_id, author = decode_envelope(code, data)
        if code != ROUND_CHANGE or round_id != RoundId(3, 1) or author != node.address:
            return False
        block, signer = _other_block(network, 1, 5), KeySigner(node.key)
        proposal = ProposalPayload(RoundId(3, 5), committed_seal_hash(block.header))
        certificate = PreparedCertificate(signed_by(proposal, signer), ())
        lie = RoundChange(signed_by(RoundChangePayload(round_id, certificate), signer), block)
        network.transmit(source, code, lie.encode(), recipients)
        return True

    return intercept


def _other_block(network: Network, index: int, round_: int) -> Block:
    chain = network.nodes[index].disk.ledger
    return chain.make_block(network.addresses[index], round_, chain.head.timestamp + 2, b"another")


def a_usurper() -> None:
    one_finishes_in_secret(3, usurper)


def a_pretender() -> None:
    one_finishes_in_secret(1, pretender)


def a_repeater() -> None:
    """Node 0 says all it says to the proposer twice, in different bytes, and nothing to others, who hear of no proposal
    either; and then it is silent."""
    network = with_liar(0, repeater)
    network.interceptors[PROPOSER] = lambda source, code, data, recipients: _only_to(
        network, {network.addresses[0]}, keeping_back(PROPOSAL, 3, 0), (source, code, data, recipients)
    )
    must_reach(network, 5, 3 * recovery_bound_ms(network))


def _only_to(
    network: Network, few: set[bytes], which: Interceptor, sent: tuple[int, int, bytes, frozenset[bytes]]
) -> bool:
    source, code, data, recipients = sent
    if which(*sent):
        network.transmit(source, code, data, recipients & few)
        return True
    return False


def repeater(network: Network) -> Interceptor:
    """Node 0 prepares and commits what it hears of in round 0 of height 3, both twice, and only the proposer is told."""
    node = network.nodes[0]
    signer = KeySigner(node.key)
    victim = frozenset({network.addresses[PROPOSER]})

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = decode_message(code, data)
        payload = message.signed.payload
        if isinstance(message, Prepare) and payload.round_id == RoundId(3, 0) and message.signed.author == node.address:
            commit = signed_by(CommitPayload(payload.round_id, message.signed.payload.digest), signer)
            seal = _other_signature(commit.payload.seal or b"")
            other = signed_by(replace(commit.payload, seal=seal), signer)
            again = replace(message.signed, signature=_other_signature(message.signed.signature))
            for said in (message, Prepare(again), Commit(commit), Commit(other)):
                network.transmit(source, said.code, said.encode(), victim)
        return True

    return intercept


def _other_signature(signature: bytes) -> bytes:
    """ECDSA has two signatures for everything: (r, s) and (r, -s)."""
    s = CURVE_ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([signature[64] ^ 1])


def a_hurrier() -> None:
    """Node 0 asks for rounds that last for hours, in which it is the proposer, and says nothing else."""
    network = with_liar(0, hurrier)
    must_reach(network, 5, 3 * recovery_bound_ms(network))


def hurrier(network: Network) -> Interceptor:
    """Node 0 answers everything with a round change to a far round of its own."""
    signer = KeySigner(network.nodes[0].key)

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        height = decode_envelope(code, data)[0].sequence
        head = network.nodes[0].disk.ledger.head
        committee = Committee(height, network.addresses, head.coinbase)
        mine = next(number for number in range(20, 24) if committee.proposer(number) == signer.address)
        lie = RoundChange(signed_by(RoundChangePayload(RoundId(height, mine), None), signer), None)
        network.transmit(source, ROUND_CHANGE, lie.encode(), recipients)
        return True

    return intercept


# -- the tests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        (halves, one_vote_too_few_is_enough),
        (one_is_gone, one_vote_more_is_needed),
        (finisher_returns_all, everything_is_forgotten_on_restart),
        (finisher_returns_all, the_prepared_block_is_forgotten_on_restart),
        (a_pretender, prepared_certificates_are_believed),
        (a_usurper, round_change_certificates_are_believed),
        (a_repeater, repeated_prepares_count),
        (a_repeater, repeated_commits_count),
        (a_hurrier, one_vote_takes_us_along),
    ],
)
def test_a_scenario_catches(scenario: Callable[[], None], fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario()
    fault(monkeypatch)
    with pytest.raises(CAUGHT):
        scenario()


@pytest.mark.parametrize(
    "fault", [one_vote_too_few_is_enough, one_vote_more_is_needed, everything_is_forgotten_on_restart]
)
def test_random_seeds_catch(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    with pytest.raises(CAUGHT):
        _run_seeds(40)


def _run_seeds(count: int) -> None:
    for seed in range(count):
        run_seed(seed)
