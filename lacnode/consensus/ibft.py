"""The IBFT 2.0 state machine: events in, effects out (Besu's `BaseBftController` and `IbftController`).

This file decides whether a message is heard at all: new, well-formed, for this height, by a validator. It relays what
other validators should hear too, keeps what is early for its height, and starts a `HeightManager` whenever the head changes.
Everything about agreeing on one block is in `height`.

It does not know time but for the `now_ms` it is given, nor who is connected, nor whether what it asks for succeeds: it
is told by events.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lacnode.consensus.block_hash import on_chain_hash
from lacnode.consensus.clock_skew import ClockSkew
from lacnode.consensus.effects import BlamePeer, Effect, PeerIsAhead, SendMessage, StopTimers, WriteLogLine
from lacnode.consensus.events import Event, HeadChanged, MessageReceived, PayloadSigned
from lacnode.consensus.height_manager import HeightManager
from lacnode.consensus.ibft_messages import Envelope, Message, Proposal, round_id_of
from lacnode.consensus.ibft_payloads import PROPOSAL, ProposalPayload, RoundId
from lacnode.consensus.journal import Journal
from lacnode.consensus.message_buffers import FutureMessageBuffer, MessageLimits, MessageTracker
from lacnode.consensus.unsigned_content import BodyMismatchError, check_message
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, TooManyItemsError

MAX_RELAYED_MESSAGES, MAX_RELAYED_INDIRECT_MESSAGES = 256, 64
"""Messages of one author passed on at one height: those that it brought itself, and those that one other validator
brought (all strangers count as one). A validator that talks without end is not helped by all others; and whoever varies
what an author's signature does not cover uses up what is his, not what the author or the honest need. An honest
validator says four things a round, and rounds double."""

MAX_FALSE_COPIES = 3
"""Messages of others with a false body that one peer may bring at one height. After that, what it passes on is dropped
before it is read: each false copy costs the reading of a block."""

SKEW_LOG_INTERVAL_BLOCKS = 100
"""Heights between two notes about one validator's clock."""


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """Where agreement stands: the answer to "why is there no block?". Addresses are 20 bytes.

    `round` and what follows are about the current round; `missing` says what it lacks; `round_changes` maps a round to
    those who asked for it. Times are Unix milliseconds; `block_due_ms` is None unless this node is about to build.
    `clock_offsets_ms` and `clocks_off` are what `clock_skew` estimates.
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


class Ibft:
    """One node's part in consensus. `journal` is read when a height starts; only the driver writes to it."""

    def __init__(self, address: bytes, journal: Journal, limits: MessageLimits | None = None) -> None:
        limits = limits or MessageLimits()
        self._address = address
        self._journal = journal
        self._head: HeadChanged | None = None
        self._height: HeightManager | None = None
        self._future = FutureMessageBuffer(limits)
        self._received = MessageTracker(limits.duplicate_messages)
        self._sent = MessageTracker(limits.gossiped_history)
        self._relayed: Counter[tuple[bytes | None, bytes]] = Counter()
        self._false_copies: Counter[bytes] = Counter()
        """By the peer that brought them, at this height."""
        self._clocks = ClockSkew()
        self._skew_noted: dict[bytes, int] = {}

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """What the world should do about `event`, in order. `now_ms` is the wall clock in Unix milliseconds."""
        if isinstance(event, HeadChanged):
            return self._start_height(event, now_ms)
        if isinstance(event, MessageReceived):
            return self._receive(event, now_ms)
        if self._height is None:
            return []
        effects = self._height.handle(event, now_ms)
        if isinstance(event, PayloadSigned) and isinstance(event.signed.payload, ProposalPayload):
            self._watch_clock(self._height.round.proposal, now_ms)
        for effect in effects:
            if isinstance(effect, SendMessage):
                self._sent.add(keccak256(effect.data))
        return effects

    @property
    def position(self) -> tuple[int, int]:
        """The height and the round that the node is in; (0, 0) before there is a head."""
        if self._head is None:
            return 0, 0
        return self._head.header.number + 1, 0 if self._height is None else self._height.round.number

    @property
    def status(self) -> ConsensusStatus:
        """Where agreement stands now."""
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
            round_changes=height.round_changes.authors(),
            locked_round=None if height.prepared is None else height.prepared.round,
            phase=round_.phase.value,
            missing=height.missing,
            round_ends_ms=height.timers.round_ends_ms,
            block_due_ms=height.timers.block_due_ms,
            clock_offsets_ms=self._clocks.offsets_ms,
            clocks_off=tuple(self._clocks.skewed),
        )

    # -- heights -------------------------------------------------------------------------------------------------

    def _start_height(self, head: HeadChanged, now_ms: int) -> list[Effect]:
        """Agree on the block after `head`, unless that has been begun already."""
        if self._head is not None and head.header.number <= self._head.header.number:
            return self._ignore_old_head(head, self._head)
        self._head = head
        self._relayed.clear()
        self._false_copies.clear()
        early = self._future.pop_up_to(head.header.number + 1)
        if self._address not in head.validators:
            self._height = None
            return [StopTimers()]
        self._height = HeightManager(self._address, head, self._journal.signed_at(head.header.number + 1))
        effects: list[Effect] = [StopTimers(), *self._skew_notes(head), *self._height.start(now_ms)]
        for message in early:
            effects += self._receive(message, now_ms)
        return effects

    def _ignore_old_head(self, head: HeadChanged, current: HeadChanged) -> list[Effect]:
        same_height = head.header.number == current.header.number
        if same_height and on_chain_hash(head.header) != on_chain_hash(current.header):
            return [WriteLogLine("fork", f"two different blocks {head.header.number} were given as head")]
        return []

    # -- clocks --------------------------------------------------------------------------------------------------

    def _watch_clock(self, message: Message | None, now_ms: int) -> None:
        """A proposal of round 0 shows its author's clock; later ones may carry a block made earlier."""
        if isinstance(message, Proposal) and round_id_of(message).round == 0:
            height, timestamp = round_id_of(message).sequence, message.block.header.timestamp
            self._clocks.observe(message.signed.author, height, timestamp, now_ms)

    def _skew_notes(self, head: HeadChanged) -> list[Effect]:
        """Say whose clock is off, now and then."""
        self._clocks.retain_only(head.validators)
        notes: list[Effect] = []
        for author, offset in self._clocks.skewed.items():
            if head.header.number - self._skew_noted.get(author, -SKEW_LOG_INTERVAL_BLOCKS) >= SKEW_LOG_INTERVAL_BLOCKS:
                self._skew_noted[author] = head.header.number
                whose = "this node's clock" if author == self._address else f"the clock of 0x{author.hex()}"
                side = "ahead of" if offset > 0 else "behind"
                text = f"{whose} is about {abs(offset) / 1000:.1f} s {side} those of the other validators"
                notes.append(WriteLogLine("clock-skew", text))
        return notes

    # -- messages ------------------------------------------------------------------------------------------------

    def _receive(self, event: MessageReceived, now_ms: int) -> list[Effect]:
        """Look at a message step by step, the cheap ones first, and drop it at the first step that says so.

        Only what is read to its end counts as heard: the same bytes from another peer may get further.
        """
        hash_ = keccak256(event.data)
        if self._head is None or hash_ in self._received:
            return []
        try:
            envelope = Envelope.open(event.code, event.data)
            round_id = envelope.round_id
            current = self._head.header.number + 1
            if round_id.sequence > current:
                # Who signed it is not looked at yet: its validators are known when its height begins.
                self._future.add(round_id.sequence, current, hash_, event)
                return [PeerIsAhead(event.sender, round_id.sequence - 1)]
            if round_id.sequence < current or round_id.round < 0 or self._height is None:
                return []
            author = envelope.author
        except RlpError as error:
            return _malformed(event, error, is_senders=not isinstance(error, TooManyItemsError))
        if author == self._address:
            return []
        if author not in self._height.committee.validators:
            # Every correct validator of this height has the same list, so none passes this on.
            return [BlamePeer(event.sender, f"a message signed by 0x{author.hex()}, no validator of {round_id}")]
        if event.code == PROPOSAL and author != self._height.committee.proposer(round_id.round):
            return _out_of_turn(event, round_id, author)
        if author != event.sender and self._false_copies[event.sender] >= MAX_FALSE_COPIES:
            return []
        self._received.add(hash_)
        return self._read(event, envelope, author, self._height, now_ms)

    def _read(
        self, event: MessageReceived, envelope: Envelope, author: bytes, height: HeightManager, now_ms: int
    ) -> list[Effect]:
        """The rest of a message that a validator of this height signed: pass it on, and take it."""
        try:
            message = check_message(envelope.message(height.committee.validators.__contains__))
        except RlpError as error:
            return _malformed(event, error, is_senders=author == event.sender)
        except BodyMismatchError as mismatch:
            return self._false_copy(event, author, mismatch)
        self._watch_clock(message, now_ms)
        return [*self._relay(event, author), *_caused_by(event.sender, height.handle_message(message, now_ms))]

    def _false_copy(self, event: MessageReceived, author: bytes, mismatch: BodyMismatchError) -> list[Effect]:
        """The message does not count, and the author can still be heard. It is not passed on either: those who hear it
        from us would hold us for the forger."""
        self._false_copies[event.sender] += 1
        text = f"a block of 0x{author.hex()} with a false body came from 0x{event.sender.hex()}: {mismatch}"
        effects: list[Effect] = [WriteLogLine("false-body", text, event.sender)]
        if author == event.sender:
            effects.append(BlamePeer(event.sender, f"a block that it signed has a false body: {mismatch}"))
        return effects

    def _relay(self, event: MessageReceived, author: bytes) -> list[Effect]:
        """Pass a message on, unchanged and once, to the validators who may lack it."""
        assert self._head is not None
        others = frozenset(self._head.validators) - {self._address, event.sender, author}
        limit = MAX_RELAYED_MESSAGES if event.sender == author else MAX_RELAYED_INDIRECT_MESSAGES
        budget = event.sender if event.sender in self._head.validators else None, author
        if not others or self._relayed[budget] >= limit or not self._sent.add(keccak256(event.data)):
            return []
        self._relayed[budget] += 1
        return [SendMessage(event.code, event.data, others)]


def _malformed(event: MessageReceived, error: RlpError, *, is_senders: bool) -> list[Effect]:
    """What follows from bytes that cannot be read; `is_senders` says whether the peer that brought them is to blame."""
    effects: list[Effect] = [
        WriteLogLine("message-malformed", f"malformed message from 0x{event.sender.hex()}: {error}", event.sender)
    ]
    if is_senders:
        effects.append(BlamePeer(event.sender, f"a malformed message: {error}"))
    return effects


def _out_of_turn(event: MessageReceived, round_id: RoundId, author: bytes) -> list[Effect]:
    """A proposal of another than the round's proposer is not read: any validator could send large blocks in its name."""
    text = f"Proposal of 0x{author.hex()} for {round_id} refused: 0x{author.hex()} is not the proposer"
    return list(_caused_by(event.sender, [WriteLogLine("proposal-refused", text), BlamePeer(author, text)]))


def _caused_by(sender: bytes, effects: Iterable[Effect]) -> list[Effect]:
    """`effects` of a message that the peer `sender` brought. Notes are marked with it. An author is blamed only for what
    it brought itself: what is not signed may have been changed on the way."""
    return [
        replace(effect, sender=sender) if isinstance(effect, WriteLogLine) else effect
        for effect in effects
        if not isinstance(effect, BlamePeer) or effect.address == sender
    ]
