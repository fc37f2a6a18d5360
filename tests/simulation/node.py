"""A simulated validator: the real state machine and journal, a model of everything around them.

What survives a crash is exactly what the real node has on disk: the chain and the journal's records. A crash may strike
between any two effects, so every order of "logged, signed, sent, imported" is cut somewhere in some seed.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lacnode.consensus.ballot import Ballot
from lacnode.consensus.effects import (
    BuildBlock,
    CheckProposal,
    Effect,
    ImportBlock,
    Note,
    PeerIsAhead,
    RecordDraft,
    RecordPrepared,
    Send,
    SignPayload,
    StartBlockTimer,
    StartRoundTimer,
    StopTimers,
)
from lacnode.consensus.events import (
    BlockBuilt,
    BlockTimerExpired,
    Event,
    HeadChanged,
    ImportFailed,
    MessageReceived,
    PayloadSigned,
    PeerConnected,
    ProposalChecked,
    RoundTimerExpired,
    SigningRefused,
)
from lacnode.consensus.ibft import Ibft
from lacnode.consensus.journal import Contradiction, Journal
from lacnode.consensus.payloads import Payload, SignedPayload, sign_payload
from lacnode.consensus.prepared import PreparedBlock
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.signer import KeySigner
from lacnode.primitives.block import Block
from tests.simulation.clock import VirtualClock
from tests.simulation.ledger import Ledger


@dataclass(slots=True)
class Speeds:
    """How long work takes on this node, in milliseconds."""

    build_ms: int = 3
    check_ms: int = 3
    import_ms: int = 2
    clock_skew_ms: int = 0


@dataclass(slots=True)
class Disk:
    """What a crash leaves."""

    ledger: Ledger
    records: list[bytes] = field(default_factory=list)


class Crash(Exception):
    """The power went: nothing more happens on this node until it is started again."""


class Surroundings:
    """What a node reaches outside itself: given by the network it is part of."""

    send: Callable[[int, int, bytes, frozenset[bytes]], None]
    signed: Callable[[int, SignedPayload[Payload]], None]
    imported: Callable[[int, Block], None]
    behind: Callable[[int, bytes], None]
    strike: Callable[[int, Effect], bool]
    noted: Callable[[int, Note], None]


class SimulatedNode:
    """One validator. `index` is its number in the network."""

    def __init__(
        self,
        index: int,
        key: NodeKey,
        disk: Disk,
        clock: VirtualClock,
        rng: random.Random,
        outside: Surroundings,
        speeds: Speeds,
    ) -> None:
        self.index = index
        self.key = key
        self.disk = disk
        self.speeds = speeds
        self.machine: Ibft | None = None
        self.ballot = Ballot()
        self._signer = KeySigner(key)
        self._clock = clock
        self._rng = rng
        self._outside = outside
        self._life = 0
        self._timers = {"block": 0, "round": 0}

    @property
    def address(self) -> bytes:
        return self.key.address

    @property
    def running(self) -> bool:
        return self.machine is not None

    @property
    def height(self) -> int:
        """Number of the head."""
        return self.disk.ledger.head.number

    @property
    def prepared(self) -> PreparedBlock | None:
        """What this node is bound to propose at the height after its head, from its first start on."""
        return self._journal.at(self.height + 1).prepared

    def now_ms(self) -> int:
        """This node's wall clock."""
        return self._clock.now_ms + self.speeds.clock_skew_ms

    # -- life and death ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Come up with what the disk holds."""
        self._life += 1
        self._journal = Journal.restore(self.disk.records)
        self.machine = Ibft(self.address, self._journal)
        self.take(self._head_event())

    def crash(self) -> None:
        """Forget everything but the disk."""
        self.machine = None
        self._life += 1

    # -- events --------------------------------------------------------------------------------------------------

    def receive(self, code: int, data: bytes, sender: bytes) -> None:
        self.take(MessageReceived(code, data, sender))

    def peer_connected(self, address: bytes) -> None:
        self.take(PeerConnected(address))

    def take(self, event: Event) -> None:
        """Give the machine an event and carry out what it asks, in order."""
        if self.machine is None:
            return
        events = deque([event])
        try:
            while events:
                for effect in self.machine.handle(events.popleft(), self.now_ms()):
                    if self._outside.strike(self.index, effect):
                        raise Crash
                    answer = self._carry_out(effect)
                    if answer is not None:
                        events.append(answer)
        except Crash:
            self.crash()

    def import_synced(self, block: Block) -> bool:
        """Take a block that another node gave us."""
        if block.number != self.height + 1 or self.disk.ledger.append(block, self.now_ms()) is not None:
            return False
        self._outside.imported(self.index, block)
        self.take(self._head_event())
        return True

    def _carry_out(self, effect: Effect) -> Event | None:
        match effect:
            case SignPayload():
                return self._sign(effect)
            case RecordDraft():
                self.disk.records.append(self._journal.record_draft(effect.round_id, effect.draft))
            case RecordPrepared():
                self.disk.records.append(self._journal.record_prepared(effect.prepared))
            case Send():
                self._outside.send(self.index, effect.code, effect.data, effect.recipients)
            case StartRoundTimer():
                self._timer("round", effect.delay_ms, RoundTimerExpired(effect.height, effect.round))
            case StartBlockTimer():
                self._timer("block", effect.due_ms - self.now_ms(), BlockTimerExpired(effect.height, effect.round))
            case StopTimers():
                self._timers = {name: number + 1 for name, number in self._timers.items()}
            case BuildBlock():
                self._later(self.speeds.build_ms, lambda: self._build(effect))
            case CheckProposal():
                self._later(self.speeds.check_ms, lambda: self._check(effect))
            case ImportBlock():
                self._later(self.speeds.import_ms, lambda: self._import(effect))
            case PeerIsAhead():
                self._outside.behind(self.index, effect.address)
            case Note():
                self._outside.noted(self.index, effect)
        return None

    def _sign(self, effect: SignPayload) -> Event:
        try:
            record = self._journal.admit(effect.payload)
        except Contradiction as refusal:
            return SigningRefused(effect.payload, str(refusal))
        self.disk.records.append(record)
        if self._outside.strike(self.index, effect):
            raise Crash
        signed = sign_payload(effect.payload, self._signer)
        self._outside.signed(self.index, signed)
        return PayloadSigned(signed)

    def _build(self, effect: BuildBlock) -> None:
        ledger = self.disk.ledger
        if ledger.head.number + 1 == effect.height:
            vote = self.ballot.next_vote(self.address, ledger.tally)
            block = ledger.make_block(self.address, effect.round, effect.timestamp, vote=vote)
            self.take(BlockBuilt(effect.height, effect.round, block))

    def _check(self, effect: CheckProposal) -> None:
        self.take(ProposalChecked(effect.digest, self.disk.ledger.check(effect.block, self.now_ms())))

    def _import(self, effect: ImportBlock) -> None:
        ledger = self.disk.ledger
        if effect.block.number <= ledger.head.number:
            return
        failure = ledger.append(effect.block, self.now_ms())
        if failure is not None:
            self.take(ImportFailed(effect.block.number, effect.digest, failure))
            return
        self._outside.imported(self.index, effect.block)
        self.take(self._head_event())

    def _head_event(self) -> HeadChanged:
        ledger = self.disk.ledger
        self.disk.records[:] = self._journal.head_changed(ledger.head.number)
        rules = ledger.rules
        return HeadChanged(ledger.head, ledger.validators, rules.block_period_ms, rules.request_timeout_ms)

    # -- time ----------------------------------------------------------------------------------------------------

    def _timer(self, name: str, delay_ms: int, event: Event) -> None:
        self._timers[name] += 1
        number = self._timers[name]

        def fire() -> None:
            if self._timers[name] == number:
                self.take(event)

        self._later(max(0, delay_ms), fire)

    def _later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run `action` unless the node has died meanwhile."""
        life = self._life

        def act() -> None:
            if self._life == life and self.machine is not None:
                action()

        self._clock.after(delay_ms, act)
