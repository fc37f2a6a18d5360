"""GoQuorum, and Besu before 24.12, propose a prepared block with the same digest in each round."""

from collections import deque
from collections.abc import Iterable

from lacnode.consensus.bft.blocks import seal_digest
from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import CheckProposal, Effect, ImportBlock, SignPayload
from lacnode.consensus.bft.events import (
    Event,
    HeadChanged,
    ImportFailed,
    MessageReceived,
    PayloadSigned,
    ProposalChecked,
    RoundTimerExpired,
)
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.messages import Commit, Message
from lacnode.consensus.bft.payload_signing import sign_payload
from lacnode.consensus.bft.payloads import CommitPayload, PreparePayload, RoundId
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.qbft.protocol import QBFT
from tests.support.qbft_messages import (
    VALIDATORS,
    A,
    B,
    C,
    D,
    commit,
    digest_of,
    make_block,
    prepared_by,
    propose,
    round_change,
    signed,
)

PROTOCOLS = ProtocolSchedule(((0, QBFT),))
# D created the head, so A proposes in round 0 and B in round 1.
HEAD = make_block(D, number=0).header
BLOCK = make_block(A, 0)
DIGEST = digest_of(BLOCK)


class Listener:
    """The machine of C, which signs at once, and whose checks and imports the test answers."""

    def __init__(self) -> None:
        self.machine = BftController(C.address, Journal(PROTOCOLS), PROTOCOLS)
        self.give(HeadChanged(HEAD, VALIDATORS, 1000, 4000))

    def give(self, event: Event) -> list[Effect]:
        events, effects = deque([event]), list[Effect]()
        while events:
            for effect in self.machine.handle(events.popleft(), HEAD.timestamp * 1000):
                effects.append(effect)
                if isinstance(effect, SignPayload):
                    events.append(PayloadSigned(sign_payload(QBFT, effect.payload, C)))
        return effects

    def hear(self, *messages: Message) -> list[Effect]:
        codec = QBFT.codec
        return [
            effect
            for message in messages
            for effect in self.give(
                MessageReceived(codec.code(message.kind), codec.encode_message(message), message.signed.author)
            )
        ]


def proposed_in_two_rounds() -> Listener:
    """The others prepared the block in round 0, and B proposes it again in round 1. Both checks are under way."""
    listener = Listener()
    assert checks(listener.hear(propose(A, BLOCK))) == [(0, False)]
    prepared = prepared_by(BLOCK, 0, A, B, D)
    asked = [round_change(key, 1, prepared) for key in (A, B, D)]
    listener.give(RoundTimerExpired(1, 0))
    assert checks(listener.hear(*asked, propose(B, BLOCK, 1, asked))) == [(1, True)]
    assert listener.machine.height_and_round == (1, 1)
    return listener


def checks(effects: Iterable[Effect]) -> list[tuple[int, bool]]:
    return [(effect.round, effect.is_prepared) for effect in effects if isinstance(effect, CheckProposal)]


def prepared_rounds(effects: Iterable[Effect]) -> list[int]:
    payloads = [effect.payload for effect in effects if isinstance(effect, SignPayload)]
    return [payload.round_id.round for payload in payloads if isinstance(payload, PreparePayload)]


def test_the_cancelled_check_of_round_0_is_no_answer_for_round_1() -> None:
    listener = proposed_in_two_rounds()
    assert listener.give(ProposalChecked(0, DIGEST, "check-interrupted: the round is over")) == []
    assert prepared_rounds(listener.give(ProposalChecked(1, DIGEST, None))) == [1]


def test_a_check_that_passed_in_round_0_is_not_taken_for_the_one_of_round_1() -> None:
    listener = proposed_in_two_rounds()
    assert listener.give(ProposalChecked(0, DIGEST, None)) == []
    assert prepared_rounds(listener.give(ProposalChecked(1, DIGEST, None))) == [1]


def test_two_rounds_ahead_are_checked_one_by_one() -> None:
    """A proposal of a later round may come while the check for this one is under way."""
    listener = Listener()
    listener.hear(propose(A, BLOCK))
    prepared = prepared_by(BLOCK, 0, A, B, D)
    asked = [round_change(key, 1, prepared) for key in (A, B, D)]
    assert checks(listener.hear(propose(B, BLOCK, 1, asked))) == [(1, True)]
    assert prepared_rounds(listener.give(ProposalChecked(0, DIGEST, None))) == [0]
    assert prepared_rounds(listener.give(ProposalChecked(1, DIGEST, None))) == [1]
    assert listener.machine.height_and_round == (1, 1)


def test_a_block_that_could_not_be_imported_in_round_0_is_imported_in_round_1() -> None:
    """The seals of round 1 make another block of it."""
    listener = Listener()
    listener.hear(propose(A, BLOCK))
    listener.give(ProposalChecked(0, DIGEST, None))
    [first] = imports(listener.hear(*(commit(key, BLOCK) for key in (A, B, D))))
    listener.give(ImportFailed(1, DIGEST, "the disk is full"))
    assert imports(listener.hear(commit(A, BLOCK))) == []
    prepared = prepared_by(BLOCK, 0, A, B, D)
    asked = [round_change(key, 1, prepared) for key in (A, B, D)]
    listener.give(RoundTimerExpired(1, 0))
    listener.hear(*asked, propose(B, BLOCK, 1, asked))
    listener.give(ProposalChecked(1, DIGEST, None))
    payload = CommitPayload(RoundId(1, 1), DIGEST, seal_digest=seal_digest(QBFT, BLOCK, 1))
    [second] = imports(listener.hear(*(Commit(signed(payload, key)) for key in (A, B, D))))
    assert first.digest == second.digest
    assert first.block.header.extra_data != second.block.header.extra_data


def imports(effects: Iterable[Effect]) -> list[ImportBlock]:
    return [effect for effect in effects if isinstance(effect, ImportBlock)]
