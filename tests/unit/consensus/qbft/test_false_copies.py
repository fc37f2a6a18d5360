"""What a peer can change in a round change of QBFT that it relays: the block and the prepares are not signed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import BlamePeer, Effect, SendMessage, WriteLogLine
from lacnode.consensus.bft.events import HeadChanged, MessageReceived
from lacnode.consensus.bft.false_copies import MAX_FALSE_COPIES
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.messages import Justification, RoundChange, decode_whole
from lacnode.consensus.bft.payloads import P_co, SignedPayload
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.qbft.messages import decode_justification, encode_justification
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError
from tests.support.ibft2_blocks import high_s
from tests.support.qbft_messages import VALIDATORS, A, B, C, D, make_block, prepare, prepared_by, round_change

PROTOCOLS = ProtocolSchedule(((0, QBFT),))
HEAD = make_block(D, number=0).header
NOW_MS = HEAD.timestamp * 1000 + 60_000
SHOWN = round_change(A, 1, prepared_by(make_block(A), 0, A, B, C))


def another_block(number: int) -> RoundChange:
    return replace(SHOWN, block=make_block(A, name=number.to_bytes(32)))


def other_prepares(number: int) -> RoundChange:
    return replace(SHOWN, prepares=tuple(prepare(key, make_block(A, name=bytes([number]))).signed for key in (A, B, C)))


def started() -> BftController:
    machine = BftController(B.address, Journal(PROTOCOLS), PROTOCOLS)
    machine.handle(HeadChanged(HEAD, VALIDATORS, 1000, 4000), NOW_MS)
    return machine


@pytest.mark.parametrize("false_copy", [another_block, other_prepares])
def test_false_copies_of_one_peer_come_to_an_end(false_copy: Callable[[int], RoundChange]) -> None:
    machine = started()

    def hear(message: RoundChange, sender: bytes) -> list[Effect]:
        return machine.handle(MessageReceived(0x15, QBFT.codec.encode_message(message), sender), NOW_MS)

    for number in range(1, MAX_FALSE_COPIES + 4):
        effects = hear(false_copy(number), D.address)
        assert not any(isinstance(effect, SendMessage | BlamePeer) for effect in effects)
        is_read = any(isinstance(effect, WriteLogLine) for effect in effects)
        assert is_read == (number <= MAX_FALSE_COPIES)
    assert not hear(SHOWN, D.address), "what D passes on is not read any more"
    assert any(isinstance(effect, SendMessage) for effect in hear(SHOWN, C.address)), "the true copy counts"


def test_the_author_of_a_proposal_is_known_before_its_block_is_decoded() -> None:
    """D does not propose in round 0. Its block is not even RLP: it costs nothing, whatever it holds."""
    block = rlp.wrap_list(b"\xb8\x01\x01" * 1000)
    payload = rlp.list_of_encoded(rlp.encode(b"\x01"), rlp.encode(b""), block)
    signature = D.sign(keccak256(rlp.list_of_encoded(b"\x12", payload)))
    data = rlp.list_of_encoded(rlp.list_of_encoded(payload, rlp.encode(signature)), rlp.encode([[], []]))
    effects = started().handle(MessageReceived(0x12, data, D.address), NOW_MS)
    [refused] = [effect for effect in effects if isinstance(effect, WriteLogLine)]
    assert "is not the proposer" in refused.text


def with_high_s(signed: SignedPayload[P_co]) -> SignedPayload[P_co]:
    """What any peer can make of `signed`."""
    return replace(signed, signature=high_s(signed.signature))


def test_a_justification_may_show_a_high_s_and_a_round_change_may_not() -> None:
    """Besu before 25.11 and GoQuorum accept a high s of a faulty validator, and show it when they propose."""
    prepares = tuple(with_high_s(one) for one in SHOWN.prepares)
    shown = Justification((with_high_s(SHOWN.signed),), prepares)
    assert decode_justification(rlp.decode_list(encode_justification(shown), "justification")) == shown
    for message in (replace(SHOWN, prepares=prepares), replace(SHOWN, signed=with_high_s(SHOWN.signed))):
        with pytest.raises(RlpError, match="lower half"):
            decode_whole(QBFT.codec.open_message(0x15, QBFT.codec.encode_message(message)))
