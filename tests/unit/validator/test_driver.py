"""What the driver of consensus does with messages before the machine has answered."""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from lacnode.consensus.bft.effects import BlamePeer, Effect, RedeliverMessage, SignPayload, WriteLogLine
from lacnode.consensus.bft.events import Event, HeadChanged, MessageReceived, SigningRefused
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.crypto.node_key import NodeKey
from lacnode.validator.validator import LARGE_MESSAGE_BYTES, Validator
from lacnode.workers.worker import ThreadWorker
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.logs import captured_logs
from tests.unit.consensus.test_network import FOUR, A, C, addresses, make_block

DEADLINE_SECONDS = 10


@dataclass
class Machine:
    """Stands for the state machine: what it was given, in which thread, and what it answers."""

    answer: list[Effect] = field(default_factory=list)
    error: Exception | None = None
    early: list[MessageReceived] = field(default_factory=list)
    handled: list[tuple[Event, int]] = field(default_factory=list)
    position: tuple[int, int] = (1, 0)

    def is_done(self, messages: int) -> bool:
        """Whether everything has come that follows from `messages` messages of peers."""
        return len(self.handled) >= messages + len(self.early)

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
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
        network: Any = SimpleNamespace(blame=lambda address, fault: self.blamed.append((address, fault)))
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
            signing_worker=ThreadWorker(abandons_on_cancel=True),
            now_ms=lambda: 0,
            message_limit=1000,
        )

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

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
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
