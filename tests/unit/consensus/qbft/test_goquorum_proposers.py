"""Who proposes beside validators of GoQuorum, where its rotation differs from Besu's."""

import pytest

from lacnode.consensus.bft.events import HeadChanged
from lacnode.consensus.bft.height_manager import HeightManager
from lacnode.consensus.bft.journal import SignedAtHeight
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.consensus.qbft.protocol import QBFT
from tests.support.qbft_messages import FOUR, VALIDATORS, make_block


@pytest.mark.parametrize(
    ("follows_goquorum", "number", "validators", "turns"),
    [
        # The genesis block has the coinbase of the second validator. GoQuorum does not see it.
        (True, 0, VALIDATORS, (0, 1, 2, 3)),
        (False, 0, VALIDATORS, (2, 3, 0, 1)),
        (True, 1, VALIDATORS, (2, 3, 0, 1)),
        # The second validator created block 1, and its own vote removed it.
        (True, 1, VALIDATORS[:1] + VALIDATORS[2:], (1, 2, 0)),
        (False, 1, VALIDATORS[:1] + VALIDATORS[2:], (1, 2, 0)),
        # The third one did, and the two rules differ.
        (True, 2, VALIDATORS[:2] + VALIDATORS[3:], (1, 2, 0)),
        (False, 2, VALIDATORS[:2] + VALIDATORS[3:], (2, 0, 1)),
    ],
)
def test_the_turns_after_a_block(
    follows_goquorum: bool, number: int, validators: tuple[bytes, ...], turns: tuple[int, ...]
) -> None:
    ascending = sorted(FOUR, key=lambda key: key.address)
    header = make_block(ascending[2 if number == 2 else 1], number=number).header
    head = HeadChanged(header, validators, 1000, 4000, follows_goquorum=follows_goquorum)
    timers = RoundTimers(head, QBFT.first_round_waits_for_block)
    committee = HeightManager(QBFT, validators[0], head, SignedAtHeight(), timers).committee
    assert [committee.proposer(round_) for round_ in range(len(turns))] == [validators[turn] for turn in turns]
