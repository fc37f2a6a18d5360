"""Carries out the effects of consensus, one event at a time, in the order of the effects.

The order is the safety. A payload is in the consensus log before it is signed. It is signed before the state machine
receives the signature, and only then can it be sent (`signing`). Storage that fails (StorageError) ends `run` and
with it the node: a payload that cannot be recorded must not be signed, and the other validators go on without this
one. Work that takes time (building, checking and importing blocks, and signing) runs on a worker and comes back as an
event, so that timers keep their time.

Must not decide anything that the protocol decides.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog
import trio

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.proposer_order import proposers_after
from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import (
    BlamePeer,
    BuildBlock,
    CheckProposal,
    Effect,
    ImportBlock,
    PeerIsAhead,
    RecordDraft,
    RecordPrepared,
    RedeliverMessage,
    SearchPool,
    SendMessage,
    SignPayload,
    StartBlockTimer,
    StartRoundTimer,
    StopTimers,
    WriteLogLine,
)
from lacnode.consensus.bft.events import (
    Event,
    HeadChanged,
    ImportFailed,
    MessageReceived,
    PeerConnected,
    SigningRefused,
)
from lacnode.consensus.bft.journal import ContradictionError, Journal
from lacnode.crypto.node_identity import Signer
from lacnode.evm.budget import ExecutionCancelledError
from lacnode.primitives.block import Block
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.validator.event_queue import ConsensusEventQueue
from lacnode.validator.message_reader import MessageReader
from lacnode.validator.proposal_work import BlockCreator, ProposalWork
from lacnode.validator.round_changes import RoundChangeCounter
from lacnode.validator.signing import ConsensusRecords, RecordedSigner, SigningQueue
from lacnode.validator.timers import HeightTimers
from lacnode.workers.worker import Worker

log = structlog.get_logger("consensus")


class ConsensusNetwork(Protocol):
    """The outputs of consensus. The validator calls them on the event loop. They return at once.

    Addresses are the 20 bytes of a validator's address.
    """

    def send(self, code: int, data: bytes, recipients: frozenset[bytes], *, is_relayed: bool = False) -> None:
        """Send `data`, a message without its code, with this code of the consensus protocol to those of `recipients`
        that are connected.

        `is_relayed`: another validator signed it (`effects.SendMessage`).
        """

    def record_peer_ahead(self, address: bytes, number: int) -> None:
        """Record that the peer at `address` (20 bytes) claims to have block `number`. The claim is not verified."""

    def announce_block(self, block: Block) -> None:
        """Announce `block` to all peers: the validators have agreed on it, and this node has imported it."""

    def count_fault(self, address: bytes, fault: str) -> bool:
        """Count a fault of the peer at `address` (20 bytes): it has sent a message that no correct validator sends.
        `fault` is one sentence. Return whether the peer was expelled for its faults.
        """


class Validator:
    """Drives one state machine. `now_ms` is the wall clock in milliseconds. `may_run_timers` says whether the timers of
    a height may run (`timers.HeightTimers`).

    `proposal_worker` builds and checks blocks that are not decided. `state_worker` imports decided blocks: it is the
    one thread that writes state, shared with the synchronizer. `log_worker` writes the consensus log, so that a
    signature never waits for an execution. `reading_worker` reads large messages, and `signing_worker` waits for the
    key. These last two must abandon work that is cancelled: a node that stops waits neither for a key nor for
    megabytes. `message_limit` bounds the waiting messages of each validator. `proposes_round_zero`:
    `events.HeadChanged`. `thread_seconds` is the processor time of the calling thread in seconds.
    """

    def __init__(
        self,
        machine: BftController,
        *,
        journal: Journal,
        records: ConsensusRecords,
        signer: Signer,
        chain: Blockchain,
        block_creator: BlockCreator,
        network: ConsensusNetwork,
        proposal_worker: Worker,
        state_worker: Worker,
        log_worker: Worker,
        reading_worker: Worker,
        signing_worker: Worker,
        now_ms: Callable[[], int],
        message_limit: int,
        may_run_timers: Callable[[int], bool] = lambda height: True,
        proposes_round_zero: Callable[[tuple[bytes, ...]], bool] = lambda validators: False,
        thread_seconds: Callable[[], float] = time.thread_time,
    ) -> None:
        self.machine = machine
        self._signer = RecordedSigner(journal, records, signer, chain.protocols)
        self._chain = chain
        self._network = network
        self._state_worker = state_worker
        self.round_changes = RoundChangeCounter()
        self._proposes_round_zero = proposes_round_zero
        self._log_worker = log_worker
        self._now_ms = now_ms
        self._intake = ConsensusEventQueue(message_limit)
        self._messages = MessageReader(
            machine, reading_worker, self._intake.charge, self._intake.overdrawn_senders, now_ms, thread_seconds
        )
        self._proposal_work = ProposalWork(chain, block_creator, proposal_worker, self._intake.put)
        self.timers = HeightTimers(self._intake.put, now_ms, may_run_timers)
        self._signing = SigningQueue(self._signer, signing_worker, self._intake.put)
        self._message_log = RateLimitedLog("consensus", trio.current_time)
        self._importing = False
        self._is_running = False
        self._intake.set_senders(self._current_head().validators)

    # -- calls of the node, on the event loop ----------------------------------------------------------------------

    def head_changed(self) -> None:
        """Queue the present head of the chain for the state machine. Before `run`, and while heads are held back
        (`hold_back_heads`), only the peers that may send messages are updated."""
        head = self._current_head()
        # The senders change also while blocks are imported: a vote may have added a validator whose messages come now.
        self._intake.set_senders(head.validators)
        if self._is_running and not self._importing:
            self._intake.put(head)

    def is_validator(self, address: bytes) -> bool:
        """Return whether the peer at this 20-byte address is a validator of the current height. Messages of other
        peers are dropped."""
        return self._intake.has_queue_for(address)

    @property
    def refused_messages(self) -> int:
        """Messages of peers that were dropped since the start, because the queue of the peer was full or the peer had
        no queue."""
        return self._intake.refused

    def hold_back_heads(self, importing: bool) -> None:
        """Call it with True when the import of several verified blocks begins: the state machine then gets no new head,
        because the next blocks are decided already. Call it with False when the import ends: the state machine gets the
        current head. No peer may be able to make such an import longer."""
        self._importing = importing
        if self._is_running and not importing:
            self._intake.put(self._current_head())

    def message_received(self, code: int, data: bytes, sender: bytes) -> None:
        """Queue a consensus message of the peer at the address `sender` (20 bytes): its code, and its bytes without the
        code. It is dropped if the peer is not a validator or if its queue is full.
        """
        self._intake.put_message(MessageReceived(code, data, sender))

    def peer_connected(self, address: bytes) -> None:
        """Tell the state machine that the peer at `address` (20 bytes) is connected from now on. Nothing before `run`."""
        if self._is_running:
            self._intake.put(PeerConnected(address))

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part in consensus until cancelled. A StorageError, in an exception group, if the disk is full or fails."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.timers.attach(nursery)
            nursery.start_soon(self._signing.run)
            self._is_running = True  # events before this would be old news, and there may be thousands of them
            self.head_changed()
            task_status.started()
            while True:
                await self._take(await self._intake.get())

    async def _take(self, event: Event) -> None:
        """Give `event` to the state machine and carry out the effects. Answers that are ready at once follow
        directly."""
        if isinstance(event, HeadChanged):
            # Before the machine: at the new height it asks for records, which must come after the entries of the old
            # height are dropped.
            await self._log_worker.run(partial(self._signer.forget_final_blocks, event.header.number))
        # Refusals do not go through the intake: another event must not come between an effect and its refusal. Messages
        # that waited for this height do: there may be a thousand, and own events and other peers must come between them.
        events, early_messages = deque[Event]([event]), list[MessageReceived]()
        while events:
            for effect in await self._effects(events.popleft()):
                if isinstance(effect, RedeliverMessage):
                    early_messages.append(effect.message)
                    continue
                refusal = await self._carry_out(effect)
                if refusal is not None:
                    events.append(refusal)
            # After the effects of every event: building and checking for a round that is over would keep the worker
            # from the current one.
            self._proposal_work.cancel_earlier_rounds(*self.machine.height_and_round)
            self.round_changes.record_round(*self.machine.height_and_round)
        if early_messages:
            self._intake.put_early_messages(early_messages)

    async def _effects(self, event: Event) -> list[Effect]:
        """Return the effects of `event`."""
        if isinstance(event, MessageReceived):
            return await self._messages.read(event)
        # An event of the node itself that fails is a fault of this node. Going on in an unknown state could sign twice.
        return self.machine.handle(event, self._now_ms())

    async def _carry_out(self, effect: Effect) -> Event | None:
        match effect:
            case SignPayload():
                return await self._sign(effect)
            case RecordDraft():
                # Waited for: the signature of this proposal is the next effect, and the block must be on the disk
                # before it.
                await self._log_worker.run(partial(self._signer.record_draft, effect.round_id, effect.draft))
            case RecordPrepared():
                # Waited for: the signature of the commit is the next effect. Without the proof on the disk, a restart
                # could vote for another block.
                await self._log_worker.run(partial(self._signer.record_prepared, effect.prepared))
            case SendMessage():
                # The network queues the message and returns. A slow peer cannot hold up the effects that follow.
                self._network.send(effect.code, effect.data, effect.recipients, is_relayed=effect.is_relayed)
            case StartRoundTimer() | StartBlockTimer():
                self.timers.start(effect)
            case StopTimers():
                self.timers.stop()
            case BuildBlock():
                # Long work runs beside the loop. Its result is an event, which comes between two other ones.
                self._nursery.start_soon(self._proposal_work.build, effect)
            case SearchPool():
                self._nursery.start_soon(self._proposal_work.search, effect)
            case CheckProposal():
                self._nursery.start_soon(self._proposal_work.check, effect)
            case ImportBlock():
                self._nursery.start_soon(self._import, effect)
            case PeerIsAhead():
                self._network.record_peer_ahead(effect.address, effect.number)
            case BlamePeer():
                if self._network.count_fault(effect.address, effect.fault):
                    # A thousand messages of the peer may wait. Its session is over, so they would only cost time.
                    self._intake.drop_messages_of(effect.address)
                    self.machine.drop_messages_of(effect.address)
            case WriteLogLine(topic, text, None):
                log.info(text, topic=topic)
            case WriteLogLine(topic, text, sender):
                self._message_log.info((topic, sender), text, topic=topic)
        return None

    async def _sign(self, effect: SignPayload) -> Event | None:
        """Record a payload and queue it for its signature. The answer comes later, unless the journal refuses."""
        try:
            # On the disk before the key sees it. A crash after the signature must not let this node sign another
            # payload for the round.
            await self._log_worker.run(partial(self._signer.check_and_record, effect.payload))
        except ContradictionError as refusal:
            log.error("not signed", payload=str(effect.payload), reason=str(refusal))
            return SigningRefused(effect.payload, str(refusal))
        self._signing.put(effect.payload)
        return None

    # -- work in threads -------------------------------------------------------------------------------------------

    async def _import(self, effect: ImportBlock) -> None:
        try:
            # The quorum has decided this block, so there is no budget: this node must have it, however long it takes.
            await self._state_worker.run(partial(self._chain.import_block, effect.block))
        except BlockRefusedError as error:
            log.error("agreed block not imported", number=effect.block.number, reason=str(error))
            # Without this event the machine would wait for a head that never comes.
            self._intake.put(ImportFailed(effect.block.number, effect.digest, str(error)))
            return
        except ExecutionCancelledError:
            return  # the node stops, and finds the block again when it starts
        # The machine learns of the new head by `head_changed`. This call is for the peers.
        self._network.announce_block(effect.block)

    def _current_head(self) -> HeadChanged:
        header = self._chain.head.header
        validators = self._chain.validators_after(header)
        parameters = self._chain.spec.ibft.parameters_at(header.number + 1)
        return HeadChanged(
            header,
            validators,
            parameters.block_period_ms,
            parameters.request_timeout_ms,
            parameters.empty_block_period_ms,
            self._proposes_round_zero(validators),
            self._chain.protocols.creator(header),
            parameters.follows_goquorum,
            proposers_after(self._chain, header),
        )
