"""What a validator must never sign, whatever happened in between."""

import pytest

from lacnode.consensus.bft.journal import ContradictionError, Journal, SignedAtHeight, encode_loss_record
from lacnode.consensus.bft.messages import NO_JUSTIFICATION
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    Payload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError
from tests.support.ibft2_blocks import IBFT2_ONLY, with_round
from tests.unit.consensus.test_network import (
    FOUR,
    A,
    B,
    C,
    D,
    addresses,
    make_block,
    prepared_by,
    propose,
    round_change,
)

VALIDATORS = addresses(FOUR)
GENESIS = make_block(None, bytes(20), VALIDATORS).header
ONE, TWO = bytes([1]) * 32, bytes([2]) * 32


def prepared(round_: int = 0, vanity: bytes = bytes(32)) -> PreparedBlock:
    """A block prepared in round 0, or again in round 1."""
    block = make_block(GENESIS, A.address, VALIDATORS, vanity=vanity)
    if round_ == 0:
        return prepared_by(propose(A, block), C, D)
    return prepared_by(propose(B, with_round(block, 1), [round_change(key, 1) for key in (A, B, C)]), A, D)


def digest_of(block: PreparedBlock) -> bytes:
    return block.digest


class Keeper:
    """A journal and its records, restored from the records after every step: what it forgets is found out."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    @property
    def journal(self) -> Journal:
        return Journal.restore(self.records, IBFT2_ONLY)

    def sign(self, payload: Payload) -> None:
        self.records.append(self.journal.check_and_record(payload))

    def record(self, block: PreparedBlock) -> None:
        self.records.append(self.journal.record_prepared(block))

    def head(self, number: int) -> None:
        self.records = self.journal.forget_final_blocks(number)


def at(round_: int, height: int = 1) -> RoundId:
    return RoundId(height, round_)


@pytest.mark.parametrize("kind", [ProposalPayload, PreparePayload])
def test_two_different_messages_for_one_round_are_a_contradiction(
    kind: type[ProposalPayload] | type[PreparePayload],
) -> None:
    keeper = Keeper()
    keeper.sign(kind(at(0), ONE))
    keeper.sign(kind(at(0), ONE))
    with pytest.raises(ContradictionError, match="height 1, round 0"):
        keeper.sign(kind(at(0), TWO))
    keeper.sign(kind(at(1), TWO))
    keeper.sign(kind(at(0, height=2), TWO))


def test_a_commit_needs_its_block_recorded_as_prepared() -> None:
    keeper, block = Keeper(), prepared()
    with pytest.raises(ContradictionError, match="not been recorded"):
        keeper.sign(CommitPayload(at(0), digest_of(block)))
    keeper.record(block)
    keeper.sign(CommitPayload(at(0), digest_of(block)))
    keeper.sign(CommitPayload(at(0), digest_of(block)))
    with pytest.raises(ContradictionError):
        keeper.sign(CommitPayload(at(0), TWO))
    with pytest.raises(ContradictionError):
        keeper.sign(CommitPayload(at(1), digest_of(block)))


def test_a_round_that_was_given_up_is_given_up() -> None:
    keeper, block = Keeper(), prepared()
    keeper.record(block)
    keeper.sign(RoundChangePayload(at(2), block.certificate))
    for payload in (
        ProposalPayload(at(1), ONE),
        PreparePayload(at(0), ONE),
        CommitPayload(at(0), digest_of(block)),
        RoundChangePayload(at(1), block.certificate),
    ):
        with pytest.raises(ContradictionError, match="round 2"):
            keeper.sign(payload)
    keeper.sign(PreparePayload(at(2), ONE))


def test_what_was_signed_before_leaving_may_be_signed_again() -> None:
    keeper = Keeper()
    keeper.sign(PreparePayload(at(0), ONE))
    keeper.sign(RoundChangePayload(at(1)))
    keeper.sign(PreparePayload(at(0), ONE))


def test_a_round_change_must_not_hide_what_was_prepared() -> None:
    keeper, older, newer = Keeper(), prepared(), prepared(1)
    keeper.record(older)
    with pytest.raises(ContradictionError, match="missing from the round change"):
        keeper.sign(RoundChangePayload(at(1)))
    keeper.record(newer)
    with pytest.raises(ContradictionError, match="prepared in round 1"):
        keeper.sign(RoundChangePayload(at(2), older.certificate))
    keeper.sign(RoundChangePayload(at(2), newer.certificate))


def test_two_different_round_changes_for_one_round_are_a_contradiction() -> None:
    keeper, block = Keeper(), prepared()
    keeper.sign(RoundChangePayload(at(1)))
    keeper.sign(RoundChangePayload(at(1)))
    with pytest.raises(ContradictionError):
        keeper.sign(RoundChangePayload(at(1), block.certificate))


def test_a_prepare_and_a_commit_of_one_round_are_for_one_block() -> None:
    keeper, block = Keeper(), prepared()
    keeper.sign(PreparePayload(at(0), ONE))
    keeper.record(block)
    with pytest.raises(ContradictionError, match="another block"):
        keeper.sign(CommitPayload(at(0), digest_of(block)))


def test_nothing_is_signed_for_a_finished_height() -> None:
    keeper = Keeper()
    keeper.head(5)
    for height in (0, 4, 5):
        with pytest.raises(ContradictionError, match="final"):
            keeper.sign(PreparePayload(at(0, height), ONE))
    keeper.sign(PreparePayload(at(0, 6), ONE))
    keeper.head(3)
    with pytest.raises(ContradictionError, match="final"):
        keeper.sign(PreparePayload(at(0, 5), TWO))


def test_a_new_head_forgets_finished_heights_and_keeps_the_rest() -> None:
    keeper, block = Keeper(), prepared()
    keeper.record(block)
    keeper.sign(PreparePayload(at(0), digest_of(block)))
    keeper.sign(CommitPayload(at(0), digest_of(block)))
    keeper.sign(RoundChangePayload(at(3), block.certificate))
    keeper.head(0)
    signed = keeper.journal.signed_at(1)
    assert signed.prepared == block
    assert signed.highest_round == 3
    assert signed.highest_requested_round == 3
    keeper.head(1)
    assert len(keeper.records) == 1
    assert keeper.journal.signed_at(1).prepared is None


def test_the_block_of_a_proposal_is_kept_until_its_height_is_final() -> None:
    keeper = Keeper()
    block = make_block(GENESIS, A.address, VALIDATORS)
    proposal = propose(A, block)
    draft = ProposalDraft(NO_JUSTIFICATION, block, proposal.signed.payload.digest)
    keeper.records.append(keeper.journal.record_draft(at(0), draft))
    assert keeper.journal.signed_at(1).signed_draft(0) is None, "recorded, and not yet signed"
    keeper.sign(proposal.signed.payload)
    keeper.head(0)
    assert keeper.journal.signed_at(1).signed_draft(0) == draft
    assert keeper.journal.signed_at(1).signed_draft(1) is None
    keeper.head(1)
    assert len(keeper.records) == 1


def test_blocks_up_to_the_head_of_the_database_are_finished_and_not_decoded() -> None:
    """A log may have a hundred full blocks. Decoding them took most of a minute at every start."""
    keeper, block = Keeper(), make_block(GENESIS, A.address, VALIDATORS)
    keeper.record(prepared())
    draft = ProposalDraft(NO_JUSTIFICATION, block, propose(A, block).signed.payload.digest)
    keeper.records.append(keeper.journal.record_draft(at(0), draft))
    keeper.sign(PreparePayload(at(0), ONE))
    keeper.sign(PreparePayload(at(0, height=2), ONE))
    records = [with_a_false_transaction(record) for record in keeper.records]
    with pytest.raises(RlpError):
        Journal.restore(records, IBFT2_ONLY)
    with pytest.raises(RlpError):
        Journal.restore(records, IBFT2_ONLY, head=0)
    journal = Journal.restore(records, IBFT2_ONLY, head=1)
    assert journal.signed_at(1) == SignedAtHeight()
    with pytest.raises(ContradictionError, match="block 1 is final"):
        journal.check_and_record(PreparePayload(at(0), ONE))
    with pytest.raises(ContradictionError, match="height 2, round 0"):
        journal.check_and_record(PreparePayload(at(0, height=2), TWO))


def with_a_false_transaction(record: bytes) -> bytes:
    """The record of a prepared block or a draft, with a transaction that is none. Other records stay."""
    kind, *fields = rlp.decode_list(record, "record")
    if kind not in (b"\x01", b"\x03"):
        return record
    stored = rlp.decode_list(rlp.as_bytes(fields[-1], "stored"), "stored")
    block = rlp.as_list(stored[1 if kind == b"\x01" else 0], "block")
    block[1] = [b"no transaction"]
    return rlp.encode([kind, *fields[:-1], rlp.encode(stored)])


def test_the_round_to_go_on_in_counts_what_was_prepared() -> None:
    keeper = Keeper()
    keeper.record(prepared(1))
    assert keeper.journal.signed_at(1).highest_round == 1


@pytest.mark.parametrize("record", [b"", b"\xc0", b"\xc1\x09", b"\xff" * 40])
def test_bytes_that_are_no_record_are_an_error(record: bytes) -> None:
    with pytest.raises(RlpError):
        Journal.restore([record], IBFT2_ONLY)


@pytest.mark.parametrize("kind", [b"\x06", b"\x7f", b"\x02\x00"])
def test_a_record_of_an_unknown_kind_is_an_error(kind: bytes) -> None:
    """As a finished height it would forget what was signed."""
    keeper = Keeper()
    keeper.sign(PreparePayload(at(0), ONE))
    with pytest.raises(RlpError, match="a kind from 0 to 5 was expected"):
        Journal.restore([*keeper.records, rlp.encode([kind, b"\x09"])], IBFT2_ONLY)


def test_a_record_with_more_fields_than_expected_is_an_error() -> None:
    keeper = Keeper()
    keeper.sign(PreparePayload(at(0), ONE))
    keeper.record(prepared(1))
    records = [*keeper.records, encode_loss_record("cut"), *Journal(IBFT2_ONLY).forget_final_blocks(9)]
    records += [Journal(IBFT2_ONLY).resolve_loss(9)]
    for record in records:
        longer = rlp.encode([*rlp.decode_list(record, "record"), b"more"])
        with pytest.raises(RlpError, match="1 items more than expected"):
            Journal.restore([longer], IBFT2_ONLY)


def test_after_a_loss_nothing_is_signed_until_it_is_settled_and_then_nothing_up_to_the_floor() -> None:
    keeper = Keeper()
    keeper.records = [encode_loss_record("the log was missing")]
    for _ in range(2):
        with pytest.raises(ContradictionError, match="the log was missing"):
            keeper.sign(PreparePayload(at(0, height=5), ONE))
        keeper.head(3)
    keeper.records.append(keeper.journal.resolve_loss(5))
    for _ in range(2):
        assert (keeper.journal.loss_reason, keeper.journal.signing_floor) == (None, 5)
        with pytest.raises(ContradictionError, match="forgotten"):
            keeper.sign(PreparePayload(at(0, height=5), ONE))
        keeper.head(4)
    keeper.sign(PreparePayload(at(0, height=6), ONE))
    keeper.head(5)
    keeper.sign(PreparePayload(at(0, height=6), ONE))
