"""On record before it is signed, signed off the event loop, in order, and never waited for without end."""

import threading
from collections.abc import Awaitable, Callable, Iterable

import pytest
import trio
import trio.testing

from lacnode.consensus.bft.events import Event, PayloadSigned, SigningRefused
from lacnode.consensus.bft.journal import ContradictionError, Journal
from lacnode.consensus.bft.payloads import Payload, PreparePayload, ProposalPayload, RoundId
from lacnode.crypto.node_identity import SignerUnavailableError
from lacnode.crypto.node_key import NodeKey
from lacnode.validator.signing import COMPACTION_INTERVAL_BLOCKS, SIGNING_TIMEOUT_SECONDS, RecordedSigner, SigningQueue
from lacnode.workers.worker import ThreadWorker
from tests.support.ibft2_blocks import IBFT2_ONLY

KEY = NodeKey.from_private_key((1).to_bytes(32))
DEADLINE_SECONDS = 10


class Records:
    """The write-ahead log, and what happened in which order."""

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened

    def append(self, record: bytes) -> None:
        self.happened.append("recorded")

    def rewrite(self, records: Iterable[bytes]) -> None:
        self.happened.append("rewritten")


class SlowSigner:
    """A key that answers when the test lets it, or refuses with `refusal`."""

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened
        self.answers = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.refusal: str | None = None

    @property
    def address(self) -> bytes:
        return KEY.address

    def sign(self, digest: bytes) -> bytes:
        self.asked.release()
        assert self.answers.acquire(timeout=DEADLINE_SECONDS)
        self.happened.append("signed")
        if self.refusal is not None:
            raise SignerUnavailableError(self.refusal)
        return KEY.sign(digest)


def prepare(height: int = 1, round_: int = 0, digest: int = 1) -> PreparePayload:
    return PreparePayload(RoundId(height, round_), digest.to_bytes(32))


class Stage:
    """A queue with a slow key; `events` are the answers it gave."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.signer = SlowSigner(self.happened)
        self.recorded = RecordedSigner(Journal(IBFT2_ONLY), Records(self.happened), self.signer, IBFT2_ONLY)
        self.events: list[Event] = []
        self._came = trio.Event()
        self.queue = SigningQueue(self.recorded, ThreadWorker(abandons_on_cancel=True), self._deliver)

    def _deliver(self, event: Event) -> None:
        self.events.append(event)
        self._came.set()
        self._came = trio.Event()

    async def wait_for_events(self, count: int) -> None:
        with trio.fail_after(DEADLINE_SECONDS):
            while len(self.events) < count:
                await self._came.wait()

    async def wait_until_asked(self) -> None:
        """Until the key is at work."""
        found = await trio.to_thread.run_sync(lambda: self.signer.asked.acquire(timeout=DEADLINE_SECONDS))
        assert found

    def admit_and_put(self, payload: Payload) -> None:
        self.recorded.check_and_record(payload)
        self.queue.put(payload)

    def run(self, scenario: Callable[[], Awaitable[None]], clock: trio.abc.Clock | None = None) -> None:
        """Run the queue beside `scenario`, an async function."""

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.queue.run)
                await scenario()
                nursery.cancel_scope.cancel()

        trio.run(main, clock=clock)


def test_a_payload_is_on_record_before_the_key_sees_it() -> None:
    stage = Stage()
    stage.signer.answers.release()

    async def scenario() -> None:
        stage.admit_and_put(prepare())
        await stage.wait_for_events(1)

    stage.run(scenario)
    assert stage.happened == ["recorded", "signed"]
    [signed] = stage.events
    assert isinstance(signed, PayloadSigned)
    assert signed.signed.author == KEY.address


def test_a_contradiction_is_neither_recorded_nor_signed() -> None:
    stage = Stage()
    stage.recorded.check_and_record(prepare(digest=1))
    with pytest.raises(ContradictionError):
        stage.recorded.check_and_record(prepare(digest=2))
    assert stage.happened == ["recorded"]


def test_the_event_loop_runs_while_the_key_thinks() -> None:
    stage = Stage()

    async def scenario() -> None:
        stage.admit_and_put(prepare())
        await stage.wait_until_asked()
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        assert stage.events == []
        stage.signer.answers.release()
        await stage.wait_for_events(1)

    stage.run(scenario)


def test_answers_come_in_the_order_of_the_requests() -> None:
    stage = Stage()
    payloads: list[Payload] = [ProposalPayload(RoundId(1, 0), bytes(32)), prepare(), prepare(height=2)]

    async def scenario() -> None:
        for payload in payloads:
            stage.recorded.check_and_record(payload)
            stage.queue.put(payload)
            stage.signer.answers.release()
            await stage.wait_for_events(payloads.index(payload) + 1)

    stage.run(scenario)
    assert [event.signed.payload for event in stage.events if isinstance(event, PayloadSigned)] == payloads


def test_a_slow_key_skips_what_was_asked_for_earlier_rounds() -> None:
    """Else it falls behind more and more, and the queue grows without bound."""
    stage = Stage()

    async def scenario() -> None:
        stage.admit_and_put(prepare(round_=0))
        await stage.wait_until_asked()
        for round_ in range(1, 1000):
            stage.queue.put(prepare(round_=round_))
        stage.signer.answers.release(2)
        await stage.wait_for_events(2)

    stage.run(scenario)
    rounds = [event.signed.payload.round_id.round for event in stage.events if isinstance(event, PayloadSigned)]
    assert rounds == [0, 999]


def test_a_key_that_refuses_is_not_waited_for() -> None:
    stage = Stage()
    stage.signer.refusal = "the card was pulled"
    stage.signer.answers.release()

    async def scenario() -> None:
        stage.admit_and_put(prepare())
        await stage.wait_for_events(1)

    stage.run(scenario)
    assert stage.events == [SigningRefused(prepare(), "the card was pulled")]


def test_a_key_that_never_answers_counts_as_refused_after_a_while() -> None:
    """And the next message waits for the same key: no thread is left behind for each."""
    stage = Stage()
    clock = trio.testing.MockClock()

    async def scenario() -> None:
        stage.admit_and_put(prepare())
        await stage.wait_until_asked()
        clock.jump(SIGNING_TIMEOUT_SECONDS + 1)
        await stage.wait_for_events(1)
        stage.admit_and_put(prepare(height=2))
        stage.signer.answers.release(2)
        await stage.wait_for_events(2)

    stage.run(scenario, clock)
    refused, signed = stage.events
    assert isinstance(refused, SigningRefused)
    assert "did not answer within 10 s" in refused.reason
    assert isinstance(signed, PayloadSigned)
    assert signed.signed.payload == prepare(height=2)


def test_the_records_are_compacted_earlier_if_they_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start reads all of them, and a prepared block may have megabytes."""
    stage = Stage()
    stage.recorded.check_and_record(prepare(height=1))
    monkeypatch.setattr("lacnode.validator.signing.COMPACTION_BYTES", 100)
    stage.recorded.forget_final_blocks(1)
    assert stage.happened == ["recorded"], "one record of less than 100 bytes"
    for round_ in range(3):
        stage.recorded.check_and_record(prepare(height=2, round_=round_))
    stage.recorded.forget_final_blocks(2)
    assert stage.happened[4:] == ["rewritten"]
    stage.recorded.check_and_record(prepare(height=3))
    stage.recorded.forget_final_blocks(3)
    assert stage.happened[5:] == ["recorded"], "counted from the compaction on"


def test_the_records_are_compacted_now_and_then() -> None:
    stage = Stage()
    for number in range(1, 2 * COMPACTION_INTERVAL_BLOCKS + 1):
        stage.recorded.forget_final_blocks(number)
    assert stage.happened == ["rewritten"] * 2
    with pytest.raises(ContradictionError, match="is final"):
        stage.recorded.check_and_record(prepare(height=5))
