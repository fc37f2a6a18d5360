"""What justifies a proposal in a later round, and what a round change must prove. At the borders of every comparison."""

from dataclasses import replace
from itertools import permutations

import pytest

from lacnode.consensus.bft.blocks import with_round
from lacnode.consensus.bft.message_rules import MessageRefusedError
from lacnode.consensus.bft.messages import Justification, Proposal, RoundChange
from lacnode.consensus.bft.payloads import PreparedCertificate, RoundId
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.qbft.message_validation import best_prepared, check_proposal, check_round_change
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block
from tests.support.qbft_messages import (
    COMMITTEE,
    FOUR,
    STRANGER,
    A,
    B,
    C,
    D,
    digest_of,
    make_block,
    prepare,
    prepared_by,
    propose,
    round_change,
    signed,
)

OLD, NEW = make_block(A, 0, b"old"), make_block(B, 1, b"new")
PREPARED_OLD, PREPARED_NEW = prepared_by(OLD, 0, A, B, C), prepared_by(NEW, 1, B, C, D)
ASKED = [round_change(A, 2, PREPARED_OLD), round_change(B, 2, PREPARED_NEW), round_change(D, 2)]


def refusal(proposal: Proposal) -> str:
    with pytest.raises(MessageRefusedError) as refused:
        check_proposal(COMMITTEE, proposal)
    return str(refused.value)


def again(block: Block, round_: int) -> Block:
    return with_round(QBFT, block, round_)


class TestProposalInRound0:
    def test_needs_no_justification(self) -> None:
        check_proposal(COMMITTEE, propose(A, OLD))

    def test_must_have_none(self) -> None:
        proposal = propose(A, OLD)
        for justification in (
            Justification((round_change(A, 1).signed,), ()),
            Justification((), (prepare(A, OLD).signed,)),
        ):
            assert "no justification" in refusal(replace(proposal, justification=justification))

    @pytest.mark.parametrize("key", [B, C, D, STRANGER])
    def test_must_be_of_the_proposer(self, key: NodeKey) -> None:
        assert "not the proposer" in refusal(propose(key, OLD))

    def test_must_be_of_this_height(self) -> None:
        assert "instead of height 1" in refusal(propose(A, make_block(A, 0, number=2)))

    def test_must_have_the_block_of_its_height(self) -> None:
        block = make_block(A, 0, number=2)
        payload = QBFT.justifications.proposal_payload(RoundId(1, 0), digest_of(block), block)
        assert "block 2 in a message" in refusal(Proposal(signed(payload, A), block))

    def test_must_have_a_block_of_its_round(self) -> None:
        assert "the block is of round 1" in refusal(propose(A, make_block(A, 1)))


class TestNewBlockInALaterRound:
    def test_needs_a_quorum_of_round_changes(self) -> None:
        asked = [round_change(key, 1) for key in (A, B, C)]
        check_proposal(COMMITTEE, propose(B, NEW, 1, asked))
        check_proposal(COMMITTEE, propose(B, NEW, 1, [*asked, round_change(D, 1)]))
        assert "2 round changes where 3" in refusal(propose(B, NEW, 1, asked[:2]))

    def test_may_have_round_0_in_its_extra_data(self) -> None:
        """GoQuorum, and Besu before 24.12, propose every block so."""
        check_proposal(COMMITTEE, propose(B, make_block(B, 0), 1, [round_change(key, 1) for key in (A, B, C)]))

    def test_counts_each_author_once(self) -> None:
        twice = [round_change(A, 1), round_change(A, 1), round_change(B, 1)]
        assert "more than one round change" in refusal(propose(B, NEW, 1, twice))

    def test_counts_only_validators(self) -> None:
        assert "no validator" in refusal(propose(B, NEW, 1, [round_change(key, 1) for key in (A, B, STRANGER)]))

    @pytest.mark.parametrize("target", [1, 3])
    def test_counts_only_round_changes_for_its_round(self, target: int) -> None:
        asked = [round_change(A, 2), round_change(B, 2), round_change(C, target)]
        assert f"a round change for height 1, round {target}" in refusal(propose(C, make_block(C, 2), 2, asked))

    def test_counts_only_round_changes_for_its_height(self) -> None:
        asked = [round_change(A, 1), round_change(B, 1), round_change(C, 1, height=2)]
        assert "height 2" in refusal(propose(B, NEW, 1, asked))

    def test_carries_no_prepares(self) -> None:
        proposal = propose(B, NEW, 1, [round_change(key, 1) for key in (A, B, C)])
        assert proposal.justification.round_changes is not None
        justification = replace(proposal.justification, prepares=PREPARED_OLD.certificate.prepares)
        assert "no round change names" in refusal(replace(proposal, justification=justification))


class TestPreparedBlockInALaterRound:
    @pytest.mark.parametrize("asked", list(permutations(ASKED)))
    def test_is_the_one_of_the_highest_prepared_round(self, asked: tuple[RoundChange, ...]) -> None:
        """Else a proposer chooses: the block of the lower round gave way to the other, which may be final by now."""
        check_proposal(COMMITTEE, propose(C, again(NEW, 2), 2, asked))
        assert best_prepared(asked) == PREPARED_NEW
        for wrong in (again(OLD, 2), make_block(C, 2, b"other")):
            assert "not the block that was prepared in round 1" in refusal(propose(C, wrong, 2, asked))

    def test_binds_even_where_most_have_seen_none(self) -> None:
        asked = [round_change(A, 2), round_change(B, 2, PREPARED_OLD), round_change(D, 2)]
        check_proposal(COMMITTEE, propose(C, again(OLD, 2), 2, asked))
        assert "not the block" in refusal(propose(C, make_block(C, 2), 2, asked))

    def test_may_be_proposed_with_round_0_in_every_round(self) -> None:
        """The form of GoQuorum: the block never changes, and its digest is its on-chain hash in every round."""
        block = make_block(B, 0, b"new")
        asked = [round_change(A, 2), round_change(B, 2, prepared_by(block, 1, B, C, D)), round_change(D, 2)]
        check_proposal(COMMITTEE, propose(C, block, 2, asked))

    def test_needs_a_quorum_of_prepares_for_it(self) -> None:
        proposal = propose(C, again(NEW, 2), 2, ASKED)

        def with_prepares(*keys: NodeKey, block: Block = NEW, round_: int = 1) -> Proposal:
            prepares = prepared_by(block, round_, *keys).certificate.prepares
            return replace(proposal, justification=replace(proposal.justification, prepares=prepares))

        check_proposal(COMMITTEE, with_prepares(A, B, C))
        check_proposal(COMMITTEE, with_prepares(*FOUR))
        assert "2 prepares where 3" in refusal(with_prepares(A, B))
        assert "more than one prepare" in refusal(with_prepares(A, A, B))
        assert "no validator" in refusal(with_prepares(A, B, STRANGER))
        assert "for another block" in refusal(with_prepares(A, B, C, block=make_block(B, 1, b"x")))
        assert "instead of height 1, round 1" in refusal(with_prepares(A, B, C, round_=0))

    def test_is_refused_if_two_round_changes_name_two_blocks_of_one_round(self) -> None:
        other = prepared_by(make_block(B, 1, b"other"), 1, B, C, D)
        asked = [round_change(A, 2, other), round_change(B, 2, PREPARED_NEW), round_change(D, 2)]
        assert "two different blocks prepared in round 1" in refusal(propose(C, again(NEW, 2), 2, asked))


def change_refusal(message: RoundChange) -> str:
    with pytest.raises(MessageRefusedError) as refused:
        check_round_change(COMMITTEE, message)
    return str(refused.value)


class TestRoundChange:
    @pytest.mark.parametrize("prepared", [None, PREPARED_OLD, PREPARED_NEW])
    def test_shows_the_prepared_block_with_its_proof_or_nothing(self, prepared: PreparedBlock | None) -> None:
        check_round_change(COMMITTEE, round_change(D, 2, prepared))

    def test_is_of_a_validator_of_this_height_for_a_later_round(self) -> None:
        assert "no validator" in change_refusal(round_change(STRANGER, 1))
        assert "instead of height 1" in change_refusal(round_change(A, 1, height=2))
        assert "round change for round 0" in change_refusal(round_change(A, 0))

    @pytest.mark.parametrize("target", [1, 0])
    def test_shows_a_block_of_an_earlier_round(self, target: int) -> None:
        message = round_change(A, target, PREPARED_NEW)
        assert ("prepared in round 1, not before 1" if target else "for round 0") in change_refusal(message)

    def test_shows_the_block_that_it_names(self) -> None:
        message = round_change(A, 2, PREPARED_NEW)
        assert "not that of the block" in change_refusal(replace(message, block=make_block(B, 1, b"x")))
        assert "the block is of round 0" not in change_refusal(replace(message, block=OLD))
        assert "come together" in change_refusal(replace(message, block=None, prepares=()))
        bare = round_change(A, 2)
        assert "come together" in change_refusal(replace(bare, block=OLD))
        assert "prepares without" in change_refusal(replace(bare, prepares=PREPARED_OLD.certificate.prepares))

    def test_proves_the_block_by_a_quorum(self) -> None:
        for keys, text in (((A, B), "2 prepares"), ((A, A, B), "more than one"), ((A, B, STRANGER), "no validator")):
            assert text in change_refusal(round_change(D, 2, prepared_by(NEW, 1, *keys)))

    def test_proves_it_by_prepares_of_that_round(self) -> None:
        early = prepared_by(OLD, 0, A, B, C).certificate.prepares
        wrong = PreparedBlock(PreparedCertificate(1, digest_of(OLD), early), OLD)
        assert "instead of height 1, round 1" in change_refusal(round_change(D, 2, wrong))
