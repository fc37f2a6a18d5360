"""The form of proposals that GoQuorum and older releases of Besu take: round 0 in the extra data in every round."""

import pytest

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import BuildBlock, CheckProposal, Effect
from lacnode.consensus.bft.events import BlockBuilt, HeadChanged, MessageReceived
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.messages import RoundChange
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives.block import Block
from tests.support.qbft_messages import VALIDATORS, A, B, C, D, make_block, prepared_by, round_change

PROTOCOLS = ProtocolSchedule(((0, QBFT),))
# The creator of the head comes first in the order: A proposes in round 0, and B in round 1.
HEAD = make_block(D, number=0).header
NOW_MS = HEAD.timestamp * 1000 + 60_000


def asked_for_round_1(
    prefers_round_zero: bool, prepared: PreparedBlock | None = None
) -> tuple[BftController, list[Effect]]:
    """The machine of B, the proposer of round 1, and its effects when the others ask for that round."""
    machine = BftController(B.address, Journal(PROTOCOLS), PROTOCOLS)
    head = HeadChanged(HEAD, VALIDATORS, 1000, 4000, proposes_round_zero=prefers_round_zero)
    machine.handle(head, NOW_MS)
    effects: list[Effect] = []
    for key in (A, C, D):
        effects += machine.handle(received(round_change(key, 1, prepared)), NOW_MS)
    return machine, effects


def received(message: RoundChange) -> MessageReceived:
    return MessageReceived(0x15, QBFT.codec.encode_message(message), message.signed.author)


def proposed(effects: list[Effect]) -> Block:
    return next(effect.block for effect in effects if isinstance(effect, CheckProposal))


def round_of(block: Block) -> int:
    return QBFT.decode_extra_data(block.header.extra_data).round


@pytest.mark.parametrize(("prefers_round_zero", "written"), [(True, 0), (False, 1)])
def test_a_new_block_has_the_round_that_the_validators_take(prefers_round_zero: bool, written: int) -> None:
    machine, effects = asked_for_round_1(prefers_round_zero)
    assert any(isinstance(effect, BuildBlock) and effect.round == 1 for effect in effects)
    block = proposed(machine.handle(BlockBuilt(1, 1, make_block(B, 1)), NOW_MS))
    assert round_of(block) == written
    assert QBFT.block_hash(block.header) == QBFT.block_hash(make_block(B, 1).header)


@pytest.mark.parametrize(("prefers_round_zero", "written"), [(True, 0), (False, 1)])
def test_a_prepared_block_has_it_too(prefers_round_zero: bool, written: int) -> None:
    prepared = prepared_by(make_block(A, 0), 0, A, C, D)
    _, effects = asked_for_round_1(prefers_round_zero, prepared)
    assert round_of(proposed(effects)) == written
