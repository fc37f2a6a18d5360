"""Leaving a round, meeting in another, and what is kept on the way (S and L: rows of docs/spec/ibft2.md)."""

import pytest

from lacnode.consensus.bft.effects import (
    BuildBlock,
    CheckProposal,
    ImportBlock,
    RecordPrepared,
    SendMessage,
    SignPayload,
    StartRoundTimer,
)
from lacnode.consensus.bft.events import BlockTimerExpired, PeerConnected, ProposalChecked, RoundTimerExpired
from lacnode.consensus.bft.messages import Commit, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payloads import RoundChangePayload, RoundId
from lacnode.consensus.bft.round_change_manager import RoundChangeManager
from lacnode.consensus.bft.round_timers import MAX_DOUBLINGS, RESEND_INTERVAL_MS
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.payloads import ROUND_CHANGE
from tests.support.ibft2_blocks import with_round
from tests.unit.consensus.test_network import (
    FOUR,
    GENESIS_TIME,
    KEYS,
    STRANGER,
    A,
    B,
    Bench,
    C,
    D,
    commit,
    only,
    prepare,
    prepared_by,
    propose,
    round_change,
    sent,
    signed,
    topics,
)

LATER_MS = (GENESIS_TIME + 10) * 1000


def targets(bench: Bench) -> list[int]:
    """The rounds this validator has asked for, in order, each once."""
    messages = sent(RoundChange, bench.effects, bench.key.address)
    return list(dict.fromkeys(message.signed.payload.round_id.round for message in messages))


# -- by time ---------------------------------------------------------------------------------------------------------


def test_an_expired_round_is_left_with_a_round_change() -> None:
    bench = Bench(B).start()
    [message] = sent(RoundChange, bench.expire_round())
    assert message.signed.payload == RoundChangePayload(RoundId(1, 1), None)
    assert message.block is None
    assert bench.machine.status.round == 1


def test_round_timers_double() -> None:
    bench = Bench(B, timeout_ms=1000).start()
    for _ in range(4):
        bench.expire_round()
    assert [timer.delay_ms for timer in only(StartRoundTimer, bench.effects)] == [1000, 2000, 4000, 8000, 16000]


def test_round_timers_stop_doubling() -> None:
    """L16: no absurd delay, and none below what was asked."""
    bench = Bench(B).start()
    bench.hear(*(round_change(key, 2**31 - 2) for key in (A, C)))
    status = bench.machine.status
    assert status.round == 2**31 - 2
    assert status.round_ends_ms == bench.now_ms + 4000 * 2**MAX_DOUBLINGS
    assert bench.give(RoundTimerExpired(1, 2**31 - 2)) == []


def test_a_long_round_says_again_what_it_said() -> None:
    bench = Bench(B, timeout_ms=RESEND_INTERVAL_MS).start()
    first = only(SendMessage, bench.expire_round())
    again = bench.give(RoundTimerExpired(1, 1))
    assert only(SendMessage, again) == first
    assert only(StartRoundTimer, again) == [StartRoundTimer(1, 1, RESEND_INTERVAL_MS)]
    assert targets(bench) == [1]
    bench.give(RoundTimerExpired(1, 1))
    assert targets(bench) == [1, 2]


def test_a_timer_of_another_round_or_height_is_ignored() -> None:
    bench = Bench(B).start()
    assert bench.give(RoundTimerExpired(1, 1)) == []
    assert bench.give(RoundTimerExpired(2, 0)) == []
    assert bench.give(BlockTimerExpired(1, 0)) == []


# -- by a quorum -----------------------------------------------------------------------------------------------------


def test_a_quorum_starts_the_round_and_its_proposer_proposes_at_once() -> None:
    bench = Bench(B).start()
    bench.now_ms = LATER_MS + 900
    bench.hear(round_change(A, 1))
    effects = bench.hear(round_change(C, 1))
    [proposal] = sent(Proposal, effects, B.address)
    assert proposal.justification.round_changes is not None
    assert len(proposal.justification.round_changes) == 3
    assert proposal.block.header.timestamp == LATER_MS // 1000
    assert proposal.block.header.coinbase == B.address


def test_a_later_round_does_not_build_a_block_that_comes_too_soon() -> None:
    bench = Bench(B).start()
    bench.hear(round_change(A, 1), round_change(C, 1))
    assert not only(BuildBlock, bench.effects)
    bench.now_ms = (GENESIS_TIME + 2) * 1000
    assert sent(Proposal, bench.give(BlockTimerExpired(1, 1)), B.address)


def test_the_prepared_block_is_proposed_again() -> None:
    bench = Bench(B).start()
    original = propose(A, bench.make_block())
    bench.hear(round_change(A, 1), round_change(C, 1, prepared_by(original, C, D)))
    [proposal] = sent(Proposal, bench.effects, B.address)
    assert proposal.block == with_round(original.block, 1)
    assert proposal.block.header.coinbase == A.address
    assert not only(BuildBlock, bench.effects)


def test_the_highest_prepared_round_wins() -> None:
    """S11."""
    bench = Bench(C).start()
    first = propose(A, bench.make_block())
    second = propose(B, bench.make_block(1), certificate=[round_change(key, 1) for key in (A, B, D)])
    bench.hear(round_change(A, 2, prepared_by(first, C, D)), round_change(B, 2, prepared_by(second, A, D)))
    [proposal] = sent(Proposal, bench.effects, C.address)
    assert proposal.block == with_round(second.block, 2)


def test_the_first_round_change_of_a_validator_stays() -> None:
    """S12."""
    bench = Bench(B, KEYS[:7]).start()
    status_before = [round_change(KEYS[0], 1), round_change(KEYS[0], 1, None)]
    proposal = propose(KEYS[0], bench.make_block())
    other = round_change(KEYS[0], 1, prepared_by(proposal, *KEYS[1:5]))
    bench.hear(*status_before, other)
    assert bench.machine.status.round_changes == {1: [KEYS[0].address]}


@pytest.mark.parametrize(
    ("prepares", "what"),
    [
        ((C,), "too few"),
        ((C, C), "one validator twice"),
        ((A, C), "the proposer's own"),
        ((C, STRANGER), "a stranger's"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(prepares: tuple[object, ...], what: str) -> None:
    """S2, and its cousins."""
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    bench.hear(round_change(C, 1, prepared_by(proposal, *prepares)))  # type: ignore[arg-type]
    assert bench.machine.status.round_changes == {}, what


def test_a_round_change_whose_block_is_not_the_certificates_is_refused() -> None:
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    honest = round_change(C, 1, prepared_by(proposal, C, D))
    other = bench.make_block(vanity=b"other".ljust(32))
    effects = bench.hear(RoundChange(honest.signed, other), RoundChange(honest.signed, None))
    assert topics(effects) == ["false-block", "roundchange-refused"]


def test_a_certificate_of_the_round_asked_for_is_refused() -> None:
    bench = Bench(D).start()
    proposal = propose(B, bench.make_block(1), certificate=[round_change(key, 1) for key in (A, B, C)])
    assert topics(bench.hear(round_change(C, 1, prepared_by(proposal, A, C)))) == ["roundchange-refused"]


# -- by a proposal ---------------------------------------------------------------------------------------------------


def test_a_justified_proposal_takes_us_to_its_round() -> None:
    bench = Bench(D).start()
    proposal = propose(C, bench.make_block(2), certificate=[round_change(key, 2) for key in (A, B, C)])
    effects = bench.hear(proposal)
    assert bench.machine.status.round == 2
    assert sent(Prepare, effects, D.address)


def test_votes_heard_before_their_round_count_in_it() -> None:
    """L15."""
    bench = Bench(D).start()
    proposal = propose(C, bench.make_block(2), certificate=[round_change(key, 2) for key in (A, B, C)])
    bench.hear(prepare(A, proposal), prepare(B, proposal), *(commit(key, proposal) for key in (A, B, C)))
    assert not only(ImportBlock, bench.effects)
    assert only(ImportBlock, bench.hear(proposal))


@pytest.mark.parametrize("authors", [(A, B), (A, B, B), (A, B, STRANGER)])
def test_a_later_proposal_without_a_quorum_is_refused(authors: tuple[object, ...]) -> None:
    bench = Bench(D).start()
    certificate = [round_change(key, 2) for key in authors]  # type: ignore[arg-type]
    bench.hear(propose(C, bench.make_block(2), certificate=certificate))
    assert bench.machine.status.round == 0
    assert not only(SignPayload, bench.effects)


def test_a_proposal_that_ignores_the_prepared_block_is_refused() -> None:
    """S10: another block, or the right one with the round not rewritten."""
    bench = Bench(D).start()
    original = propose(A, bench.make_block())
    certificate = [round_change(A, 1), round_change(B, 1), round_change(C, 1, prepared_by(original, B, C))]
    other = propose(B, bench.make_block(1), certificate=certificate)
    assert topics(bench.hear(other)) == ["proposal-refused"]
    stale = Proposal(propose(B, with_round(original.block, 1)).signed, original.block, other.justification)
    assert topics(bench.hear(stale)) == ["false-block"]
    again = propose(B, with_round(original.block, 1), certificate=certificate)
    assert sent(Prepare, bench.hear(again), D.address)


# -- by f+1 ----------------------------------------------------------------------------------------------------------


def test_f_plus_1_round_changes_take_us_along() -> None:
    bench = Bench(D).start()
    bench.hear(round_change(A, 5))
    assert bench.machine.status.round == 0
    bench.hear(round_change(B, 3))
    assert bench.machine.status.round == 3
    assert targets(bench) == [3]


def test_f_liars_do_not_move_us() -> None:
    bench = Bench(KEYS[0], KEYS[:7]).start()
    for key in KEYS[1:3]:
        bench.hear(*(round_change(key, target) for target in (1, 2, 7, 100, 2**31 - 1)))
    assert bench.machine.status.round == 0
    bench.hear(round_change(KEYS[3], 1))
    assert bench.machine.status.round == 1


def test_many_round_changes_of_one_author_take_bounded_memory() -> None:
    """L16."""
    bench = Bench(D).start()
    for target in range(1, 200):
        bench.hear(round_change(A, target))
    asked = bench.machine.status.round_changes
    assert asked is not None
    assert sorted(asked) == list(range(190, 200))


def test_a_negative_round_or_height_is_ignored() -> None:
    """L16."""
    bench = Bench(D).start()
    payloads = [RoundChangePayload(RoundId(1, -1)), RoundChangePayload(RoundId(-5, 1))]
    assert bench.hear(*(RoundChange(signed(payload, A)) for payload in payloads)) == []


# -- what is kept ----------------------------------------------------------------------------------------------------


def prepared_bench() -> tuple[Bench, Proposal]:
    """D, prepared in round 0 and committed to it."""
    bench = Bench(D).start()
    proposal = propose(A, bench.make_block())
    bench.hear(proposal, prepare(B, proposal))
    assert only(RecordPrepared, bench.effects)
    return bench, proposal


def test_the_prepared_block_is_shown_when_time_runs_out() -> None:
    bench, proposal = prepared_bench()
    [message] = sent(RoundChange, bench.expire_round(), D.address)
    assert message.block == proposal.block
    certificate = message.signed.payload.certificate
    assert certificate is not None
    assert certificate.proposal == proposal.signed


def test_the_prepared_block_is_kept_however_the_round_is_left() -> None:
    """S8: Besu forgets it when a quorum or a later proposal takes it along."""
    bench, proposal = prepared_bench()
    bench.hear(*(round_change(key, 2) for key in (A, B, C)))
    message = sent(RoundChange, bench.effects, D.address)[-1]
    assert message.signed.payload.round_id.round == 2
    assert message.block == proposal.block
    bench, proposal = prepared_bench()
    bench.hear(propose(C, bench.make_block(2), certificate=[round_change(key, 2) for key in (A, B, C)]))
    [message] = sent(RoundChange, bench.expire_round(), D.address)
    assert message.block == proposal.block


def test_a_newer_prepared_block_replaces_the_older() -> None:
    bench, original = prepared_bench()
    certificate = [round_change(A, 1), round_change(B, 1), round_change(C, 1, prepared_by(original, C, D))]
    again = propose(B, with_round(original.block, 1), certificate=certificate)
    bench.hear(again, prepare(A, again))
    [message] = sent(RoundChange, bench.expire_round(), D.address)
    assert message.block == again.block
    assert committed_seal_hash(again.block.header) == again.signed.payload.digest


# -- meeting again ---------------------------------------------------------------------------------------------------


def test_a_validator_that_connects_is_told_where_we_are() -> None:
    bench = Bench(B).start()
    [asked] = only(SendMessage, bench.expire_round())
    assert bench.give(PeerConnected(C.address)) == [SendMessage(ROUND_CHANGE, asked.data, frozenset({C.address}))]
    assert bench.give(PeerConnected(STRANGER.address)) == []


def test_a_validator_that_lags_is_reminded_once_a_round() -> None:
    bench = Bench(B).start()
    bench.expire_round()
    bench.expire_round()
    effects = bench.hear(round_change(C, 1))
    assert [(send.code, send.recipients) for send in only(SendMessage, effects)] == [
        (ROUND_CHANGE, frozenset({A.address, D.address})),
        (ROUND_CHANGE, frozenset({C.address})),
    ]
    proposal = propose(A, bench.make_block())
    effects = bench.hear(prepare(C, proposal))
    assert all(send.recipients != frozenset({C.address}) for send in only(SendMessage, effects))


# -- after the power went --------------------------------------------------------------------------------------------


def test_a_restart_after_the_commit_keeps_the_block() -> None:
    """S7."""
    bench, proposal = prepared_bench()
    again = bench.restarted()
    assert sent(Prepare, again.effects, D.address)
    assert sent(Commit, again.effects, D.address)
    assert only(ImportBlock, again.hear(commit(A, proposal), commit(B, proposal)))


def test_a_restart_after_the_proposal_proposes_the_same_again() -> None:
    bench = Bench(A).start()
    bench.now_ms = LATER_MS
    bench.give(BlockTimerExpired(1, 0))
    [proposal] = sent(Proposal, bench.effects, A.address)
    again = bench.restarted()
    again.now_ms = LATER_MS
    assert only(SendMessage, again.effects) == only(SendMessage, bench.effects)
    assert not only(BuildBlock, [*again.effects, *again.give(BlockTimerExpired(1, 0))])
    again.hear(*(prepare(key, proposal) for key in (B, C, D)))
    assert sent(Commit, again.effects, A.address)


def test_a_restart_after_a_justified_proposal_proposes_the_same_again() -> None:
    bench = Bench(B).start()
    bench.now_ms = LATER_MS
    bench.hear(*(round_change(key, 1) for key in (A, C, D)))
    [proposal] = sent(Proposal, bench.effects, B.address)
    assert proposal.justification.round_changes
    again = bench.restarted()
    again.now_ms = LATER_MS
    assert sent(Proposal, again.effects, B.address) == [proposal]
    assert sent(RoundChange, again.effects, B.address) == sent(RoundChange, bench.effects, B.address)


def test_a_block_whose_proposal_was_not_signed_is_not_proposed_after_a_restart() -> None:
    bench = Bench(A).start()
    bench.now_ms = LATER_MS
    bench.give(BlockTimerExpired(1, 0))
    bench.records.pop()
    again = bench.restarted()
    again.now_ms = LATER_MS
    assert not only(SendMessage, again.effects)
    assert only(BuildBlock, again.give(BlockTimerExpired(1, 0)))


def test_a_restart_after_the_commit_shows_the_block_in_the_next_round() -> None:
    bench, proposal = prepared_bench()
    again = bench.restarted()
    [message] = sent(RoundChange, again.expire_round(), D.address)
    assert message.block == proposal.block


def test_a_restart_goes_on_in_the_round_it_had_asked_for() -> None:
    bench, _ = prepared_bench()
    bench.expire_round()
    bench.expire_round()
    again = bench.restarted()
    assert again.machine.status.round == 2
    assert only(SendMessage, again.effects) == [only(SendMessage, bench.effects)[-1]]


def test_a_restarted_proposer_does_not_propose_another_block() -> None:
    bench = Bench(A).start()
    bench.now_ms = LATER_MS
    assert sent(Proposal, bench.give(BlockTimerExpired(1, 0)))
    again = bench.restarted()
    again.now_ms = LATER_MS + 1000
    again.give(BlockTimerExpired(1, 0))
    assert only(SendMessage, again.effects) == only(SendMessage, bench.effects)


def test_a_restarted_validator_does_not_prepare_another_block() -> None:
    bench = Bench(B).start()
    first, second = (propose(A, bench.make_block(vanity=text.ljust(32))) for text in (b"first", b"second"))
    bench.hear(first)
    again = bench.restarted()
    effects = again.hear(second)
    assert not sent(Prepare, effects)
    assert topics(effects) == ["not-signed"]


def test_all_restart_between_prepare_and_commit() -> None:
    benches = {key.address: Bench(key).start() for key in FOUR}
    proposal = propose(A, benches[A.address].make_block())
    for key in (B, C, D):
        benches[key.address].hear(proposal, prepare(B, proposal), prepare(C, proposal), prepare(D, proposal))
    again = [benches[key.address].restarted() for key in (B, C, D)]
    for bench in again:
        for other in again:
            bench.hear(*sent(Commit, other.effects, other.key.address))
        [imported] = only(ImportBlock, bench.effects)
        assert imported.digest == proposal.signed.payload.digest


# -- while a check is waiting ----------------------------------------------------------------------------------------


def waiting_for_round_2() -> tuple[Bench, Proposal]:
    """C's proposal for round 2 is being checked when a quorum goes there."""
    bench = Bench(B).start()
    bench.checks_wait = True
    asked = [round_change(key, 2) for key in (A, C, D)]
    proposal = propose(C, bench.make_block(2), asked)
    bench.hear(proposal, *asked)
    assert bench.machine.status.round == 2
    return bench, proposal


def test_a_check_goes_on_when_its_round_begins_meanwhile() -> None:
    bench, proposal = waiting_for_round_2()
    effects = bench.give(ProposalChecked(2, proposal.signed.payload.digest, None))
    assert sent(Prepare, effects, B.address)


def test_a_proposer_has_no_second_say_when_its_round_begins_meanwhile() -> None:
    bench, _ = waiting_for_round_2()
    other = propose(C, bench.make_block(2, vanity=b"other".ljust(32)), [round_change(key, 2) for key in (A, C, D)])
    effects = bench.hear(other)
    assert topics(effects) == ["equivocation"]
    assert not only(CheckProposal, effects)


def test_no_round_after_the_last_is_entered() -> None:
    """L16: the wire has no number for the round after it."""
    bench = Bench(B).start()
    bench.hear(*(round_change(key, 2**31 - 1) for key in (A, C)))
    assert bench.machine.status.round == 0


def test_the_first_early_vote_of_an_author_stays() -> None:
    bench = Bench(B).start()
    proposal, other = propose(A, bench.make_block()), propose(A, bench.make_block(vanity=b"other".ljust(32)))
    bench.hear(prepare(C, other), prepare(C, proposal), commit(C, other), commit(C, proposal), proposal)
    status = bench.machine.status
    assert (status.prepared_by, status.committed_by) == ((B.address,), ())


def test_the_first_round_change_of_an_author_for_a_round_stays() -> None:
    """S12."""
    book = RoundChangeManager()
    first, second = round_change(A, 2), round_change(A, 2, prepared_by(propose(A, Bench(B).make_block()), C, D))
    assert book.add(first)
    assert not book.add(second)
    assert book.messages_for_round(2) == [first]


def test_a_message_that_comes_again_is_not_read_again() -> None:
    bench = Bench(B).start()
    proposal, other = propose(A, bench.make_block()), propose(A, bench.make_block(vanity=b"other".ljust(32)))
    bench.hear(proposal)
    assert topics(bench.hear(prepare(C, other))) == ["prepare-refused"]
    assert bench.hear(prepare(C, other), via=D.address) == []
