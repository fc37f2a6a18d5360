"""The period of empty blocks: a proposer without transactions waits for one, and the round waits with it.

The others search their pools, so that a silent proposer costs one ordinary round.
"""

from dataclasses import replace

import pytest

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import (
    BuildBlock,
    CheckProposal,
    Effect,
    SearchPool,
    StartBlockTimer,
    StartRoundTimer,
)
from lacnode.consensus.bft.events import (
    BlockBuilt,
    BlockTimerExpired,
    Event,
    HeadChanged,
    MessageReceived,
    PoolSearched,
    ProposalChecked,
    RoundTimerExpired,
)
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.messages import Justification, Message
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from tests.support.qbft_messages import VALIDATORS, A, B, C, D, make_block, prepare, propose, round_change
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


class Watcher:
    """The machine of a validator that does not propose in round 0, at the height after `HEAD`."""

    def __init__(
        self, empty_block_period_ms: int = EMPTY_MS, *, key: NodeKey = C, journal: Journal | None = None
    ) -> None:
        self.machine = BftController(key.address, journal or Journal(PROTOCOLS), PROTOCOLS)
        self.period_ms = empty_block_period_ms
        self.started = self.machine.handle(self.head(HEAD), BEGIN_MS)

    def head(self, header: BlockHeader) -> HeadChanged:
        return HeadChanged(header, VALIDATORS, PERIOD_MS, TIMEOUT_MS, self.period_ms)

    def at(self, after_ms: int, event: Event) -> list[Effect]:
        """The effects of `event`, `after_ms` after the head."""
        return self.machine.handle(event, BEGIN_MS + after_ms)

    def search(self, after_ms: int, *, found: bool, height: int = 1) -> list[Effect]:
        """Let the timer expire, and answer the search."""
        [search] = self.at(after_ms, BlockTimerExpired(height, 0))
        assert isinstance(search, SearchPool)
        assert (search.height, search.round) == (height, 0)
        return self.at(after_ms, PoolSearched(height, 0, found))

    def leave_round(self, after_ms: int, height: int = 1) -> list[Effect]:
        """Let the round timer expire until the round is left."""
        before, effects = self.machine.status.round, list[Effect]()
        while self.machine.status.round == before:
            effects += self.at(after_ms, RoundTimerExpired(height, before))
        return effects


def received(message: Message) -> MessageReceived:
    """`message`, delivered by its author."""
    return MessageReceived(QBFT.codec.code(message.kind), QBFT.codec.encode_message(message), message.signed.author)


def searches_at(effects: list[Effect]) -> list[int]:
    """When the pool is searched next, in milliseconds after the head."""
    return [effect.due_ms - BEGIN_MS for effect in effects if isinstance(effect, StartBlockTimer)]


def round_timers(effects: list[Effect]) -> list[tuple[int, int]]:
    """The rounds and lengths of the timers that are started."""
    return [(effect.round, effect.delay_ms) for effect in effects if isinstance(effect, StartRoundTimer)]


def test_the_others_search_their_pools_each_block_period_while_that_can_shorten_the_round() -> None:
    watcher = Watcher()
    assert searches_at(watcher.started) == [PERIOD_MS]
    assert watcher.machine.status.block_due_ms is None, "this validator builds no block"
    for after in range(PERIOD_MS, EMPTY_MS - 2 * PERIOD_MS, PERIOD_MS):
        assert searches_at(watcher.search(after, found=False)) == [after + PERIOD_MS]
    assert watcher.search(EMPTY_MS - 2 * PERIOD_MS, found=False) == []


def test_something_to_mine_ends_round_0_after_one_timeout_and_one_block_period() -> None:
    watcher = Watcher()
    assert watcher.search(3000, found=True) == [StartRoundTimer(1, 0, TIMEOUT_MS + PERIOD_MS)]
    assert watcher.machine.status.round_ends_ms == BEGIN_MS + 3000 + TIMEOUT_MS + PERIOD_MS
    assert watcher.at(4000, PoolSearched(1, 0, True)) == [], "only once"
    assert watcher.at(4000, BlockTimerExpired(1, 0)) == []
    watcher.leave_round(3000 + TIMEOUT_MS + PERIOD_MS)
    assert watcher.machine.status.round == 1


def test_an_answer_that_comes_too_late_does_not_lengthen_the_round() -> None:
    watcher = Watcher()
    assert watcher.at(EMPTY_MS - PERIOD_MS, PoolSearched(1, 0, True)) == []
    watcher.leave_round(EMPTY_MS + TIMEOUT_MS)
    assert watcher.at(EMPTY_MS + TIMEOUT_MS, PoolSearched(1, 0, True)) == []


@pytest.mark.parametrize("period", [0, PERIOD_MS, 2 * PERIOD_MS])
def test_nothing_is_searched_where_that_could_not_shorten_the_round(period: int) -> None:
    assert searches_at(Watcher(period).started) == []


def test_a_proposal_ends_the_searches_and_shortens_the_round() -> None:
    """Even if the check of its block takes very long: no pool is searched meanwhile, and the check ends with the round."""
    watcher = Watcher()
    proposal = propose(B, EMPTY)
    effects = watcher.at(2000, received(proposal))
    assert checks(effects)
    assert round_timers(effects) == [(0, TIMEOUT_MS + PERIOD_MS)]
    assert watcher.at(3000, BlockTimerExpired(1, 0)) == []
    effects = watcher.at(4000, ProposalChecked(0, proposal.signed.payload.digest, None))
    assert round_timers(effects) == [], "only once"


def test_a_proposal_that_is_not_the_proposers_shortens_nothing() -> None:
    watcher = Watcher()
    justified = replace(propose(B, EMPTY), justification=Justification((round_change(D, 1).signed,)))
    assert round_timers(watcher.at(2000, received(justified))) == []
    assert round_timers(watcher.at(2000, received(propose(D, make_block(D, 0))))) == []


def test_round_1_waits_for_a_quorum_until_round_0_would_have_ended() -> None:
    """Otherwise a validator that left alone would be in a round of many minutes when the others come."""
    watcher = Watcher()
    watcher.search(PERIOD_MS, found=True)
    left = PERIOD_MS + TIMEOUT_MS + PERIOD_MS
    assert round_timers(watcher.leave_round(left)) == [(1, EMPTY_MS + TIMEOUT_MS - left + 2 * TIMEOUT_MS)]
    for key in (A, B, D):
        effects = watcher.at(left + 1000, received(round_change(key, 1)))
        # Its own round change is not signed here, so three others make the quorum.
        assert round_timers(effects) == ([(1, 2 * TIMEOUT_MS)] if key is D else [])


def test_round_1_has_its_usual_length_after_a_round_0_that_was_not_shortened() -> None:
    watcher = Watcher()
    assert round_timers(watcher.leave_round(EMPTY_MS + TIMEOUT_MS))[-1] == (1, 2 * TIMEOUT_MS)


@pytest.mark.parametrize(
    ("is_mined", "round_", "pauses"), [(True, 1, False), (True, 0, True), (False, 1, True), (False, 0, True)]
)
def test_a_round_that_was_left_for_nothing_ends_the_searches_for_a_turn_of_each_validator(
    is_mined: bool, round_: int, pauses: bool
) -> None:
    watcher = Watcher()
    watcher.search(PERIOD_MS, found=True)
    watcher.leave_round(2 * PERIOD_MS + TIMEOUT_MS)
    root = bytes(32) if is_mined else EMPTY_TRIE_ROOT
    header = make_block((B, C)[round_], round_).header.with_changes(transactions_root=root)
    searched = {1: True}
    for number in range(1, 7):
        # The creator goes round, so C proposes at some heights. It does not search there.
        header = header.with_changes(number=number, coinbase=A.address)
        searched[number + 1] = bool(searches_at(watcher.at(2000, watcher.head(header))))
    assert [number for number, is_searched in searched.items() if not is_searched] == ([2, 3, 4, 5] if pauses else [])


@pytest.mark.parametrize("is_found", [False, True])
def test_a_proposal_that_shortened_the_round_pauses_no_searches(is_found: bool) -> None:
    """A proposer that shows each validator another empty block must not turn off the searches of the next heights."""
    watcher = Watcher()
    proposal = propose(B, EMPTY)
    [search] = watcher.at(PERIOD_MS, BlockTimerExpired(1, 0))
    assert isinstance(search, SearchPool)
    watcher.at(PERIOD_MS, received(proposal))
    watcher.at(PERIOD_MS, PoolSearched(1, 0, is_found))
    watcher.at(PERIOD_MS, ProposalChecked(0, proposal.signed.payload.digest, None))
    watcher.leave_round(2 * PERIOD_MS + TIMEOUT_MS)
    header = make_block(A, 1).header.with_changes(number=1, coinbase=A.address)
    assert searches_at(watcher.at(2000, watcher.head(header))) != []


def test_a_round_0_that_was_not_left_pauses_nothing() -> None:
    watcher = Watcher()
    watcher.search(PERIOD_MS, found=True)
    header = make_block(A, 0).header
    assert searches_at(watcher.at(2000, watcher.head(header))) != []


@pytest.mark.parametrize("kind", ["prepare", "nothing"])
def test_a_restarted_validator_does_not_wait_for_a_proposal_that_it_has_prepared(kind: str) -> None:
    """Its pool is empty after the restart. It must not hold up the others until an empty block is due."""
    journal = Journal(PROTOCOLS)
    if kind == "prepare":
        journal.check_and_record(prepare(C, EMPTY).signed.payload)
    watcher = Watcher(journal=journal)
    assert watcher.machine.status.round_ends_ms == BEGIN_MS + TIMEOUT_MS + (
        PERIOD_MS if kind == "prepare" else EMPTY_MS
    )
    assert bool(searches_at(watcher.started)) == (kind == "nothing")


def test_a_proposal_of_round_1_shows_the_quorum_that_round_1_waits_for() -> None:
    asked = [round_change(key, 1) for key in (A, B, D)]
    late = Watcher(key=D)
    proposal = propose(C, make_block(C, 1), 1, asked)
    late.at(2000, received(proposal))
    effects = late.at(2000, ProposalChecked(1, proposal.signed.payload.digest, None))
    assert round_timers(effects)[-1] == (1, 2 * TIMEOUT_MS)
