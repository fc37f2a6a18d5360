"""Votes, epochs, proposers and quorums."""

import pytest

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.bft.proposer import proposer_for
from lacnode.consensus.bft.quorum import max_faulty, prepares_needed_beside_proposal, quorum
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.primitives.header import BlockHeader
from tests.unit.consensus.test_network import make_block

V1, V2, V3, V4, NEW, OTHER = (bytes([number]) * 20 for number in range(1, 7))
FOUR = (V1, V2, V3, V4)
ADD, DROP = VoteType.ADD, VoteType.DROP


def tally_after(votes: list[tuple[bytes, bytes, VoteType]], validators: tuple[bytes, ...] = FOUR) -> VoteTally:
    tally = VoteTally.from_validators(validators)
    for voter, recipient, kind in votes:
        tally = tally.with_vote(voter, Vote(recipient, kind))
    return tally


def header(number: int, coinbase: bytes) -> BlockHeader:
    return make_block(None, coinbase, FOUR).header.with_changes(number=number)


def extra(vote: Vote | None) -> ExtraData:
    return ExtraData(bytes(32), FOUR, vote)


@pytest.mark.parametrize(
    ("validators", "enough", "prepares", "faulty"),
    [
        (1, 1, 0, 0),
        (2, 2, 1, 0),
        (3, 2, 1, 0),
        (4, 3, 2, 1),
        (5, 4, 3, 1),
        (6, 4, 3, 1),
        (7, 5, 4, 2),
        (8, 6, 5, 2),
        (9, 6, 5, 2),
        (10, 7, 6, 3),
        (12, 8, 7, 3),
        (15, 10, 9, 4),
        (20, 14, 13, 6),
        (21, 14, 13, 6),
    ],
)
def test_quorums(validators: int, enough: int, prepares: int, faulty: int) -> None:
    assert (quorum(validators), prepares_needed_beside_proposal(validators), max_faulty(validators)) == (
        enough,
        prepares,
        faulty,
    )


def test_more_than_half_of_the_validators_let_somebody_in() -> None:
    votes = [(V1, NEW, ADD), (V2, NEW, ADD)]
    assert tally_after(votes).validators == FOUR
    assert tally_after([*votes, (V3, NEW, ADD)]).validators == (*FOUR, NEW)


def test_more_than_half_of_the_validators_put_somebody_out() -> None:
    votes = [(V1, V4, DROP), (V2, V4, DROP)]
    assert tally_after(votes).validators == FOUR
    assert tally_after([*votes, (V4, V4, DROP)]).validators == (V1, V2, V3)


def test_one_validator_votes_once() -> None:
    assert tally_after([(V1, NEW, ADD)] * 5).validators == FOUR


def test_a_validator_may_change_its_mind() -> None:
    votes = [(V1, NEW, ADD), (V2, NEW, ADD), (V1, NEW, DROP), (V3, NEW, ADD)]
    assert tally_after(votes).validators == FOUR
    assert tally_after([*votes, (V1, NEW, ADD)]).validators == (*FOUR, NEW)


def test_the_votes_of_a_removed_validator_vanish() -> None:
    votes = [(V4, NEW, ADD), (V1, NEW, ADD), *((voter, V4, DROP) for voter in (V1, V2, V3))]
    tally = tally_after(votes)
    assert tally.validators == (V1, V2, V3)
    assert not tally.has_voted(V4, Vote(NEW, ADD))
    assert tally.with_vote(V2, Vote(NEW, ADD)).validators == (V1, V2, V3, NEW)


def test_a_lower_limit_takes_effect_with_the_next_vote_only() -> None:
    votes = [(V1, NEW, ADD), (V2, NEW, ADD), *((voter, V4, DROP) for voter in (V1, V2, V3))]
    assert tally_after(votes).validators == (V1, V2, V3)


def test_small_sets() -> None:
    assert tally_after([(V1, NEW, ADD)], (V1,)).validators == (V1, NEW)
    assert tally_after([(V1, NEW, ADD)], (V1, V2)).validators == (V1, V2)
    assert tally_after([(V1, NEW, ADD), (V2, NEW, ADD)], (V1, V2)).validators == (V1, V2, NEW)


def test_votes_that_change_nothing_are_harmless() -> None:
    assert tally_after([(voter, V1, ADD) for voter in FOUR]).validators == FOUR
    assert tally_after([(voter, NEW, DROP) for voter in FOUR]).validators == FOUR


def test_a_block_votes_in_the_name_of_its_coinbase() -> None:
    tally = VoteTally.from_validators(FOUR).after(header(7, V2), extra(Vote(NEW, ADD)), is_epoch=False)
    assert tally.has_voted(V2, Vote(NEW, ADD))


def test_an_epoch_block_forgets_all_votes_and_its_own() -> None:
    """L28."""
    tally = tally_after([(V1, NEW, ADD), (V2, NEW, ADD), (V1, V4, DROP), (V2, V4, DROP)])
    after = tally.after(header(30, V3), extra(Vote(NEW, ADD)), is_epoch=True)
    assert after == VoteTally.from_validators(FOUR)


def test_a_vote_counts_on_top_of_a_replaced_set() -> None:
    """L29."""
    assert VoteTally.from_validators((V1,)).with_vote(V1, Vote(V2, ADD)).validators == (V1, V2)


# -- what to vote for ------------------------------------------------------------------------------------------------


def test_a_wish_is_voted_for_until_it_is_counted_and_again_after_an_epoch() -> None:
    vote_proposer, tally = VoteProposer(), VoteTally.from_validators(FOUR)
    assert vote_proposer.next_vote(V1, tally) is None
    vote_proposer.propose(NEW, add=True)
    vote = vote_proposer.next_vote(V1, tally)
    assert vote == Vote(NEW, ADD)
    assert vote_proposer.next_vote(V1, tally.with_vote(V1, vote)) is None
    assert vote_proposer.next_vote(V1, tally) == vote
    vote_proposer.discard(NEW)
    vote_proposer.discard(NEW)
    assert vote_proposer.next_vote(V1, tally) is None


def test_a_wish_that_changes_nothing_is_not_voted_for() -> None:
    vote_proposer = VoteProposer()
    vote_proposer.propose(V2, add=True)
    vote_proposer.propose(NEW, add=False)
    assert vote_proposer.next_vote(V1, VoteTally.from_validators(FOUR)) is None
    assert vote_proposer.wanted_votes == {V2: True, NEW: False}


def test_an_earlier_vote_is_taken_back() -> None:
    vote_proposer = VoteProposer()
    vote_proposer.propose(NEW, add=False)
    assert vote_proposer.next_vote(V1, tally_after([(V1, NEW, ADD)])) == Vote(NEW, DROP)


def test_several_wishes_take_turns() -> None:
    vote_proposer, tally = VoteProposer(), VoteTally.from_validators(FOUR)
    for recipient in (NEW, OTHER):
        vote_proposer.propose(recipient, add=True)
    votes = [vote_proposer.next_vote(V1, tally) for _ in range(4)]
    assert votes == [Vote(OTHER, ADD), Vote(NEW, ADD)] * 2


# -- whose turn ------------------------------------------------------------------------------------------------------


def test_proposers_take_turns_after_the_creator_of_the_parent() -> None:
    assert [proposer_for(FOUR, V2, round_) for round_ in range(5)] == [V3, V4, V1, V2, V3]
    assert proposer_for(FOUR, bytes(20), 0) == V1


def test_a_creator_that_was_voted_out_still_marks_its_place() -> None:
    assert proposer_for((V1, V3, V4), V2, 0) == V3
    assert proposer_for((V1, V2, V3), V4, 0) == V1


def test_goquorums_rotation_goes_on_from_the_first_validator_after_one_that_was_voted_out() -> None:
    """GoQuorum's `calcSeed`: the place of an unknown creator is 0, and the next one proposes."""
    for creator, others in ((V1, (V2, V3, V4)), (V2, (V1, V3, V4)), (V4, (V1, V2, V3))):
        turns = [proposer_for(others, creator, round_, follows_goquorum=True) for round_ in range(4)]
        assert turns == [others[1], others[2], others[0], others[1]]
    assert proposer_for((V1,), V2, 0, follows_goquorum=True) == V1
    # After the genesis block, and after a creator that still is a validator.
    assert proposer_for(FOUR, bytes(20), 0, follows_goquorum=True) == V1
    assert proposer_for(FOUR, V2, 0, follows_goquorum=True) == V3
