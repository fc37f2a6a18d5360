"""The period of empty blocks: a proposer without transactions waits for one, and the round waits with it."""

import pytest

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import BuildBlock, CheckProposal, Effect, StartBlockTimer, StartRoundTimer
from lacnode.consensus.bft.events import BlockBuilt, BlockTimerExpired, HeadChanged
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives.block import Block, BlockBody
from tests.support.qbft_messages import VALIDATORS, A, B, make_block
from tests.support.rpc_chain import signed

PROTOCOLS = ProtocolSchedule(((0, QBFT),))
PERIOD_MS, TIMEOUT_MS, EMPTY_MS = 1000, 4000, 10_000
HEAD = make_block(A, number=0).header
BEGIN_MS = HEAD.timestamp * 1000
# The creator of the head comes first in the order, so B proposes next.
EMPTY = make_block(B, 0)
FULL = Block(EMPTY.header, BlockBody((signed(),)))


class Proposer:
    """The machine of the proposer of round 0, at the height after `HEAD`."""

    def __init__(self, empty_block_period_ms: int) -> None:
        self.machine = BftController(B.address, Journal(PROTOCOLS), PROTOCOLS)
        head = HeadChanged(HEAD, VALIDATORS, PERIOD_MS, TIMEOUT_MS, empty_block_period_ms)
        self.started = self.machine.handle(head, BEGIN_MS)

    def build(self, block: Block, after_ms: int) -> list[Effect]:
        """The effects of `block`, built `after_ms` after the head."""
        now = BEGIN_MS + after_ms
        assert any(isinstance(effect, BuildBlock) for effect in self.machine.handle(BlockTimerExpired(1, 0), now))
        return self.machine.handle(BlockBuilt(1, 0, block), now)

    @property
    def round_ms(self) -> int:
        """The length of round 0, as the machine started it."""
        return sum(effect.delay_ms for effect in self.started if isinstance(effect, StartRoundTimer))


def checks(effects: list[Effect]) -> bool:
    return any(isinstance(effect, CheckProposal) for effect in effects)


def test_an_empty_block_is_proposed_at_once_without_the_period() -> None:
    proposer = Proposer(0)
    assert checks(proposer.build(EMPTY, PERIOD_MS))
    assert proposer.round_ms == PERIOD_MS + TIMEOUT_MS


def test_an_empty_block_waits_for_the_period_and_tries_again_each_block_period() -> None:
    proposer = Proposer(EMPTY_MS)
    # The others wait for the proposer: their round does not end while it waits for a transaction.
    assert proposer.round_ms == EMPTY_MS + TIMEOUT_MS
    for after in range(PERIOD_MS, EMPTY_MS, PERIOD_MS):
        assert proposer.build(EMPTY, after) == [StartBlockTimer(1, 0, BEGIN_MS + after + PERIOD_MS)]
    assert checks(proposer.build(EMPTY, EMPTY_MS))


def test_the_last_wait_ends_with_the_period() -> None:
    proposer = Proposer(EMPTY_MS)
    assert proposer.build(EMPTY, EMPTY_MS - 300) == [StartBlockTimer(1, 0, BEGIN_MS + EMPTY_MS)]


def test_a_block_with_a_transaction_is_proposed_at_once() -> None:
    proposer = Proposer(EMPTY_MS)
    assert not checks(proposer.build(EMPTY, PERIOD_MS))
    assert checks(proposer.build(FULL, 2 * PERIOD_MS))


@pytest.mark.parametrize("period", [1, PERIOD_MS])
def test_a_period_that_is_not_longer_than_that_of_blocks_changes_nothing(period: int) -> None:
    proposer = Proposer(period)
    assert checks(proposer.build(EMPTY, PERIOD_MS))
    assert proposer.round_ms == PERIOD_MS + TIMEOUT_MS
