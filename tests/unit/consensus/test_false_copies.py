"""What a peer can change in a message that it passes on: the body, the certificate, the seals. The true copy counts."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lacnode.consensus.bft.effects import BlamePeer, CheckProposal, PeerIsAhead, SendMessage, SignPayload
from lacnode.consensus.bft.events import MessageReceived, ProposalChecked
from lacnode.consensus.bft.false_copies import MAX_FALSE_COPIES
from lacnode.consensus.bft.messages import Justification, Proposal, RoundChange
from lacnode.consensus.bft.payloads import MessageKind, PreparePayload, RoundChangePayload, RoundId, SignedPayload
from lacnode.consensus.bft.unsigned_content import BodyMismatchError, check_body_matches
from lacnode.consensus.ibft2.extra_data import decode_extra_data
from lacnode.consensus.ibft2.payloads import signed_fields
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.ordered_root import ordered_root
from lacnode.primitives.rlp import RlpItem
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction
from tests.support.ibft2_blocks import with_round, with_seals
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
    sent,
    topics,
)


def transaction(nonce: int) -> Transaction:
    fields = [rlp.encode_scalar(nonce), b"", rlp.encode_scalar(21_000), bytes(20), rlp.encode_scalar(1), b""]
    return Transaction.decode(encode_signed_transaction(LEGACY, fields, 27, 1, 1))


TRUE_BODY = BlockBody((transaction(0), transaction(1)))


def filled(block: Block) -> Block:
    """`block` with two transactions, which its header names."""
    root = ordered_root([one.raw for one in TRUE_BODY.transactions])
    return Block(block.header.with_changes(transactions_root=root), TRUE_BODY)


def with_body(block: Block, body: BlockBody) -> Block:
    return Block(block.header, body)


def another_body(block: Block) -> Block:
    return with_body(block, BlockBody((transaction(7),)))


def no_body(block: Block) -> Block:
    return with_body(block, BlockBody())


def one_transaction_twice(block: Block) -> Block:
    first, second = block.body.transactions
    return with_body(block, BlockBody((first, second, second)))


def another_order(block: Block) -> Block:
    return with_body(block, BlockBody(block.body.transactions[::-1]))


def an_ommer(block: Block) -> Block:
    return with_body(block, replace(block.body, ommers=(block.header,)))


def withdrawals_added(block: Block) -> Block:
    return with_body(block, replace(block.body, withdrawals=()))


BODIES = [another_body, no_body, one_transaction_twice, another_order, an_ommer, withdrawals_added]


def prepares(bench: Bench) -> list[bytes]:
    """The digests that this validator has prepared."""
    payloads = [effect.payload for effect in only(SignPayload, bench.effects)]
    return [payload.digest for payload in payloads if isinstance(payload, PreparePayload)]


# -- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swap", BODIES)
def test_a_body_of_another_header_is_found(swap: Callable[[Block], Block]) -> None:
    block = filled(Bench(B).make_block())
    check_body_matches(block)
    with pytest.raises(BodyMismatchError):
        check_body_matches(swap(block))


def test_withdrawals_are_compared_where_the_fork_has_them() -> None:
    block = Bench(B).make_block()
    header = block.header.with_changes(base_fee=0, withdrawals_root=EMPTY_TRIE_ROOT)
    check_body_matches(Block(header, BlockBody(withdrawals=())))
    for body in (BlockBody(), BlockBody(withdrawals=(rlp.encode([b"\x01"]),))):
        with pytest.raises(BodyMismatchError):
            check_body_matches(Block(header, body))


@pytest.mark.parametrize("swap", BODIES)
def test_the_true_copy_is_prepared_after_a_false_one(swap: Callable[[Block], Block]) -> None:
    """Attack: the proposal is passed on with another body before the proposer's own copy is here."""
    bench = Bench(B).start()
    honest = propose(A, filled(bench.make_block()))
    false = replace(honest, block=swap(honest.block))
    effects = bench.hear(false, via=C.address)
    assert topics(effects) == ["false-block"]
    assert not only(CheckProposal, effects), "it costs no execution"
    assert not only(SendMessage, effects), "who passes it on would be held for the forger"
    assert not only(BlamePeer, effects), "Besu passes it on unseen: C need not be the forger"
    bench.hear(honest)
    assert prepares(bench) == [honest.signed.payload.digest]


def test_the_true_copy_that_came_first_is_not_disturbed() -> None:
    bench = Bench(B).start()
    bench.checks_wait = True
    honest = propose(A, filled(bench.make_block()))
    bench.hear(honest)
    bench.hear(replace(honest, block=another_body(honest.block)), via=C.address)
    bench.give(ProposalChecked(0, honest.signed.payload.digest, None))
    assert prepares(bench) == [honest.signed.payload.digest]


def test_a_peer_that_brings_false_bodies_is_not_read_any_more_at_this_height() -> None:
    bench = Bench(B).start()
    honest = propose(A, filled(bench.make_block()))
    for number in range(MAX_FALSE_COPIES + 3):
        false = replace(honest, block=with_body(honest.block, BlockBody((transaction(50 + number),))))
        effects = bench.hear(false, via=C.address)
        assert topics(effects) == (["false-block"] if number < MAX_FALSE_COPIES else [])
    assert bench.hear(honest, via=C.address) == []
    assert sent(RoundChange, bench.hear(round_change(C, 1))), "what it signs itself is heard"
    bench.hear(honest, via=D.address)
    assert prepares(bench) == [honest.signed.payload.digest]


def test_false_messages_of_one_author_do_not_keep_out_what_the_same_peer_brings_of_others() -> None:
    """Attack: D signs round changes that prove nothing. C is a node of Besu, which relays them before it checks them."""
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    for target in range(1, MAX_FALSE_COPIES + 3):
        bench.hear(round_change(D, target, prepared_by(proposal, C)), via=C.address)
    bench.hear(proposal, via=C.address)
    assert prepares(bench) == [proposal.signed.payload.digest]
    assert bench.hear(round_change(D, 9), via=C.address) == [], "what C brings of D is not read any more"


def test_at_the_next_height_that_peer_is_read_again() -> None:
    bench = Bench(B).start()
    honest = propose(A, filled(bench.make_block()))
    for number in range(MAX_FALSE_COPIES):
        false = with_body(honest.block, BlockBody((transaction(50 + number),)))
        bench.hear(replace(honest, block=false), via=C.address)
    bench.new_head(make_block(bench.head, D.address, bench.validators).header)
    bench.hear(propose(A, bench.make_block()), via=C.address)
    assert len(prepares(bench)) == 1


def test_a_proposer_that_sends_a_false_body_itself_is_to_blame() -> None:
    bench = Bench(B).start()
    honest = propose(A, filled(bench.make_block()))
    effects = bench.hear(replace(honest, block=no_body(honest.block)))
    assert [blame.address for blame in only(BlamePeer, effects)] == [A.address]


@pytest.mark.parametrize("swap", BODIES)
def test_a_false_body_in_a_round_change_does_not_spoil_the_next_proposal(swap: Callable[[Block], Block]) -> None:
    """The proposer of round 1 would propose the block that A shows, and refuse it itself."""
    bench = Bench(B).start()
    shown = round_change(A, 1, prepared_by(propose(A, filled(bench.make_block())), C, D))
    assert shown.block is not None
    false = replace(shown, block=swap(shown.block))
    assert topics(bench.hear(false, via=C.address)) == ["false-block"]
    effects = bench.hear(shown, round_change(D, 1))
    [proposal] = sent(Proposal, effects, B.address)
    assert proposal.block.body == TRUE_BODY


# -- what is decoded -------------------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of transactions in the bodies that are decoded."""
    numbers: list[int] = []

    def decode(items: list[RlpItem]) -> BlockBody:
        body = from_items(items)
        numbers.append(len(body.transactions))
        return body

    from_items = BlockBody.from_items
    monkeypatch.setattr(BlockBody, "from_items", decode)
    return numbers


def test_transactions_are_not_decoded_before_the_proof_that_comes_with_them(decoded: list[int]) -> None:
    """Attack: round changes of D, each with thousands of transactions and a certificate that proves nothing."""
    bench = Bench(B).start()
    block = filled(bench.make_block())
    effects = bench.hear(*(round_change(D, target, prepared_by(propose(A, block), C)) for target in (1, 2, 3)))
    assert topics(effects) == ["roundchange-refused"] * 3
    assert not only(SendMessage, effects), "every other validator would refuse it as well"
    assert decoded == []
    bench.hear(round_change(D, 4, prepared_by(propose(A, block), C, D)))
    assert decoded == [2]


def test_transactions_of_a_second_proposal_are_not_decoded(decoded: list[int]) -> None:
    bench = Bench(B).start()
    bench.hear(propose(A, filled(bench.make_block())))
    assert topics(bench.hear(propose(A, filled(bench.make_block(vanity=bytes([1]) * 32))))) == ["equivocation"]
    assert decoded == [2]


def test_a_message_of_another_height_is_not_decoded_although_its_block_is_no_rlp() -> None:
    """It costs what its payload costs, however large its block is."""
    bench = Bench(B).start()
    payload = rlp.encode(signed_fields(round_change(D, 1, height=2).signed))
    junk = rlp.list_of_encoded(payload, rlp.wrap_list(b"\xb8\x01\x01" * 1000))
    [ahead] = bench.give(MessageReceived(MessageKind.ROUND_CHANGE, junk, D.address))
    assert ahead == PeerIsAhead(D.address, 1)


def test_another_header_under_a_true_signature_is_a_false_copy_of_the_peer_that_brings_it(decoded: list[int]) -> None:
    bench = Bench(B).start()
    shown = round_change(A, 1, prepared_by(propose(A, filled(bench.make_block())), C, D))
    for number in range(MAX_FALSE_COPIES + 3):
        false = replace(shown, block=filled(bench.make_block(vanity=bytes([1 + number]) * 32)))
        effects = bench.hear(false, via=D.address)
        assert topics(effects) == (["false-block"] if number < MAX_FALSE_COPIES else [])
        assert not only(BlamePeer, effects), "Besu passes it on unseen: D need not be the forger"
    assert decoded == []
    assert sent(RoundChange, bench.hear(shown, via=C.address)), "the true copy counts"


# -- seals -----------------------------------------------------------------------------------------------------------


def sealed(block: Block) -> Block:
    return with_seals(block, (bytes([1]) * 64 + b"\0",) * 9)


def test_seals_in_a_proposal_mean_nothing_and_are_not_kept() -> None:
    bench = Bench(B).start()
    honest = propose(A, filled(bench.make_block()))
    [check] = only(CheckProposal, bench.hear(replace(honest, block=sealed(honest.block)), via=C.address))
    assert check.block == honest.block
    assert prepares(bench) == [honest.signed.payload.digest]
    assert not only(CheckProposal, bench.hear(honest)), "the same proposal"


def test_seals_in_a_round_change_are_not_kept() -> None:
    bench = Bench(B).start()
    shown = round_change(A, 1, prepared_by(propose(A, filled(bench.make_block())), C, D))
    assert shown.block is not None
    bench.hear(replace(shown, block=sealed(shown.block)), round_change(D, 1))
    [proposal] = sent(Proposal, bench.effects, B.address)
    assert decode_extra_data(proposal.block.header.extra_data).seals == ()


# -- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_that_shows_nothing_does_not_silence_the_proposer() -> None:
    """B proposes A's block again, as C shows it. D passes the proposal on with the round changes of those who have seen
    nothing: each is true, there are enough, and with them A's block would be a new one in another's name."""
    bench = Bench(A).start()
    prepared = prepared_by(propose(A, bench.make_block()), C, D)
    asked = {key: round_change(key, 1) for key in (A, B, D)}
    shown = round_change(C, 1, prepared)
    honest = propose(B, with_round(prepared.block, 1), [asked[A], asked[B], shown])
    false = replace(honest, justification=Justification(tuple(message.signed for message in asked.values())))
    assert topics(bench.hear(false, via=D.address)) == ["proposal-refused"]
    bench.hear(honest)
    assert prepares(bench) == [honest.signed.payload.digest]


def test_a_certificate_with_one_message_less_does_not_silence_the_proposer() -> None:
    bench = Bench(A).start()
    honest = propose(B, bench.make_block(1), [round_change(key, 1) for key in (B, C, D)])
    assert honest.justification.round_changes is not None
    false = replace(honest, justification=Justification(honest.justification.round_changes[:2]))
    assert topics(bench.hear(false, via=D.address)) == ["proposal-refused"]
    bench.hear(honest)
    assert prepares(bench) == [honest.signed.payload.digest]


# -- what a proposer may cost ----------------------------------------------------------------------------------------


def test_a_proposer_of_a_later_round_has_one_check() -> None:
    """It has a quorum's round changes and signs one block after the other: each honest node executes the first."""
    bench = Bench(B).start()
    bench.checks_wait = True
    asked = [round_change(key, 2) for key in (A, C, D)]
    proposals = [propose(C, bench.make_block(2, vanity=bytes([n]) * 32), asked) for n in range(20)]
    effects = bench.hear(*proposals)
    assert len(only(CheckProposal, effects)) == 1
    assert set(topics(effects)) == {"equivocation"}


def test_a_signature_of_a_stranger_in_an_envelope_blames_the_peer_that_brought_it() -> None:
    bench = Bench(B).start()
    payload = RoundChangePayload(RoundId(1, 1), None)
    unsigned = RoundChange(SignedPayload(payload, bytes(31) + b"\x01" + bytes(31) + b"\x01\0", A.address))
    effects = bench.hear(unsigned, via=C.address)
    assert [blame.address for blame in only(BlamePeer, effects)] == [C.address]
