"""One validator at the block at which IBFT 2.0 ends and QBFT begins: which messages it hears, and what its journal binds."""

import pytest

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import Effect, PeerIsAhead, RedeliverMessage, SendMessage, WriteLogLine
from lacnode.consensus.bft.events import HeadChanged, MessageReceived
from lacnode.consensus.bft.journal import ContradictionError, Journal
from lacnode.consensus.bft.messages import NO_JUSTIFICATION, Prepare
from lacnode.consensus.bft.payloads import PreparePayload, RoundChangePayload, RoundId, SignedPayload
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.bft.protocol_schedule import OtherProtocolError, ProtocolSchedule
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from tests.unit.consensus.test_network import FOUR, B, C, D, addresses, make_block, prepared_by, propose

VALIDATORS = addresses(FOUR)
GENESIS = make_block(None, bytes(20), VALIDATORS).header
SWITCH_AT_1 = ProtocolSchedule(((0, IBFT2), (1, QBFT)))
SWITCH_AT_2 = ProtocolSchedule(((0, IBFT2), (2, QBFT)))
IBFT2_ONLY = ProtocolSchedule(((0, IBFT2),))
NOW_MS = GENESIS.timestamp * 1000


def started(protocols: ProtocolSchedule, key: NodeKey = B) -> tuple[BftController, list[Effect]]:
    """A validator before block 1, and the effects of its start."""
    machine = BftController(key.address, Journal(protocols), protocols)
    return machine, machine.handle(HeadChanged(GENESIS, VALIDATORS, 1000, 4000), NOW_MS)


def prepare(protocol: BftProtocol, height: int, key: NodeKey = C) -> MessageReceived:
    payload = PreparePayload(RoundId(height, 0), bytes(32))
    signature = key.sign(protocol.codec.signature_hash(payload))
    vote = Prepare(SignedPayload(payload, signature, key.address))
    code = protocol.codec.code(vote.kind)
    return MessageReceived(code, protocol.codec.encode_message(vote), key.address)


def topics(effects: list[Effect]) -> list[str]:
    return [effect.topic for effect in effects if isinstance(effect, WriteLogLine)]


class TestMessages:
    @pytest.mark.parametrize(("protocols", "other"), [(SWITCH_AT_2, QBFT), (SWITCH_AT_1, IBFT2)])
    def test_those_of_the_other_protocol_are_not_heard_at_this_height(
        self, protocols: ProtocolSchedule, other: BftProtocol
    ) -> None:
        machine, _ = started(protocols)
        effects = machine.handle(prepare(other, 1), NOW_MS)
        assert topics(effects) == ["other-protocol"]
        # Its author may have another genesis file. It is neither blamed nor passed on, and its vote does not count.
        assert len(effects) == 1
        assert machine.status.prepared_by == ()

    def test_those_of_the_next_protocol_wait_for_their_height(self) -> None:
        """The others may have the last block of IBFT 2.0 before this validator."""
        machine, _ = started(SWITCH_AT_2)
        assert machine.handle(prepare(QBFT, 2), NOW_MS) == [PeerIsAhead(C.address, 1)]
        last = make_block(GENESIS, VALIDATORS[0], VALIDATORS).header
        effects = machine.handle(HeadChanged(last, VALIDATORS, 1000, 4000), NOW_MS)
        [early] = [effect.message for effect in effects if isinstance(effect, RedeliverMessage)]
        relayed = machine.handle(early, NOW_MS)
        assert [effect for effect in relayed if isinstance(effect, SendMessage) and effect.code == 0x13]
        assert "protocol" in topics(effects)

    def test_those_of_the_old_protocol_for_the_next_height_do_not_wait(self) -> None:
        """A validator with the old genesis file goes on with IBFT 2.0."""
        machine, _ = started(SWITCH_AT_2)
        assert topics(machine.handle(prepare(IBFT2, 2), NOW_MS)) == ["other-protocol"]


class TestNetworksOfOneProtocol:
    @pytest.mark.parametrize(("own", "other"), [(QBFT, IBFT2), (IBFT2, QBFT)])
    def test_messages_of_the_other_protocol_change_nothing_and_are_named_in_the_log(
        self, own: BftProtocol, other: BftProtocol
    ) -> None:
        machine, _ = started(ProtocolSchedule(((0, own),)))
        effects = machine.handle(prepare(other, 1), NOW_MS)
        lines = [effect.text for effect in effects if isinstance(effect, WriteLogLine)]
        assert len(lines) == 1
        assert machine.status.prepared_by == ()
        assert not [effect for effect in effects if isinstance(effect, SendMessage)]


class TestJournal:
    """The records of a validator whose genesis file gave the height to another protocol afterwards."""

    def test_a_prepared_block_of_the_other_protocol_stops_it_with_block_and_protocols(self) -> None:
        journal = Journal(IBFT2_ONLY)
        block = make_block(GENESIS, VALIDATORS[0], VALIDATORS)
        record = journal.record_prepared(prepared_by(propose(FOUR[0], block), C, D))
        with pytest.raises(
            OtherProtocolError,
            match="block 1 has the extra data of ibft2, and by the genesis file qbft makes this block",
        ):
            Journal.restore([record], SWITCH_AT_1)
        # A block that is final binds nothing more.
        assert Journal.restore([record], SWITCH_AT_1, head=1).signed_at(1).prepared is None
        # A later start of QBFT leaves it as it was.
        assert Journal.restore([record], SWITCH_AT_2).signed_at(1).prepared is not None

    def test_a_draft_of_the_other_protocol_binds_nothing_but_what_was_signed_does(self) -> None:
        journal, round_id = Journal(IBFT2_ONLY), RoundId(1, 0)
        block = make_block(GENESIS, VALIDATORS[0], VALIDATORS)
        digest = IBFT2.committed_seal_hash(block.header)
        records = [
            journal.record_draft(round_id, ProposalDraft(NO_JUSTIFICATION, block, digest)),
            journal.check_and_record(PreparePayload(round_id, digest)),
        ]
        after = Journal.restore(records, SWITCH_AT_1)
        assert after.signed_at(1).draft is None
        with pytest.raises(ContradictionError):
            after.check_and_record(PreparePayload(round_id, bytes(32)))
        after.check_and_record(RoundChangePayload(RoundId(1, 1)))
