"""The state machine of consensus: events in, effects out (Besu's `BaseBftController`).

This file decides whether a message is handled. A message must be new, well-formed, for this height, and signed by a
validator. This file also relays messages to other validators, stores messages for later heights, and starts a
`HeightManager` for each new head. Agreement on one block is in `height_manager`.

This file does not read a clock: each call gets `now_ms`. It does not know which peers are connected, nor whether an
effect succeeds: events say so.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from lacnode.consensus.bft.clock_skew import ClockSkew
from lacnode.consensus.bft.effects import (
    BlamePeer,
    Effect,
    PeerIsAhead,
    RedeliverMessage,
    StopTimers,
    WriteLogLine,
)
from lacnode.consensus.bft.events import Event, HeadChanged, MessageReceived, PayloadSigned
from lacnode.consensus.bft.false_copies import FalseCopies, effects_of_false_copy
from lacnode.consensus.bft.first_copies import FirstCopies
from lacnode.consensus.bft.height_manager import HeightManager
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.message_buffers import FutureMessageBuffer, MessageLimits, MessageTracker
from lacnode.consensus.bft.message_proofs import check_proofs
from lacnode.consensus.bft.message_relay import MessageRelay
from lacnode.consensus.bft.message_signatures import HighSError
from lacnode.consensus.bft.messages import Message, MessageEnvelope, Proposal, has_block, round_id_of
from lacnode.consensus.bft.payloads import MessageKind, ProposalPayload, RoundId
from lacnode.consensus.bft.pool_search import SearchPause
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.relays_of_overdrawn_authors import RelaysOfOverdrawnAuthors
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.consensus.bft.unsigned_content import (
    FalseCopyError,
    check_body,
    check_header_and_strip_seals,
    justification_has_high_s,
)
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, TooManyItemsError

SKEW_LOG_INTERVAL_BLOCKS = 100
"""Blocks between two log lines about the clock of one validator."""


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """The state of agreement. It answers the question "why is there no block?". Addresses are 20 bytes.

    `height` is the number of the block to agree on, 0 before there is a head. `validators` are ascending. The fields
    from `round` on are about the current round. They have their defaults if this node is no validator. `proposal` is
    the digest (32 bytes) of the accepted proposal, None while there is none. `prepared_by` and `committed_by` are the
    authors of the votes. While there is no proposal, the votes are not checked yet. `locked_round` is the round of the
    prepared block, None without one. `missing` says what the round lacks. `round_changes` maps a round to the
    validators that asked for it. Times are Unix milliseconds. `block_due_ms` is the time for which this node last set
    the timer of a block of its own in this round, also once it is past. None if it set no such timer.
    `clock_offsets_ms` and `clocks_off` are the estimates of `clock_skew`.
    """

    height: int
    is_validator: bool
    validators: tuple[bytes, ...]
    round: int = 0
    proposer: bytes | None = None
    proposal: bytes | None = None
    prepared_by: tuple[bytes, ...] = ()
    committed_by: tuple[bytes, ...] = ()
    round_changes: dict[int, list[bytes]] | None = None
    locked_round: int | None = None
    phase: str = "not taking part"
    missing: str = "this node is no validator at this height"
    round_ends_ms: int | None = None
    block_due_ms: int | None = None
    clock_offsets_ms: dict[bytes, int] = field(default_factory=dict)
    clocks_off: tuple[bytes, ...] = ()


class BftController:
    """The state machine of consensus in the node with the `address` (20 bytes): it gets events and returns effects.
    `journal` is read when a height starts. Only the validator writes to it. `protocols` are those of the chain.
    `limits` come from the genesis, None for the defaults."""

    def __init__(
        self, address: bytes, journal: Journal, protocols: ProtocolSchedule, limits: MessageLimits | None = None
    ) -> None:
        limits = limits or MessageLimits()
        self._address = address
        self._journal = journal
        self._protocols = protocols
        self._head: HeadChanged | None = None
        self._height: HeightManager | None = None
        self._future = FutureMessageBuffer(limits)
        self._received = MessageTracker(limits.duplicate_messages)
        self._message_relay = MessageRelay(address, limits.gossiped_history)
        self._first_copies = FirstCopies()
        self._relays_of_overdrawn = RelaysOfOverdrawnAuthors()
        self._search_pause = SearchPause()
        self._false_copies = FalseCopies()
        self._clocks = ClockSkew()
        self._skew_logged_at: dict[bytes, int] = {}

    def handle(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
        """Return the effects of `event`, to be carried out in the order of the list. `now_ms` is the wall clock in Unix
        milliseconds. Most that others relay of the validators `overdrawn` (20-byte addresses) is dropped: their share
        of the processor is used up. A bad message raises no error. It is dropped, and may be logged and blamed."""
        if isinstance(event, HeadChanged):
            return self._start_height(event, now_ms)
        if isinstance(event, MessageReceived):
            return self._receive(event, now_ms, overdrawn)
        if self._height is None:
            return []
        effects = self._height.handle(event, now_ms)
        if isinstance(event, PayloadSigned) and isinstance(event.signed.payload, ProposalPayload):
            # Our own proposals are not received, so our own clock is observed here.
            self._watch_own_clock(self._height, now_ms)
        return effects

    def drop_messages_of(self, sender: bytes) -> None:
        """Drop the messages for later heights that the peer at this address (20 bytes) delivered."""
        self._future.drop_messages_of(sender)

    @property
    def height_and_round(self) -> tuple[int, int]:
        """The number of the block to agree on, and the current round (0 if no validator). (0, 0) before a head."""
        if self._head is None:
            return 0, 0
        return self._head.header.number + 1, 0 if self._height is None else self._height.round.number

    @property
    def status(self) -> ConsensusStatus:
        """The state of agreement now. Height 0 and no validators before there is a head."""
        head, height = self._head, self._height
        if head is None:
            return ConsensusStatus(0, False, ())
        if height is None:
            return ConsensusStatus(head.header.number + 1, False, head.validators)
        round_ = height.round
        return ConsensusStatus(
            height=height.number,
            is_validator=True,
            validators=head.validators,
            round=round_.number,
            proposer=round_.proposer,
            proposal=round_.digest,
            prepared_by=tuple(round_.prepares),
            committed_by=tuple(round_.commits),
            round_changes=height.round_changes.authors_by_round(),
            locked_round=None if height.prepared is None else height.prepared.round,
            phase=round_.phase.value,
            missing=height.missing_text,
            round_ends_ms=height.timers.round_ends_ms,
            block_due_ms=height.timers.block_due_ms,
            clock_offsets_ms=self._clocks.offsets_ms,
            clocks_off=tuple(self._clocks.skewed_offsets_ms),
        )

    # -- heights -------------------------------------------------------------------------------------------------

    def _start_height(self, head: HeadChanged, now_ms: int) -> list[Effect]:
        """Agree on the block after `head`, unless this height has started already."""
        if self._head is not None and head.header.number <= self._head.header.number:
            # Synchronisation and consensus may report the same head. Starting the height again would lose its votes.
            return self._ignore_old_head(head, self._head)
        if self._height is not None and self._height.timers.left_round_zero_by_search:
            decided_round = self._protocols.extra_data(head.header).round
            self._search_pause.record_round_left_early(self._height.number, head, decided_round)
        self._head = head
        # The bounds on relayed messages and false copies are per height: a mistake is not held against a peer forever.
        self._message_relay.start_height()
        self._first_copies.clear()
        self._relays_of_overdrawn.start_height()
        self._false_copies.clear()
        early = self._future.pop_for_height(head.header.number + 1)
        # Before the test below: messages of this height must leave the buffer even if this node is not a validator.
        if (
            self._address not in head.validators
            or not self._protocols.protocol_at(head.header.number + 1).can_be_validator
        ):
            self._height = None
            return [StopTimers(), *_no_part(self._address, head)]
        self._height = self._new_height(head)
        effects: list[Effect] = [StopTimers(), *self._log_skewed_clocks(head), *_log_protocol(self._protocols, head)]
        effects += self._height.start(now_ms)
        # Only now the validators of this height are known, so the authors of early messages can be checked. Each message is
        # an event of its own: an error that one of them causes must not end the handling of the new head.
        return [*effects, *map(RedeliverMessage, early)]

    def _new_height(self, head: HeadChanged) -> HeightManager:
        number = head.header.number + 1
        protocol, may_search = self._protocols.protocol_at(number), self._search_pause.allows_search(number)
        timers = RoundTimers(head, protocol.first_round_waits_for_block, may_search=may_search)
        return HeightManager(protocol, self._address, head, self._journal.signed_at(number), timers)

    def _ignore_old_head(self, head: HeadChanged, current: HeadChanged) -> list[Effect]:
        same_height = head.header.number == current.header.number
        # Another block of the same height cannot be final on both sides. Operators must learn of it.
        block_hash = self._protocols.block_hash
        if same_height and block_hash(head.header) != block_hash(current.header):
            return [WriteLogLine("fork", f"two different blocks {head.header.number} were given as head")]
        return []

    # -- clocks --------------------------------------------------------------------------------------------------

    def _watch_own_clock(self, height: HeightManager, now_ms: int) -> None:
        block = height.round.block
        if block is not None and height.round.number == 0:
            self._clocks.record_proposal_time(height.round.proposer, height.number, block.header.timestamp, now_ms)

    def _watch_clock(self, message: Message, now_ms: int) -> None:
        """Observe the clock of a proposer by a proposal of round 0. A later round may propose a block built earlier."""
        if isinstance(message, Proposal) and round_id_of(message).round == 0:
            height, timestamp = round_id_of(message).sequence, message.block.header.timestamp
            self._clocks.record_proposal_time(message.signed.author, height, timestamp, now_ms)

    def _log_skewed_clocks(self, head: HeadChanged) -> list[Effect]:
        """Log clocks that are off, each at most once in `SKEW_LOG_INTERVAL_BLOCKS`."""
        self._clocks.retain_only(head.validators)
        notes: list[Effect] = []
        for author, offset in self._clocks.skewed_offsets_ms.items():
            if (
                head.header.number - self._skew_logged_at.get(author, -SKEW_LOG_INTERVAL_BLOCKS)
                >= SKEW_LOG_INTERVAL_BLOCKS
            ):
                self._skew_logged_at[author] = head.header.number
                whose = "this node's clock" if author == self._address else f"the clock of 0x{author.hex()}"
                side = "ahead of" if offset > 0 else "behind"
                text = f"{whose} is about {abs(offset) / 1000:.1f} s {side} those of the other validators"
                notes.append(WriteLogLine("clock-skew", text))
        return notes

    # -- messages ------------------------------------------------------------------------------------------------

    def _receive(self, event: MessageReceived, now_ms: int, overdrawn: Collection[bytes]) -> list[Effect]:
        """Examine a message in steps, from cheap to expensive, until one fails. A message that fails before its content
        is decoded is not remembered as received: another peer may deliver the same bytes and pass."""
        hash_ = keccak256(event.data)
        if self._head is None or hash_ in self._received:
            return []
        try:
            current = self._head.header.number + 1
            protocol = self._protocols.protocol_of_code(event.code, current)
            envelope = protocol.codec.open_message(event.code, event.data)
            round_id = envelope.round_id
            # Before the buffer: such a message would wait there and then be dropped.
            if round_id.sequence >= current and protocol is not self._protocols.protocol_at(round_id.sequence):
                return _refuse_other_protocol(event, protocol.name, round_id)
            if round_id.sequence > current:
                # The author is not checked yet. The validators of a later height are unknown until it starts.
                self._future.add(round_id.sequence, current, hash_, event)
                return [PeerIsAhead(event.sender, round_id.sequence - 1)]
            if round_id.sequence < current or round_id.round < 0 or self._height is None:
                return []
            # From here on the message costs the recovery of a signature.
            author = envelope.author
        except RlpError as error:
            return _refuse_malformed(event, error, is_senders=not isinstance(error, TooManyItemsError))
        # Peers send our own messages back. We have counted them when we signed them.
        if author == self._address:
            return []
        if author not in self._height.committee.validators:
            # Every correct validator of this height has the same list, so a correct validator does not relay this.
            return [BlamePeer(event.sender, f"a message signed by 0x{author.hex()}, no validator of {round_id}")]
        if envelope.kind is MessageKind.PROPOSAL and author != self._height.committee.proposer(round_id.round):
            # A proposal holds a block of megabytes. Any validator could send such blocks in every round.
            return _refuse_out_of_turn(event, round_id, author)
        if self._false_copies.must_drop_copy(event.sender, envelope, author):
            return []
        self._relays_of_overdrawn.start_round(self._height.round.number)
        if author in overdrawn and not self._relays_of_overdrawn.is_needed(event.sender, envelope, author):
            # Not remembered as received: the author may deliver the same bytes itself.
            return self._relays_of_overdrawn.count_dropped(event.sender, author)
        # Before decoding: decoding the same bad bytes once more would cost the same again.
        self._received.add(hash_)
        return self._handle_decoded(event, envelope, author, self._height, now_ms)

    def _handle_decoded(
        self, event: MessageReceived, envelope: MessageEnvelope, author: bytes, height: HeightManager, now_ms: int
    ) -> list[Effect]:
        """Decode the rest of a message that a validator of this height signed. Relay the message and handle it."""
        protocol = self._protocols.protocol_at(height.number)
        try:
            # The filter stops at the first signature of an address that is not a validator: each costs a recovery.
            decoded = envelope.decode_without_body(height.committee.validators.__contains__)
            message = check_header_and_strip_seals(protocol, decoded)
            may_be_altered = message is not decoded or justification_has_high_s(message)
            # Before the clock and the relay: a peer may have changed what the author did not sign.
            refused = check_proofs(height.committee, protocol.justifications, message)
            if refused:
                self._false_copies.count_false_copy(event.sender, author)
                return _attribute_to(event.sender, refused)
            # Of the outline: for QBFT the hash of the whole payload would cover megabytes.
            payload_hash = protocol.codec.signature_hash(message.signed.payload)
            is_second = isinstance(message, Proposal) and height.received_proposals.contradicts_first(message)
            # Only now the transactions are decoded, which takes a second for some megabytes. The proof that came with the
            # block does not need them, and a second proposal is not used.
            if not is_second:
                # The author can sign one payload any number of times, and give each relay other bytes.
                if has_block(message) and self._first_copies.was_read(author, payload_hash, may_be_altered):
                    charge = [] if may_be_altered else self._first_copies.charge(author, payload_hash, event.sender)
                    return [*charge, *_handle_copy(event, message, height, now_ms)]
                message = envelope.add_decoded_body(message)
                check_body(message)
        except TooManyItemsError as error:
            return _refuse_malformed(event, error, is_senders=False)
        except RlpError as error:
            self._false_copies.count_false_copy(event.sender, author)
            return _refuse_malformed(event, error, is_senders=author == event.sender)
        except FalseCopyError as mismatch:
            self._false_copies.count_false_copy(event.sender, author)
            return effects_of_false_copy(event, author, mismatch)
        self._watch_clock(message, now_ms)
        # Not relayed: seals may have megabytes, and Besu since 25.11 refuses a high s. It must not keep back the true one.
        note = self._first_copies.record_altered
        relayed = note(author, payload_hash) if may_be_altered else self._relay(event, message, height, payload_hash)
        return [*relayed, *_attribute_to(event.sender, height.handle_message(message, now_ms))]

    def _relay(
        self, event: MessageReceived, message: Message, height: HeightManager, payload_hash: bytes
    ) -> list[Effect]:
        """Relay a message that has passed its check, whose payload has this hash."""
        self._relays_of_overdrawn.record_valid(event.sender, message)
        charge = self._first_copies.charge(message.signed.author, payload_hash, event.sender)
        # A second proposal for a round helps no validator: each of them has the first one from here.
        if isinstance(message, Proposal) and height.received_proposals.contradicts_first(message):
            return charge
        relay = self._message_relay.relay
        return [*charge, *relay(event, message, height.committee, height.round.number, payload_hash)]


def _handle_copy(event: MessageReceived, outline: Message, height: HeightManager, now_ms: int) -> list[Effect]:
    """The effects of a message with a block whose payload was handled before. Its block was not decoded."""
    if round_id_of(outline).round >= height.round.number:
        return []
    # The author may lag. A message of an earlier round is answered, and its block is not used.
    return _attribute_to(event.sender, height.handle_message(outline, now_ms))


def _log_protocol(protocols: ProtocolSchedule, head: HeadChanged) -> list[Effect]:
    """Log that another protocol than that of the last block decides the next one."""
    number = head.header.number + 1
    before, now = protocols.protocol_at(head.header.number), protocols.protocol_at(number)
    if before is now:
        return []
    return [WriteLogLine("protocol", f"{now.name} decides block {number} and later ones, {before.name} no longer")]


def _no_part(address: bytes, head: HeadChanged) -> list[Effect]:
    """Say of the validator `address` (20 bytes) that it makes no blocks. The caller limits the lines."""
    text = (
        "this node is a validator, but it cannot make blocks of the protocol in force. It follows the chain. It takes part "
        "once the genesis has a transition to QBFT"
    )
    return [WriteLogLine("no-part", text, address)] if address in head.validators else []


def _refuse_malformed(event: MessageReceived, error: RlpError, *, is_senders: bool) -> list[Effect]:
    """The effects of bytes that cannot be decoded. `is_senders` says whether the peer that delivered them is to blame."""
    effects: list[Effect] = [
        WriteLogLine("message-malformed", f"malformed message from 0x{event.sender.hex()}: {error}", event.sender)
    ]
    # Besu before 25.11 relays a high s, and shows that of others in a round change of its own.
    if is_senders and not isinstance(error, HighSError):
        effects.append(BlamePeer(event.sender, f"a malformed message: {error}"))
    return effects


def _refuse_other_protocol(event: MessageReceived, name: str, round_id: RoundId) -> list[Effect]:
    """The effects of a message of a protocol that does not agree on this height. Its author may have another genesis."""
    text = (
        f"a message of {name} for {round_id}, which another protocol decides, from 0x{event.sender.hex()}. "
        "Compare the genesis files"
    )
    return [WriteLogLine("other-protocol", text, event.sender)]


def _refuse_out_of_turn(event: MessageReceived, round_id: RoundId, author: bytes) -> list[Effect]:
    """The effects of a proposal by a validator that is not the proposer of the round. The block is not decoded."""
    text = f"Proposal of 0x{author.hex()} for {round_id} refused: 0x{author.hex()} is not the proposer"
    return list(_attribute_to(event.sender, [WriteLogLine("proposal-refused", text), BlamePeer(author, text)]))


def _attribute_to(sender: bytes, effects: Iterable[Effect]) -> list[Effect]:
    """The effects of a message that the peer `sender` delivered.

    Log lines name the sender, so that the number of lines for one peer can be limited. An author is blamed only for what
    it delivered itself: another peer may have changed the unsigned part.
    """
    return [
        replace(effect, sender=sender) if isinstance(effect, WriteLogLine) else effect
        for effect in effects
        if not isinstance(effect, BlamePeer) or effect.address == sender
    ]
