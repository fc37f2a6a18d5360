"""QBFT messages from a peer: read back as sent, refused in every other shape, and never dearer than their form allows."""

import pytest

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.messages import Message, Proposal, decode_whole, round_id_of
from lacnode.consensus.bft.payloads import MAX_VALIDATORS, MessageKind
from lacnode.consensus.ibft2.payloads import CODES as IBFT2_CODES
from lacnode.consensus.qbft.messages import encode_message
from lacnode.consensus.qbft.payloads import CODES
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpItem
from tests.support.qbft_messages import (
    STRANGER,
    VALIDATORS,
    A,
    B,
    C,
    commit,
    make_block,
    prepare,
    prepared_by,
    propose,
    round_change,
    signed,
)

BLOCK = make_block(A, 0)
PREPARED = prepared_by(BLOCK, 0, A, B, C)
ASKED = [round_change(A, 1), round_change(B, 1, PREPARED), round_change(C, 1)]
MESSAGES: list[Message] = [
    propose(A, BLOCK),
    propose(B, make_block(B, 1), 1, [round_change(key, 1) for key in (A, B, C)]),
    propose(B, make_block(A, 1), 1, ASKED),
    prepare(A, BLOCK),
    commit(B, BLOCK),
    round_change(A, 1),
    round_change(B, 1, PREPARED),
]


def code_of(message: Message) -> int:
    return CODES[message.kind]


def items_of(message: Message) -> list[RlpItem]:
    return rlp.decode_list(encode_message(message), "message")


def decode(code: int, data: bytes) -> Message:
    return decode_whole(QBFT.codec.open_message(code, data), VALIDATORS.__contains__)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
class TestEachMessage:
    def test_is_read_back_as_sent(self, message: Message) -> None:
        data = encode_message(message)
        envelope = QBFT.codec.open_message(code_of(message), data)
        assert envelope.round_id == round_id_of(message)
        assert envelope.author == message.signed.author
        assert decode_whole(envelope, VALIDATORS.__contains__) == message

    def test_is_refused_under_every_other_code(self, message: Message) -> None:
        """The code is signed: the same bytes under another code are the message of another author, if they are one."""
        for code in {*CODES.values()} - {code_of(message)}:
            with pytest.raises(RlpError):
                decode(code, encode_message(message))

    def test_is_refused_with_an_item_more_or_less(self, message: Message) -> None:
        items = items_of(message)
        for wrong in ([*items, b""], items[:-1], [], [b"", *items]):
            with pytest.raises(RlpError):
                decode(code_of(message), rlp.encode(wrong))

    def test_is_refused_when_a_byte_is_missing_or_follows(self, message: Message) -> None:
        data = encode_message(message)
        for wrong in (data[:-1], data + b"\0", b""):
            with pytest.raises(RlpError):
                decode(code_of(message), wrong)


@pytest.mark.parametrize("code", [0x00, 0x10, 0x11, 0x16, 0xFF, *IBFT2_CODES.values()])
def test_a_code_of_another_protocol_is_refused(code: int) -> None:
    """0x11 is IBFT 1's in the same sub-protocol. 0 to 3 are those of IBFT 2.0."""
    with pytest.raises(RlpError, match="message code"):
        QBFT.codec.open_message(code, encode_message(MESSAGES[0]))


@pytest.mark.parametrize(
    ("sequence", "round_"),
    [(bytes(8), b""), (b"\0", b""), (b"\x01", bytes(4)), ((2**63).to_bytes(8), b""), (b"\x01", (2**31).to_bytes(4))],
)
def test_a_height_or_a_round_out_of_bounds_is_refused(sequence: bytes, round_: bytes) -> None:
    """Among them the fixed widths of IBFT 2.0, and numbers that Besu would read as negative."""
    data = rlp.encode([[sequence, round_, bytes(32)], bytes(65)])
    with pytest.raises(RlpError):
        _ = QBFT.codec.open_message(CODES[MessageKind.PREPARE], data).round_id


def test_a_signature_has_one_form() -> None:
    payload, signature = items_of(prepare(A, BLOCK))
    assert isinstance(signature, bytes)
    for wrong in (signature[:64], signature + b"\0", signature[:64] + bytes([signature[64] + 27])):
        with pytest.raises(RlpError, match="signature"):
            decode(CODES[MessageKind.PREPARE], rlp.encode([payload, wrong]))


class TestJustification:
    def test_a_prepare_repeated_is_refused_at_its_second_copy(self) -> None:
        signed_part, block, prepares = items_of(round_change(B, 1, PREPARED))
        assert isinstance(prepares, list)
        with pytest.raises(RlpError, match="signed before"):
            decode(CODES[MessageKind.ROUND_CHANGE], rlp.encode([signed_part, block, [*prepares, prepares[0]]]))

    def test_a_list_longer_than_any_set_of_validators_is_refused_before_a_signature_is_recovered(self) -> None:
        signed_part, block, _ = items_of(round_change(B, 1, PREPARED))
        with pytest.raises(RlpError, match=f"more than {MAX_VALIDATORS}"):
            decode(CODES[MessageKind.ROUND_CHANGE], rlp.encode([signed_part, block, [b""] * (MAX_VALIDATORS + 1)]))

    def test_a_part_signed_by_a_stranger_is_refused(self) -> None:
        with pytest.raises(RlpError, match="no validator here"):
            decode(CODES[MessageKind.PROPOSAL], encode_message(propose(STRANGER, BLOCK)))
        foreign = [round_change(one, 1) for one in (A, B, STRANGER)]
        with pytest.raises(RlpError, match="no validator here"):
            decode(CODES[MessageKind.PROPOSAL], encode_message(propose(B, make_block(B, 1), 1, foreign)))

    def test_a_prepared_round_comes_with_its_block_and_a_block_with_its_round(self) -> None:
        bare, shown = items_of(round_change(B, 1)), items_of(round_change(B, 1, PREPARED))
        for wrong in ([bare[0], shown[1], shown[2]], [shown[0], bare[1], shown[2]], [bare[0], bare[1], shown[2]]):
            with pytest.raises(RlpError, match="roundChange"):
                decode(CODES[MessageKind.ROUND_CHANGE], rlp.encode(wrong))


class TestProposedBlock:
    """The signature of a proposal covers its block, so its author answers for all of it."""

    def test_a_body_that_is_not_the_one_of_the_header_is_refused(self) -> None:
        false = Block(BLOCK.header, BlockBody(ommers=(BLOCK.header,)))
        with pytest.raises(RlpError, match="ommers"):
            decode(CODES[MessageKind.PROPOSAL], encode_message(propose(A, false)))

    def test_seals_are_refused(self) -> None:
        extra = ExtraData(bytes(32), VALIDATORS, None, 0, ((1).to_bytes(32) * 2 + b"\0",))
        sealed = BLOCK.with_header(BLOCK.header.with_changes(extra_data=QBFT.encode_extra_data(extra)))
        with pytest.raises(RlpError, match="no seals"):
            decode(CODES[MessageKind.PROPOSAL], encode_message(propose(A, sealed)))

    def test_extra_data_of_ibft_2_is_refused(self) -> None:
        ibft2 = rlp.encode([bytes(32), list(VALIDATORS), b"", bytes(4), []])
        payload = propose(A, BLOCK).signed.payload
        block = BLOCK.with_header(BLOCK.header.with_changes(extra_data=ibft2))
        payload = QBFT.justifications.proposal_payload(payload.round_id, payload.digest, block)
        with pytest.raises(RlpError, match="vote"):
            decode(CODES[MessageKind.PROPOSAL], encode_message(Proposal(signed(payload, A), block)))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_the_code_of_a_message_is_signed(message: Message) -> None:
    """Otherwise the signature of one message would be good for another one with the same fields."""
    payload = rlp.decode(QBFT.codec.encode_payload(message.signed.payload))
    signed_bytes = rlp.encode([bytes([code_of(message)]), payload])
    assert QBFT.codec.signature_hash(message.signed.payload) == keccak256(signed_bytes)


def test_the_journal_reads_back_what_it_wrote() -> None:
    codec = QBFT.codec
    assert codec.decode_stored_certificate(
        rlp.decode(rlp.encode(codec.stored_certificate_fields(PREPARED.certificate)))
    ) == (PREPARED.certificate)
    for message in MESSAGES[:3]:
        assert isinstance(message, Proposal)
        fields = codec.stored_justification_fields(message.justification)
        assert codec.decode_stored_justification(rlp.decode(rlp.encode(fields))) == message.justification
