"""What one lying validator can make an honest one keep, and execute, however much it sends.

What the machine keeps is measured by the size of its pickle. A first flood fills every bound; a flood several times as
large must then add nothing.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from lacnode.consensus.bft.effects import CheckProposal, SendMessage
from lacnode.consensus.bft.message_buffers import MessageLimits
from lacnode.consensus.bft.messages import Commit, Message, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payloads import CommitPayload, PreparePayload, RoundId
from lacnode.consensus.bft.received_proposals import MAX_PROPOSALS_CHECKED
from lacnode.consensus.bft.relay_shares import MAX_RELAYED_MESSAGES
from lacnode.consensus.bft.stored_proofs import encode_stored_prepared
from lacnode.primitives.block import Block, BlockBody
from tests.support.ibft2_blocks import IBFT2_ONLY, with_round, with_seals
from tests.unit.consensus.test_false_copies import transaction
from tests.unit.consensus.test_network import (
    A,
    B,
    Bench,
    C,
    D,
    make_block,
    only,
    prepared_by,
    propose,
    round_change,
    signed,
)

LARGE = 50_000
"""Bytes of junk in one message."""


def kept(bench: Bench) -> int:
    """Bytes."""
    return len(pickle.dumps(bench.machine))


def junk_seals(block: Block, number: int) -> Block:
    """`block` with seals that its digest does not cover."""
    seal = (1 + number).to_bytes(32) + bytes(31) + b"\x01\0"
    return with_seals(block, (seal,) * (LARGE // 65))


def round_changes(bench: Bench, start: int, count: int) -> Iterator[Message]:
    """For rounds up to a million and beyond."""
    for number in range(start, start + count):
        yield round_change(D, 1 + 997 * number)


def round_changes_with_blocks(bench: Bench, start: int, count: int) -> Iterator[Message]:
    prepared = prepared_by(propose(A, bench.make_block()), C, D)
    for number in range(start, start + count):
        message = round_change(D, 1 + number, prepared)
        assert message.block is not None
        yield replace(message, block=junk_seals(message.block, number))


def early_votes(bench: Bench, start: int, count: int) -> Iterator[Message]:
    for number in range(start, start + count):
        round_id, digest = RoundId(1, 1 + number % 1000), number.to_bytes(32)
        yield Prepare(signed(PreparePayload(round_id, digest), D))
        yield Commit(signed(CommitPayload(round_id, digest), D))


def votes_of_the_round(bench: Bench, start: int, count: int) -> Iterator[Message]:
    for number in range(start, start + count):
        yield Prepare(signed(PreparePayload(RoundId(1, 0), number.to_bytes(32)), D))
        yield Commit(signed(CommitPayload(RoundId(1, 0), number.to_bytes(32)), D))


def proposals(bench: Bench, start: int, count: int) -> Iterator[Message]:
    """D's own, in round 3, with a quorum's round changes, one block after the other."""
    asked = [round_change(key, 3) for key in (A, C, D)]
    for number in range(start, start + count):
        block = bench.make_block(3, vanity=number.to_bytes(32))
        yield propose(D, junk_seals(block, number), asked)


def false_bodies(bench: Bench, start: int, count: int) -> Iterator[Message]:
    """A's proposal with other bodies, brought by D."""
    honest = propose(A, bench.make_block())
    for number in range(start, start + count):
        body = BlockBody(tuple(transaction(number + offset) for offset in range(20)))
        yield replace(honest, block=Block(honest.block.header, body))


def later_heights(bench: Bench, start: int, count: int) -> Iterator[Message]:
    for number in range(start, start + count):
        block = make_block(bench.head, D.address, bench.validators)
        block = block.with_header(block.header.with_changes(number=2 + number % 9))
        yield propose(D, junk_seals(block, number))


FLOODS = [
    round_changes,
    round_changes_with_blocks,
    early_votes,
    votes_of_the_round,
    proposals,
    false_bodies,
    later_heights,
]


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_one_validator_is_kept_within_a_bound(flood: Callable[[Bench, int, int], Iterator[Message]]) -> None:
    bench = Bench(B, limits=MessageLimits(future_messages=50)).start()
    bench.checks_wait = True
    effects = bench.hear(*flood(bench, 0, 100), via=D.address)
    full = kept(bench)
    effects += bench.hear(*flood(bench, 100, 300), via=D.address)
    assert kept(bench) < full + 50_000
    assert len(only(CheckProposal, effects)) <= 1, "it makes others execute one block"
    relayed = [send for send in only(SendMessage, effects) if send.recipients <= {A.address, C.address}]
    assert len(relayed) <= MAX_RELAYED_MESSAGES


def test_prepared_blocks_that_many_show_are_kept_once() -> None:
    """Three authors, ten rounds each, one block: else thirty copies."""
    bench = Bench(B).start()
    original = bench.make_block()
    large = Block(original.header, BlockBody())
    prepared = prepared_by(propose(A, large), C, D)
    before = kept(bench)
    bench.hear(*(round_change(key, target, prepared) for target in range(2, 12) for key in (C, D)))
    size = len(encode_stored_prepared(IBFT2_ONLY, prepared))
    assert kept(bench) - before < 20 * size, "the certificates, and one block"
    blocks = {id(message.block) for target in range(2, 12) for message in shown(bench, target) if message.block}
    assert len(blocks) == 1


def shown(bench: Bench, target: int) -> list[RoundChange]:
    height = bench.machine._height
    assert height is not None
    return height.round_changes.messages_for_round(target)


def test_checks_that_wait_are_few_and_the_latest_rounds_stay() -> None:
    bench = Bench(B).start()
    bench.checks_wait = True
    late = [propose_in(bench, round_) for round_ in (4, 6, 2, 3, 7, 8)]
    bench.hear(*late)
    height = bench.machine._height
    assert height is not None
    waiting = sorted(proposal.signed.payload.round_id.round for proposal in height.received_proposals._checks.values())
    assert waiting == [4, 6, 7, 8]
    assert len(waiting) == MAX_PROPOSALS_CHECKED


def propose_in(bench: Bench, round_: int) -> Proposal:
    """By the proposer of that round, with a quorum's round changes, which are not heard by themselves."""
    block = bench.make_block(round_)
    author = next(key for key in (A, B, C, D) if key.address == block.header.coinbase)
    return propose(author, with_round(block, round_), [round_change(key, round_) for key in (A, C, D)])
