"""Which block a later round may propose, and what a certificate must prove. At the borders of every comparison."""

from dataclasses import replace
from itertools import permutations

import pytest

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.message_rules import MessageRefusedError
from lacnode.consensus.bft.messages import Justification, Proposal, RoundChange
from lacnode.consensus.bft.payloads import PreparedCertificate, PreparePayload, ProposalPayload, RoundId
from lacnode.consensus.bft.prepared_block import best_certificate
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.message_validation import (
    best_prepared,
    check_prepared_certificate,
    check_proposal,
    check_round_change,
)
from lacnode.consensus.ibft2.payloads import prepared_certificate, signed_proposal
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block
from tests.support.ibft2_blocks import with_round
from tests.unit.consensus.test_network import (
    FOUR,
    STRANGER,
    A,
    B,
    C,
    D,
    addresses,
    make_block,
    prepared_by,
    propose,
    round_change,
    signed,
)

VALIDATORS = addresses(FOUR)
GENESIS = make_block(None, bytes(20), VALIDATORS).header
COMMITTEE = Committee(1, VALIDATORS, GENESIS.coinbase)
"""A proposes in round 0, B in 1, C in 2, D in 3."""


def block(round_: int, name: bytes) -> Block:
    return make_block(GENESIS, VALIDATORS[round_ % 4], VALIDATORS, round_, vanity=name.ljust(32))


OLD, NEW = block(0, b"old"), block(1, b"new")
PREPARED_OLD = prepared_by(propose(A, OLD), C, D)
PREPARED_NEW = prepared_by(propose(B, NEW), C, D)
ASKED = [round_change(A, 2, PREPARED_OLD), round_change(B, 2, PREPARED_NEW), round_change(D, 2)]


@pytest.mark.parametrize("asked", list(permutations(ASKED)))
def test_a_proposal_must_be_the_block_of_the_highest_prepared_round(asked: tuple[RoundChange, ...]) -> None:
    """Else a proposer chooses: the block of the lower round gave way to the other, which may be final by now."""
    check_proposal(COMMITTEE, propose(C, with_round(NEW, 2), asked))
    for wrong in (with_round(OLD, 2), block(2, b"other")):
        with pytest.raises(MessageRefusedError, match="not the block that was prepared in round 1"):
            check_proposal(COMMITTEE, propose(C, wrong, asked))


@pytest.mark.parametrize("asked", list(permutations(ASKED)))
def test_the_highest_prepared_round_is_found_in_any_order(asked: tuple[RoundChange, ...]) -> None:
    assert best_certificate([message.signed for message in asked]) == PREPARED_NEW.certificate
    assert best_prepared(asked) == PREPARED_NEW


def test_a_prepared_block_binds_even_where_most_have_seen_none() -> None:
    asked = [round_change(A, 2), round_change(B, 2, PREPARED_OLD), round_change(D, 2)]
    check_proposal(COMMITTEE, propose(C, with_round(OLD, 2), asked))
    with pytest.raises(MessageRefusedError, match="not the block"):
        check_proposal(COMMITTEE, propose(C, block(2, b"other"), asked))


def test_without_a_prepared_block_any_block_may_be_proposed() -> None:
    asked = [round_change(key, 2) for key in (A, B, D)]
    check_proposal(COMMITTEE, propose(C, block(2, b"other"), asked))


def certificate(round_: int, *keys: NodeKey, digest: bytes | None = None, height: int = 1) -> PreparedCertificate:
    """Of a block of `round_` by its proposer, with prepares of `keys`: for that block, or for `digest`."""
    proposed = block(max(0, round_), b"some")
    payload = ProposalPayload(RoundId(height, round_), committed_seal_hash(proposed.header))
    prepared = PreparePayload(payload.round_id, digest or payload.digest)
    return prepared_certificate(signed(payload, FOUR[round_ % 4]), tuple(signed(prepared, key) for key in keys))


@pytest.mark.parametrize(("prepared", "target"), [(0, 1), (1, 2), (0, 7)])
def test_a_certificate_of_an_earlier_round_counts(prepared: int, target: int) -> None:
    check_prepared_certificate(COMMITTEE, certificate(prepared, C, D), RoundId(1, target))


@pytest.mark.parametrize(
    ("shown", "target"),
    [
        (certificate(1, C, D), 1),
        (certificate(2, A, D), 1),
        (certificate(-1, A, B), 1),
        (certificate(0, C, D, height=2), 1),
        (certificate(0, C), 1),
        (certificate(0), 1),
        (certificate(0, C, C), 1),
        (certificate(0, A, C), 1),
        (certificate(0, C, STRANGER), 1),
        (certificate(0, C, D, digest=bytes(32)), 1),
        (replace(certificate(0, C, D), proposal=certificate(1, A, D).proposal), 2),
        (
            prepared_certificate(
                signed(signed_proposal(certificate(0, C, D)).payload, B), certificate(0, C, D).prepares
            ),
            1,
        ),
    ],
    ids=[
        "of the round asked for",
        "of a later round",
        "of a negative round",
        "of another height",
        "one prepare too few",
        "no prepare",
        "one prepare twice",
        "a prepare of the proposer",
        "a prepare of a stranger",
        "prepares for another block",
        "prepares of another round",
        "a proposal out of turn",
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(shown: PreparedCertificate, target: int) -> None:
    with pytest.raises(MessageRefusedError):
        check_prepared_certificate(COMMITTEE, shown, RoundId(1, target))


def test_prepares_for_two_blocks_do_not_add_up() -> None:
    one, other = certificate(0, C, D), certificate(0, C, D, digest=bytes(32))
    mixed = prepared_certificate(signed_proposal(one), (one.prepares[0], other.prepares[1]))
    with pytest.raises(MessageRefusedError, match="for another block"):
        check_prepared_certificate(COMMITTEE, mixed, RoundId(1, 1))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ([round_change(A, 2), round_change(B, 2)], "2 round changes where 3 are needed"),
        ([round_change(A, 2), round_change(B, 2), round_change(B, 2)], "more than one"),
        ([round_change(A, 2), round_change(B, 2), round_change(D, 3)], "round 3 in it"),
        ([round_change(A, 2), round_change(B, 2), round_change(D, 1)], "round 1 in it"),
        ([round_change(A, 2), round_change(B, 2), round_change(STRANGER, 2)], "no validator"),
        ([round_change(A, 2), round_change(B, 2), round_change(D, 2, height=2)], "in it"),
    ],
)
def test_a_proposal_whose_round_changes_do_not_justify_it_is_refused(asked: list[RoundChange], text: str) -> None:
    with pytest.raises(MessageRefusedError, match=text):
        check_proposal(COMMITTEE, propose(C, block(2, b"other"), asked))


def test_a_round_change_shows_the_very_block_of_its_certificate() -> None:
    shown = round_change(A, 2, PREPARED_OLD)
    check_round_change(COMMITTEE, shown)
    for wrong in (NEW, with_round(OLD, 1), block(0, b"other")):
        with pytest.raises(MessageRefusedError):
            check_round_change(COMMITTEE, replace(shown, block=wrong))
    with pytest.raises(MessageRefusedError, match="come together"):
        check_round_change(COMMITTEE, replace(shown, block=None))


def test_a_round_change_of_another_height_or_for_a_negative_round_is_refused() -> None:
    for wrong in (round_change(A, 1, height=2), round_change(A, -1)):
        with pytest.raises(MessageRefusedError):
            check_round_change(COMMITTEE, wrong)


def test_the_block_is_of_the_round_and_height_of_the_message() -> None:
    """The digest covers both, and its author may sign the digest of any block."""
    asked = [round_change(key, 1) for key in (A, C, D)]
    of_round_0, of_height_2 = block(0, b"some"), make_block(OLD.header, A.address, VALIDATORS)
    for round_, wrong, text in ((1, of_round_0, "the block is of round 0"), (0, of_height_2, "block 2 in a message")):
        payload = ProposalPayload(RoundId(1, round_), committed_seal_hash(wrong.header))
        certificate = tuple(message.signed for message in asked) if round_ else None
        with pytest.raises(MessageRefusedError, match=text):
            check_proposal(COMMITTEE, Proposal(signed(payload, FOUR[round_]), wrong, Justification(certificate)))
