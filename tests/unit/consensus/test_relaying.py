"""What a peer that changes the unsigned part of messages does to the relaying of these messages."""

from dataclasses import replace

import pytest

from lacnode.consensus.bft import messages_of_others, relay_shares
from lacnode.consensus.bft.effects import Effect, SendMessage
from lacnode.consensus.bft.events import PeerConnected, RoundTimerExpired
from lacnode.consensus.bft.messages import Commit, Justification, Message, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.consensus.bft.relay_shares import MAX_RELAYED_INDIRECT_MESSAGES
from lacnode.consensus.ibft2.messages import decode_message
from tests.support.ibft2_blocks import with_seals
from tests.unit.consensus.test_network import (
    KEYS,
    Bench,
    commit,
    only,
    prepare,
    prepared_by,
    propose,
    round_change,
    sent,
    signed,
    signed_again,
    topics,
)

A, B, C, D, E = FIVE = sorted(KEYS[:5], key=lambda key: key.address)


def bench_of_c() -> Bench:
    """C receives from B what the others sign, and relays it to E."""
    return Bench(C, FIVE).start()


def relayed(effects: list[Effect]) -> int:
    """The number of messages that C relays to E."""
    return sum(
        E.address in effect.recipients and B.address not in effect.recipients for effect in only(SendMessage, effects)
    )


def with_round_changes(proposal: Proposal, *round_changes: RoundChange) -> Proposal:
    return replace(proposal, justification=Justification(tuple(message.signed for message in round_changes)))


def test_variants_of_a_proposal_use_up_nothing_of_the_relay_and_of_the_author() -> None:
    """Attack: D attaches its own round changes to A's proposal. B is honest, and relays what it receives."""
    bench = bench_of_c()
    proposal = propose(A, bench.make_block())
    assert relayed(bench.hear(proposal, via=B.address)) == 1
    variants = [with_round_changes(proposal, round_change(D, number)) for number in range(1, 100)]
    assert relayed(bench.hear(*variants, via=B.address)) == 0
    for vote in (prepare(D, proposal), commit(A, proposal)):
        assert relayed(bench.hear(vote, via=B.address)) == 1


def test_the_true_copy_is_relayed_after_a_false_one() -> None:
    bench = bench_of_c()
    honest = propose(B, bench.make_block(1), [round_change(key, 1) for key in (A, B, D, E)])
    false = with_round_changes(honest, round_change(A, 1), round_change(D, 1))
    effects = bench.hear(false, via=A.address)
    assert topics(effects) == ["proposal-refused"]
    assert not sent(Proposal, effects)
    assert sent(Proposal, bench.hear(honest)) == [honest]


def test_a_false_copy_for_an_earlier_round_does_not_keep_back_the_true_one() -> None:
    bench = bench_of_c()
    proposal = propose(A, bench.make_block())
    bench.expire_round()
    assert not sent(Proposal, bench.hear(with_round_changes(proposal, round_change(D, 1)), via=D.address))
    assert sent(Proposal, bench.hear(proposal)) == [proposal]


def test_a_round_change_with_a_block_that_its_author_did_not_sign_is_not_relayed() -> None:
    bench = bench_of_c()
    shown = round_change(A, 1, prepared_by(propose(A, bench.make_block()), B, D, E))
    false = replace(shown, block=bench.make_block(vanity=b"another".ljust(32)))
    assert not sent(RoundChange, bench.hear(false, via=D.address))
    assert sent(RoundChange, bench.hear(shown)) == [shown]


def test_one_signed_payload_is_relayed_once_whatever_is_attached_to_it() -> None:
    bench = bench_of_c()
    asked = {key: round_change(key, 1) for key in FIVE}
    proposal = propose(B, bench.make_block(1), list(asked.values()))
    copies = [with_round_changes(proposal, *(asked[key] for key in FIVE if key is not other)) for other in FIVE]
    assert relayed(bench.hear(proposal, *copies, via=B.address)) == 1


def test_a_vote_is_relayed_once_whatever_its_signature() -> None:
    """Attack: D signs its prepare again and again. Each signature is valid."""
    bench = bench_of_c()
    vote = prepare(D, propose(A, bench.make_block()))
    assert relayed(bench.hear(vote, signed_again(vote), via=B.address)) == 1


def test_seals_attached_to_a_block_use_up_no_bytes_of_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: D attaches megabytes of seals, and its copy arrives before the true one."""
    monkeypatch.setattr(relay_shares, "MAX_RELAYED_INDIRECT_BYTES", 10_000)
    bench = bench_of_c()
    proposal = propose(A, bench.make_block())
    shown = round_change(A, 1, prepared_by(proposal, B, D, E))
    assert shown.block is not None
    seals = (bytes([1]) * 64 + b"\0",) * 1_000
    sealed = [replace(message, block=with_seals(shown.block, seals)) for message in (proposal, shown)]
    assert relayed(bench.hear(*sealed, via=B.address)) == 0
    assert relayed(bench.hear(proposal, commit(A, proposal), shown, via=B.address)) == 3


def test_the_messages_that_a_relay_brings_are_counted_for_each_round() -> None:
    """Otherwise the rounds of a bad height use up what is relayed in the next one."""
    bench = bench_of_c()
    for round_ in (0, 1, 2):
        payloads = [PreparePayload(RoundId(1, round_), number.to_bytes(32)) for number in range(100)]
        prepares = [Prepare(signed(payload, A)) for payload in payloads]
        assert relayed(bench.hear(*prepares, via=B.address)) == MAX_RELAYED_INDIRECT_MESSAGES
        bench.expire_round()
    assert sent(Commit, bench.hear(commit(A, propose(A, bench.make_block())))), "what the author sends itself"


# -- a link that was cut ---------------------------------------------------------------------------------------------


def told(effects: list[Effect]) -> list[Message]:
    """The messages of others that E, which connects, is sent."""
    sends = [effect for effect in only(SendMessage, effects) if effect.is_relayed]
    assert all(effect.recipients == {E.address} for effect in sends)
    return [decode_message(effect.code, effect.data) for effect in sends]


def test_a_validator_that_connects_is_sent_what_others_said_in_this_round() -> None:
    """A and B are connected to E through C only. Their messages were relayed while the link to E was cut."""
    bench = bench_of_c()
    proposal = propose(A, bench.make_block())
    votes: list[Message] = [prepare(B, proposal), prepare(D, proposal), commit(D, proposal)]
    bench.hear(proposal, *votes, via=B.address)
    assert told(bench.give(PeerConnected(E.address))) == [proposal, *votes]


def test_a_validator_that_connects_is_sent_the_last_round_change_of_each_other() -> None:
    bench = bench_of_c()
    shown = round_change(B, 1, prepared_by(propose(A, bench.make_block()), B, D, E))
    bench.hear(round_change(A, 1), round_change(D, 1), shown, via=B.address)
    bench.hear(round_change(A, 2), round_change(E, 1), via=B.address)
    assert told(bench.give(PeerConnected(E.address))) == [round_change(A, 2), round_change(D, 1), shown]


def test_a_link_that_flaps_costs_the_messages_of_others_once_in_a_part_of_a_round() -> None:
    bench = bench_of_c()
    bench.hear(*(round_change(key, 5) for key in (A, B)), via=B.address)
    assert told(bench.give(PeerConnected(E.address)))
    assert not told(bench.give(PeerConnected(E.address)))
    bench.give(RoundTimerExpired(1, 5))
    assert told(bench.give(PeerConnected(E.address)))


def test_a_validator_that_connects_is_sent_a_bounded_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round change may show a block of megabytes, and encoding one takes time."""
    bench = bench_of_c()
    shown = prepared_by(propose(A, bench.make_block()), B, D, E)
    bench.hear(*(round_change(key, 1, shown) for key in (A, B)), round_change(D, 1), via=B.address)
    monkeypatch.setattr(messages_of_others, "MAX_BYTES_OF_OTHERS", 200)
    assert told(bench.give(PeerConnected(E.address))) == [round_change(D, 1), round_change(A, 1, shown)]
