"""One round as its proposer and as a validator lives it; numbers such as S4 and L14 are those of docs/spec/ibft2.md."""

from dataclasses import replace
from itertools import permutations

import pytest

from lacnode.consensus.bft.effects import (
    BlamePeer,
    BuildBlock,
    CheckProposal,
    ImportBlock,
    RecordDraft,
    RecordPrepared,
    SendMessage,
    SignPayload,
    StartBlockTimer,
    StartRoundTimer,
)
from lacnode.consensus.bft.events import BlockTimerExpired, ImportFailed, ProposalChecked, RoundTimerExpired
from lacnode.consensus.bft.messages import Commit, Justification, Message, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payloads import CommitPayload, PreparePayload, ProposalPayload, RoundId, SignedPayload
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import CURVE_ORDER
from tests.unit.consensus.test_network import (
    FOUR,
    GENESIS_TIME,
    STRANGER,
    A,
    B,
    Bench,
    C,
    D,
    commit,
    make_block,
    only,
    prepare,
    propose,
    sent,
    signed,
    topics,
)


def high_s(signature: bytes) -> bytes:
    """The other signature that recovers to the same key."""
    s = CURVE_ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([1 - signature[64]])


def with_proposal(bench: Bench) -> Proposal:
    """Let the bench, not being the proposer, accept A's proposal for round 0."""
    proposal = propose(A, bench.make_block())
    bench.hear(proposal)
    return proposal


# -- the proposer ----------------------------------------------------------------------------------------------------


def test_the_proposer_waits_for_the_block_time_and_all_wait_for_the_round() -> None:
    assert only(StartBlockTimer, Bench(A).start().effects) == [StartBlockTimer(1, 0, (GENESIS_TIME + 2) * 1000)]
    assert not only(StartBlockTimer, Bench(B).start().effects)
    for key in FOUR:
        assert only(StartRoundTimer, Bench(key).start().effects) == [StartRoundTimer(1, 0, 4000)]


def test_the_proposer_checks_its_block_then_signs_then_sends() -> None:
    bench = Bench(A).start()
    bench.now_ms = (GENESIS_TIME + 2) * 1000
    effects = bench.give(BlockTimerExpired(1, 0))
    kinds = [type(effect) for effect in effects]
    assert kinds == [BuildBlock, CheckProposal, RecordDraft, SignPayload, SendMessage]
    assert effects[-1].recipients == {B.address, C.address, D.address}  # type: ignore[union-attr]
    [proposal] = sent(Proposal, effects)
    assert proposal.justification.round_changes is None
    assert proposal.block.header.coinbase == A.address


def test_the_proposer_does_not_prepare_and_needs_two_who_do() -> None:
    bench = Bench(A).start()
    bench.now_ms = (GENESIS_TIME + 2) * 1000
    [proposal] = sent(Proposal, bench.give(BlockTimerExpired(1, 0)))
    assert not only(SignPayload, bench.hear(prepare(B, proposal)))
    effects = bench.hear(prepare(C, proposal))
    assert [type(effect) for effect in effects] == [SendMessage, RecordPrepared, SignPayload, SendMessage]
    assert sent(Commit, effects, A.address)
    effects = bench.hear(commit(B, proposal), commit(D, proposal))
    [imported] = only(ImportBlock, effects)
    assert len(decode_extra_data(imported.block.header.extra_data).seals) == 3


def test_an_own_block_that_is_invalid_is_not_proposed() -> None:
    bench = Bench(A).start()
    bench.judge = lambda block: "a bug"
    bench.now_ms = (GENESIS_TIME + 2) * 1000
    effects = bench.give(BlockTimerExpired(1, 0))
    assert not only(SignPayload, effects)
    assert topics(effects) == ["own-proposal-invalid"]


def test_round_0_rounds_the_timestamp_half_up_so_that_an_early_timer_does_no_harm() -> None:
    """L3."""
    bench = Bench(A).start()
    bench.now_ms = (GENESIS_TIME + 2) * 1000 - 400
    [build] = only(BuildBlock, bench.give(BlockTimerExpired(1, 0)))
    assert build.timestamp == GENESIS_TIME + 2


def test_a_block_timer_that_is_far_too_early_waits_again() -> None:
    bench = Bench(A).start()
    bench.now_ms = (GENESIS_TIME + 1) * 1000
    effects = bench.give(BlockTimerExpired(1, 0))
    assert effects == [StartBlockTimer(1, 0, (GENESIS_TIME + 2) * 1000)]


def test_the_signer_does_not_answer() -> None:
    """L20: nothing is sent, and the next round goes on."""
    bench = Bench(A).start()
    bench.signs = False
    bench.now_ms = (GENESIS_TIME + 2) * 1000
    assert not only(SendMessage, bench.give(BlockTimerExpired(1, 0)))
    bench.signs = True
    assert sent(RoundChange, bench.expire_round())


# -- a validator -----------------------------------------------------------------------------------------------------


def test_a_valid_proposal_is_prepared() -> None:
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    effects = bench.hear(proposal)
    assert [message.signed.payload for message in sent(Prepare, effects)] == [
        PreparePayload(RoundId(1, 0), proposal.signed.payload.digest)
    ]


def test_prepared_is_recorded_before_the_commit_is_signed() -> None:
    bench = Bench(B).start()
    proposal = with_proposal(bench)
    kinds = [type(effect) for effect in bench.hear(prepare(C, proposal))]
    assert kinds.index(RecordPrepared) < kinds.index(SignPayload)


def test_a_validator_commits_only_what_it_saw_prepared() -> None:
    bench = Bench(B).start()
    proposal = with_proposal(bench)
    effects = bench.hear(commit(A, proposal), commit(C, proposal))
    assert not sent(Commit, effects, B.address)
    assert not only(ImportBlock, effects)


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_messages_come_in_any_order(order: tuple[int, ...]) -> None:
    """L14: the block is imported, and our prepare and commit are still sent."""
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    messages: list[Message] = [
        proposal,
        prepare(C, proposal),
        commit(A, proposal),
        commit(C, proposal),
        commit(D, proposal),
    ]
    bench.hear(*(messages[place] for place in order))
    assert len(only(ImportBlock, bench.effects)) == 1
    assert sent(Prepare, bench.effects, B.address)
    assert sent(Commit, bench.effects, B.address)


def test_our_own_messages_come_back() -> None:
    """S3: they count once and are not passed on."""
    bench = Bench(B).start()
    proposal = with_proposal(bench)
    [own] = sent(Prepare, bench.effects, B.address)
    assert bench.hear(own, via=C.address) == []
    assert not only(RecordPrepared, bench.effects)
    assert bench.machine.status.prepared_by == (B.address,)
    assert bench.machine.status.proposal == proposal.signed.payload.digest


def test_one_validator_with_two_signatures_counts_once() -> None:
    """S4."""
    bench = Bench(B, FOUR).start()
    proposal = with_proposal(bench)
    first = commit(C, proposal)
    other = Commit(SignedPayload(first.signed.payload, high_s(first.signed.signature), C.address))
    bench.hear(first, other)
    assert bench.machine.status.committed_by == (C.address,)


def test_an_illegal_seal_is_not_counted() -> None:
    """S6: the import happens with the next good one."""
    bench = Bench(B).start()
    proposal = with_proposal(bench)
    payload = CommitPayload(RoundId(1, 0), proposal.signed.payload.digest, commit(A, proposal).signed.payload.seal)
    effects = bench.hear(commit(A, proposal), commit(C, proposal), Commit(signed(payload, D)))
    assert topics(effects) == ["commit-refused"]
    assert not only(ImportBlock, effects)
    assert only(ImportBlock, bench.hear(commit(D, proposal)))


def test_prepares_for_another_block_or_by_the_proposer_do_not_count() -> None:
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    other = propose(A, bench.make_block(vanity=b"other".ljust(32)))
    bench.hear(prepare(C, other), prepare(A, proposal), proposal)
    assert bench.machine.status.prepared_by == (B.address,)
    assert topics(bench.hear(prepare(D, other))) == ["prepare-refused"]


def test_strangers_do_not_count_and_are_not_passed_on() -> None:
    """L30 and L32: whoever is no validator of this height is not heard."""
    bench = Bench(B).start()
    proposal = with_proposal(bench)
    effects = bench.hear(prepare(STRANGER, proposal), commit(STRANGER, proposal), via=C.address)
    assert {type(effect) for effect in effects} == {BlamePeer}, "no correct validator passes a stranger's messages on"


# -- proposals that are refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("creator", [A, C])
def test_a_proposal_out_of_turn_is_refused(creator: NodeKey) -> None:
    """Whether the block is the proposer's or its own."""
    bench = Bench(B).start()
    effects = bench.hear(propose(C, make_block(bench.head, creator.address, bench.validators)))
    assert topics(effects) == ["proposal-refused"]
    assert not only(CheckProposal, effects)


def test_an_invalid_block_is_not_prepared_and_a_second_proposal_does_not_help() -> None:
    """L17."""
    bench = Bench(B).start()
    bench.judge = lambda block: "wrong state root"
    effects = bench.hear(propose(A, bench.make_block()))
    assert not only(SignPayload, effects)
    assert topics(effects) == ["proposal-refused"]
    bench.judge = lambda block: None
    effects = bench.hear(propose(A, bench.make_block(vanity=b"second".ljust(32))))
    assert topics(effects) == ["equivocation"]
    assert not only(SignPayload, effects)


def test_a_new_block_in_anothers_name_is_not_prepared() -> None:
    """S9."""
    bench = Bench(B).start()
    block = bench.make_block()
    spoofed = block.with_header(block.header.with_changes(coinbase=C.address))
    effects = bench.hear(propose(A, spoofed))
    assert topics(effects) == ["proposal-refused"]
    assert not only(SignPayload, effects)


def test_a_digest_that_is_not_the_blocks_is_refused() -> None:
    bench = Bench(B).start()
    honest = propose(A, bench.make_block())
    lie = Proposal(signed(ProposalPayload(RoundId(1, 0), bytes(32)), A), honest.block)
    assert topics(bench.hear(lie)) == ["false-block"]


@pytest.mark.parametrize("forged", ["block", "certificate"])
def test_a_relayers_forgery_does_not_use_up_the_proposers_say(forged: str) -> None:
    """L17: only the digest is signed, so whoever passes a proposal on can change what is around it."""
    bench = Bench(B).start()
    honest = propose(A, bench.make_block())
    other = bench.make_block(vanity=b"forged".ljust(32))
    forgery = replace(honest, block=other) if forged == "block" else replace(honest, justification=Justification(()))
    assert topics(bench.hear(forgery)) == ["false-block" if forged == "block" else "proposal-refused"]
    assert isinstance(only(SignPayload, bench.hear(honest))[0].payload, PreparePayload)


def test_a_certificate_in_round_0_is_refused() -> None:
    bench = Bench(B).start()
    assert topics(bench.hear(propose(A, bench.make_block(), certificate=[]))) == ["proposal-refused"]


def test_a_proposal_heard_twice_is_checked_once() -> None:
    bench = Bench(B).start()
    bench.checks_wait = True
    proposal = propose(A, bench.make_block())
    resigned = Proposal(
        SignedPayload(proposal.signed.payload, high_s(proposal.signed.signature), A.address), proposal.block
    )
    effects = bench.hear(proposal, proposal, resigned)
    assert len(only(CheckProposal, effects)) == 1
    assert topics(effects) == ["message-malformed"], "the other signature of the same author is none"


def test_an_answer_nobody_asked_for_is_ignored() -> None:
    bench = Bench(B).start()
    assert bench.give(ProposalChecked(0, bytes(32), None)) == []


# -- after the decision ----------------------------------------------------------------------------------------------


def decided(key: NodeKey = B) -> tuple[Bench, Proposal]:
    bench = Bench(key).start()
    proposal = with_proposal(bench)
    bench.hear(prepare(C, proposal), commit(A, proposal), commit(C, proposal))
    assert len(only(ImportBlock, bench.effects)) == 1
    return bench, proposal


def test_a_round_that_runs_out_while_the_block_is_imported_is_not_left() -> None:
    """S1 (`besu_1734`): nothing is sent for a decided height."""
    bench, proposal = decided()
    assert bench.give(RoundTimerExpired(1, 0)) == []
    late = bench.hear(commit(D, proposal))
    assert not only(ImportBlock, late)
    assert not sent(RoundChange, late)


def test_the_import_fails_once_and_is_not_tried_in_a_circle() -> None:
    """L18."""
    bench, proposal = decided()
    digest = proposal.signed.payload.digest
    effects = bench.give(ImportFailed(1, digest, "disk"))
    assert topics(effects) == ["import-failed"]
    assert not only(ImportBlock, effects)
    assert not only(ImportBlock, bench.hear(commit(D, proposal)))
    effects = bench.expire_round()
    [asked] = sent(RoundChange, effects)
    assert asked.block == proposal.block


def test_the_sealed_block_has_the_hash_that_was_agreed_on() -> None:
    bench, proposal = decided()
    [imported] = only(ImportBlock, bench.effects)
    assert imported.digest == committed_seal_hash(imported.block.header) == proposal.signed.payload.digest


def test_messages_of_a_round_that_was_left_do_not_finalise() -> None:
    """L19."""
    bench = Bench(B).start()
    proposal = with_proposal(bench)
    bench.expire_round()
    effects = bench.hear(prepare(C, proposal), commit(A, proposal), commit(C, proposal), commit(D, proposal))
    assert not only(ImportBlock, effects)
    assert not only(RecordPrepared, effects)
