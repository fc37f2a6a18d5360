"""A validator relays what another one signs. It must not pay for that with its own share of the time."""

from collections import Counter
from dataclasses import replace
from itertools import islice, permutations
from unittest.mock import patch

import trio
import trio.testing

from lacnode.consensus.bft.effects import ChargeTimeToAuthor
from lacnode.consensus.bft.events import MessageReceived
from lacnode.consensus.bft.first_copies import MAX_FIRST_COPIES
from lacnode.consensus.bft.message_buffers import MessageLimits
from lacnode.consensus.bft.messages import Message
from lacnode.consensus.ibft2.messages import encode_message
from lacnode.primitives.block import Block
from lacnode.validator.event_queue import ConsensusEventQueue
from lacnode.validator.message_reader import MessageReader
from lacnode.workers.worker import ThreadWorker
from tests.support.ibft2_blocks import with_seals
from tests.unit.consensus.test_network import (
    FOUR,
    A,
    B,
    Bench,
    C,
    D,
    only,
    prepare,
    prepared_by,
    propose,
    round_change,
    signed_again,
)

SECONDS_OF_A_MESSAGE = 0.5


class Reading:
    """The queue and the reader of validator B. Reading a message takes `SECONDS_OF_A_MESSAGE` of its processor."""

    def __init__(self) -> None:
        self.bench = Bench(B, FOUR).start()
        self.queue = ConsensusEventQueue(1_000)
        self.queue.set_senders(self.bench.validators)
        self.paid = Counter[bytes]()
        self._seconds = 0.0
        self._reader = MessageReader(
            self.bench.machine, ThreadWorker(), self._charge, lambda: self.bench.now_ms, self._thread_seconds
        )

    def put(self, message: Message, via: bytes) -> None:
        assert self.queue.put_message(MessageReceived(message.kind, encode_message(message), via))

    async def read_one(self) -> None:
        event = await self.queue.get()
        assert isinstance(event, MessageReceived)
        await self._reader.read(event)

    def _charge(self, address: bytes, seconds: float) -> None:
        self.paid[address] += 1
        self.queue.charge(address, seconds)

    def _thread_seconds(self) -> float:
        # Asked before and after each message.
        self._seconds += SECONDS_OF_A_MESSAGE
        return self._seconds


async def test_a_relay_does_not_pay_for_what_another_validator_signs(autojump_clock: trio.testing.MockClock) -> None:
    """Attack: D sends A round changes for many rounds. All are valid, so A relays them, and its own prepare after them."""
    reading = Reading()
    proposal = propose(A, reading.bench.make_block())
    prepared = prepared_by(proposal, B, C, D)
    for number in range(1, 21):
        reading.put(round_change(D, number, prepared), via=A.address)
    reading.put(prepare(C, proposal), via=A.address)
    for _ in range(21):
        await reading.read_one()
    assert trio.current_time() == 0, "the messages of A did not wait"
    reading.put(round_change(D, 30, prepared), via=D.address)
    await reading.read_one()
    assert trio.current_time() > 60, "D waits for its share"


async def test_a_relay_does_not_pay_for_several_signatures_of_a_payload(autojump_clock: trio.testing.MockClock) -> None:
    """Attack: D signs each of its round changes twice, and sends one to A and the other to C. Both relay what they got."""
    reading = Reading()
    for number in range(1, 4):
        asked = round_change(D, number)
        reading.put(asked, via=C.address)
        reading.put(signed_again(asked), via=A.address)
    for _ in range(6):
        await reading.read_one()
    assert reading.paid == {D.address: 6}


async def test_a_peer_pays_for_further_copies_of_a_message(autojump_clock: trio.testing.MockClock) -> None:
    """Attack: D delivers the proposal of C with the same round changes in another order. Each copy is valid."""
    reading = Reading()
    asked = [round_change(key, 2) for key in FOUR]
    copies = [propose(C, reading.bench.make_block(2), order) for order in islice(permutations(asked), 20)]
    reading.put(copies[0], via=C.address)
    for copy in copies[1:]:
        reading.put(copy, via=D.address)
    for _ in range(4):
        await reading.read_one()
    reading.put(prepare(C, copies[0]), via=C.address)
    await reading.read_one()
    assert trio.current_time() == 0, "C does not wait"
    for _ in range(16):
        await reading.read_one()
    assert trio.current_time() > 60, "D waits for its share"


def test_the_author_pays_for_the_first_copy_of_each_payload() -> None:
    bench = Bench(B, FOUR).start()
    proposal = propose(A, bench.make_block())
    shown = round_change(A, 1, prepared_by(proposal, B, C, D))
    assert shown.block is not None
    sealed = replace(shown, block=with_seals(shown.block, (bytes([1]) * 64 + b"\0",)))
    assert not only(ChargeTimeToAuthor, bench.hear(sealed, via=D.address)), "a peer attached the seals"
    assert only(ChargeTimeToAuthor, bench.hear(shown, via=D.address)) == [ChargeTimeToAuthor(A.address)]
    refused = round_change(A, 1, prepared_by(proposal, C))
    assert not only(ChargeTimeToAuthor, bench.hear(refused, via=D.address)), "it proves nothing, so D does not relay it"


def test_nobody_makes_another_validator_pay_again() -> None:
    """Attack: D signs so many payloads that those of A are forgotten, and delivers a message of A again."""
    bench = Bench(B, FOUR).start()
    asked = round_change(A, 1)
    assert only(ChargeTimeToAuthor, bench.hear(asked, via=D.address)) == [ChargeTimeToAuthor(A.address)]
    for number in range(MAX_FIRST_COPIES + MessageLimits().duplicate_messages):
        bench.hear(round_change(D, 2 + number))
    assert not only(ChargeTimeToAuthor, bench.hear(asked, via=D.address))


def test_the_block_of_a_message_is_read_once() -> None:
    """Attack: D signs a round change with a long block for each validator anew. Each of them relays it."""
    bench = Bench(B, FOUR).start()
    shown = round_change(D, 1, prepared_by(propose(A, bench.make_block()), B, C, D))
    bench.hear(shown, via=A.address)
    copy = signed_again(shown)
    assert shown.block is not None
    with patch.object(Block, "with_body_from_item", side_effect=AssertionError("the block is decoded again")):
        assert only(ChargeTimeToAuthor, bench.hear(copy, via=C.address)) == [ChargeTimeToAuthor(D.address)]
