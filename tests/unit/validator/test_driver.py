"""What the driver of consensus does with messages before the machine has answered."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from lacnode.consensus.bft.effects import (
    BlamePeer,
    CheckProposal,
    Effect,
    RedeliverMessage,
    SignPayload,
    WriteLogLine,
)
from lacnode.consensus.bft.events import Event, HeadChanged, MessageReceived, PeerConnected, SigningRefused
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.crypto.node_key import NodeKey
from lacnode.validator.message_reader import LARGE_MESSAGE_BYTES
from lacnode.validator.validator import Validator
from lacnode.workers.worker import ThreadWorker
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.logs import captured_logs
from tests.unit.consensus.test_network import FOUR, A, C, D, addresses, make_block

DEADLINE_SECONDS = 10


@dataclass
class Machine:
    """Stands for the state machine: what it was given, in which thread, and what it answers."""

    answer: list[Effect] = field(default_factory=list)
    error: Exception | None = None
    early: list[MessageReceived] = field(default_factory=list)
    handled: list[tuple[Event, int]] = field(default_factory=list)
    height_and_round: tuple[int, int] = (1, 0)

    def is_done(self, messages: int) -> bool:
        """Whether everything has come that follows from `messages` messages of peers."""
        return len(self.handled) >= messages + len(self.early)

    def handle(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
        if not isinstance(event, MessageReceived):
            return list(map(RedeliverMessage, self.early))
        self.handled.append((event, threading.get_ident()))
        if self.error is not None:
            raise self.error
        return self.answer


class Stage:
    """A driver on a chain that has only its genesis, with four validators."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.blamed: list[tuple[bytes, str]] = []
        self.expels = False
        self.message_seconds = 0.0
        """What reading one message takes."""
        self._thread_seconds = 0.0
        validators = addresses(FOUR)
        header = make_block(None, bytes(20), validators).header
        schedule = SimpleNamespace(
            parameters_at=lambda number: SimpleNamespace(
                block_period_ms=2000, request_timeout_ms=4000, empty_block_period_ms=0, follows_goquorum=False
            )
        )
        chain: Any = SimpleNamespace(
            head=SimpleNamespace(header=header),
            spec=SimpleNamespace(ibft=schedule),
            protocols=IBFT2_ONLY,
            validators_after=lambda header: validators,
        )
        nothing: Any = None
        network: Any = SimpleNamespace(count_fault=self._count_fault)
        any_machine: Any = machine
        self.validator = Validator(
            any_machine,
            journal=Journal(IBFT2_ONLY),
            records=SimpleNamespace(append=lambda record: None, rewrite=lambda records: None),
            signer=NodeKey.from_private_key(bytes(31) + b"\x01"),
            chain=chain,
            block_creator=nothing,
            network=network,
            proposal_worker=ThreadWorker(),
            state_worker=ThreadWorker(),
            log_worker=ThreadWorker(),
            reading_worker=ThreadWorker(abandons_on_cancel=True),
            signing_worker=ThreadWorker(abandons_on_cancel=True),
            now_ms=lambda: 0,
            message_limit=1000,
            thread_seconds=self._processor_time,
        )

    def _count_fault(self, address: bytes, fault: str) -> bool:
        self.blamed.append((address, fault))
        return self.expels

    def _processor_time(self) -> float:
        # Asked before and after each message.
        self._thread_seconds += self.message_seconds
        return self._thread_seconds

    async def hear(self, *messages: MessageReceived) -> None:
        """Run the driver until the machine has been given all of them."""
        with trio.fail_after(DEADLINE_SECONDS):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.validator.run)
                for message in messages:
                    self.validator.message_received(message.code, message.data, message.sender)
                while not self.machine.is_done(len(messages)):
                    await trio.lowlevel.checkpoint()
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()


def message(size: int = 100, sender: bytes = A.address) -> MessageReceived:
    return MessageReceived(1, bytes(size), sender)


async def test_large_messages_are_not_read_on_the_event_loop() -> None:
    stage = Stage(Machine())
    await stage.hear(message(LARGE_MESSAGE_BYTES - 1), message(LARGE_MESSAGE_BYTES))
    (_, small), (_, large) = stage.machine.handled
    assert small == threading.get_ident()
    assert large != threading.get_ident()


async def test_the_stop_does_not_wait_for_a_large_message() -> None:
    """The transactions of a proposal of 15 MB take two seconds to decode, and nothing ends that."""
    begun, may_end, threads = threading.Event(), threading.Event(), []

    @dataclass
    class Slow(Machine):
        def handle(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
            if isinstance(event, MessageReceived):
                threads.append(threading.current_thread())
                begun.set()
                may_end.wait(60)
            return []

    stage = Stage(Slow())
    try:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(stage.validator.run)
                stage.validator.message_received(1, bytes(LARGE_MESSAGE_BYTES), A.address)
                await trio.to_thread.run_sync(begun.wait)
                nursery.cancel_scope.cancel()
        assert not may_end.is_set(), "the validator has ended while the message is read"
        assert threads[0].daemon, "the process can end, too"
    finally:
        may_end.set()


async def test_a_message_that_finds_an_error_of_ours_is_dropped_and_said_once() -> None:
    stage = Stage(Machine(error=RuntimeError("a mistake")))
    with captured_logs() as lines:
        await stage.hear(*(message(size) for size in (10, 20, LARGE_MESSAGE_BYTES)))
    assert [line["event"] for line in lines] == ["a consensus message could not be handled"]


async def test_an_early_message_that_finds_an_error_of_ours_costs_only_itself() -> None:
    """It waits for its height. The node must not end when the height begins."""
    stage = Stage(Machine(error=RuntimeError("a mistake"), early=[message(10), message(20, C.address)]))
    with captured_logs() as lines:
        await stage.hear(message(30), message(40), message(50))
    assert {len(event.data) for event, _ in stage.machine.handled if isinstance(event, MessageReceived)} >= {10, 20, 30}
    assert {line["event"] for line in lines} == {"a consensus message could not be handled"}


class SigningMachine(Machine):
    """Asks for one more signature than the journal allows when a message comes, and notes the order of its events."""

    def __init__(self, early: list[MessageReceived]) -> None:
        super().__init__(early=early)
        self.order: list[str] = []

    def is_done(self, messages: int) -> bool:
        return len(self.order) >= 1 + 2 * (messages + len(self.early))

    def handle(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
        if isinstance(event, HeadChanged):
            # The last effect of a head is not always a message: what a height signs again may be refused as well.
            return [*map(RedeliverMessage, self.early), SignPayload(prepare(1)), SignPayload(prepare(2))]
        if isinstance(event, SigningRefused):
            assert isinstance(event.payload, PreparePayload)
            self.order.append(f"refused {event.payload.digest[-1]}")
            return []
        if not isinstance(event, MessageReceived):
            return []
        self.handled.append((event, 0))
        self.order.append(f"message {len(event.data)}")
        return [SignPayload(prepare(len(event.data)))]


def prepare(number: int) -> PreparePayload:
    return PreparePayload(RoundId(1, 0), number.to_bytes(32))


async def test_no_message_comes_between_an_effect_and_its_refusal() -> None:
    """Messages that waited for their height are handled one by one, each with all that follows from it."""
    machine = SigningMachine([message(10), message(20, C.address)])
    stage = Stage(machine)
    with captured_logs():
        await stage.hear(message(30), message(40))
    expected = ["refused 2", *(f"{what} {size}" for size in (10, 20, 30, 40) for what in ("message", "refused"))]
    assert machine.order == expected


class FloodedMachine(Machine):
    """Has early messages when a height begins. `meanwhile` is called when the first one is read."""

    def __init__(self, early: list[MessageReceived], answer: list[Effect] | None = None) -> None:
        super().__init__(early=early, answer=answer or [])
        self.order: list[object] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.expected = len(early)
        self.done = trio.Event()
        self.dropped: list[bytes] = []

    def drop_messages_of(self, sender: bytes) -> None:
        self.dropped.append(sender)

    def is_done(self, messages: int) -> bool:
        return len(self.order) >= self.expected

    def handle(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
        if isinstance(event, HeadChanged):
            return list(map(RedeliverMessage, self.early))
        self.order.append(event.sender if isinstance(event, MessageReceived) else type(event))
        if len(self.order) == 1:
            self.meanwhile()
        if len(self.order) == self.expected:
            self.done.set()
        return self.answer if isinstance(event, MessageReceived) else []


async def test_events_of_the_node_and_other_peers_come_between_messages_that_waited_for_their_height() -> None:
    """Attack: a validator sends a thousand messages for the next height. When it begins, timers and peers go on."""
    machine = FloodedMachine([message(number, D.address) for number in range(1, 101)])
    stage = Stage(machine)

    def meanwhile() -> None:
        stage.validator.peer_connected(A.address)
        stage.validator.message_received(1, bytes(10), A.address)

    machine.meanwhile, machine.expected = meanwhile, 102
    await stage.hear()
    assert machine.order[:3] == [D.address, PeerConnected, A.address]
    assert machine.order[3:] == [D.address] * 99


async def test_other_tasks_run_between_messages_that_waited_for_their_height() -> None:
    machine = FloodedMachine([message(number, D.address) for number in range(1, 101)])
    stage, read = Stage(machine), []

    async def watch() -> None:
        while len(machine.order) < 100:
            read.append(len(machine.order))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await stage.hear()
    assert max(after - before for before, after in pairwise(read)) <= 2


async def test_waiting_messages_of_an_expelled_peer_are_dropped() -> None:
    flood = [message(number, D.address) for number in range(1, 101)]
    machine = FloodedMachine(flood, [BlamePeer(D.address, "a malformed message")])
    stage = Stage(machine)
    stage.expels = True
    machine.meanwhile = lambda: stage.validator.message_received(1, bytes(10), A.address)
    machine.expected = 2
    await stage.hear()
    assert machine.order == [D.address, A.address]
    assert machine.dropped[0] == D.address, "also those for later heights"


async def test_a_sender_whose_messages_take_long_waits_for_its_share(autojump_clock: trio.testing.MockClock) -> None:
    machine = FloodedMachine([message(number, key.address) for number in (1, 2, 3) for key in (A, D)])
    stage = Stage(machine)
    stage.message_seconds = 3.0
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.validator.run)
        await machine.done.wait()
        nursery.cancel_scope.cancel()
    assert machine.order[:2] == [A.address, D.address]
    # Three seconds of a tenth of a processor for each message. The first two seconds are free.
    assert trio.current_time() == pytest.approx(40)


async def test_the_first_proposal_of_a_round_does_not_use_up_a_share(autojump_clock: trio.testing.MockClock) -> None:
    block = make_block(None, bytes(20), addresses(FOUR))
    machine = FloodedMachine([message(number) for number in (1, 2, 3)], [CheckProposal(0, bytes(32), block)])
    stage = Stage(machine)
    stage.message_seconds = 30.0
    stage.validator._proposal_work.check = _do_nothing  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.validator.run)
        await machine.done.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 0


async def _do_nothing(effect: Effect) -> None:
    """The check of a proposal that is never answered."""


async def test_notes_that_messages_cause_are_written_once_a_minute_for_each_peer() -> None:
    stage = Stage(
        Machine(
            answer=[WriteLogLine("message-malformed", "malformed", A.address), WriteLogLine("round-expired", "own")]
        )
    )
    with captured_logs() as lines:
        await stage.hear(*(message(size) for size in range(50)))
    events = [line["event"] for line in lines]
    assert events.count("malformed") == 1
    assert events.count("own") == 50


async def test_a_peer_that_is_blamed_is_told_on() -> None:
    stage = Stage(Machine(answer=[BlamePeer(C.address, "a malformed message")]))
    await stage.hear(message())
    assert stage.blamed == [(C.address, "a malformed message")]
    assert stage.validator.is_validator(C.address)
    assert not stage.validator.is_validator(bytes(20))
