"""A validator relays what another one signs. It must not pay for that with its own share of the time."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice, permutations
from unittest.mock import patch

import trio
import trio.testing

from lacnode.consensus.bft.effects import ChargeTimeToAuthor, Effect, RelayIsFree, SendMessage
from lacnode.consensus.bft.events import Event, MessageReceived
from lacnode.consensus.bft.first_copies import MAX_FIRST_COPIES
from lacnode.consensus.bft.message_buffers import MessageLimits
from lacnode.consensus.bft.messages import Message, Prepare
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.consensus.bft.relay_shares import MAX_RELAYED_MESSAGES_IN_ONE_ROUND
from lacnode.consensus.bft.relays_of_overdrawn_authors import NEAR_ROUNDS
from lacnode.consensus.ibft2.messages import Ibft2Envelope, encode_message
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block
from lacnode.validator.event_queue import READING_BURST_SECONDS, READING_SHARE_OF_VALIDATOR, ConsensusEventQueue
from lacnode.validator.message_reader import MessageReader
from lacnode.workers.worker import ThreadWorker
from tests.support.ibft2_blocks import with_seals
from tests.unit.consensus.test_network import (
    FOUR,
    SEVEN,
    A,
    B,
    Bench,
    C,
    D,
    commit,
    only,
    prepare,
    prepared_by,
    propose,
    round_change,
    signed,
    signed_again,
    topics,
)

SECONDS_OF_A_MESSAGE = 0.5
READ_SECONDS, DROPPED_SECONDS = 0.025, 0.0015
"""Times of a message that is read and of one that is dropped when its author is known."""


class Reading:
    """The queue and the reader of validator B. Reading a message takes `SECONDS_OF_A_MESSAGE` of its processor."""

    def __init__(self, keys: Sequence[NodeKey] = FOUR) -> None:
        self.bench = Bench(B, keys).start()
        self.queue = ConsensusEventQueue(1_000)
        self.queue.set_senders(self.bench.validators)
        self.paid = Counter[bytes]()
        self._seconds = 0.0
        self._reader = MessageReader(
            self.bench.machine,
            ThreadWorker(),
            self._charge,
            self.queue.overdrawn_senders,
            lambda: self.bench.now_ms,
            self._thread_seconds,
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


class MeteredReading(Reading):
    """Counts the seconds in which messages were read that others delivered, by author."""

    def __init__(self, keys: Sequence[NodeKey], dropped_seconds: float = DROPPED_SECONDS) -> None:
        super().__init__(keys)
        self.seconds_of: dict[bytes, float] = defaultdict(float)
        self._handle, self._dropped_seconds = self.bench.machine.handle, dropped_seconds
        self.bench.machine.handle = self._measure  # type: ignore[method-assign]

    def _measure(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
        effects = self._handle(event, now_ms, overdrawn)
        assert isinstance(event, MessageReceived)
        charged = [effect.author for effect in only(ChargeTimeToAuthor, effects)]
        # Each message is the first copy of its payload, so the author pays for all that are read.
        for author in charged:
            self.seconds_of[author] += READ_SECONDS
        is_read = charged or Ibft2Envelope.split(event.code, event.data).author == event.sender
        self._seconds += READ_SECONDS if is_read else self._dropped_seconds
        return effects

    def _thread_seconds(self) -> float:
        return self._seconds


def votes_without_end(author: NodeKey, digest: bytes = bytes(32)) -> Iterator[Message]:
    """Prepares for later rounds. The signature of each is right."""
    return (Prepare(signed(PreparePayload(RoundId(1, round_), digest), author)) for round_ in count(1))


async def test_relays_of_faulty_authors_take_no_more_than_the_shares_of_the_authors(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Attack: two of seven validators sign as much for each honest relay as their share there allows, and B gets all of it.

    Without a common bound that is eight tenths of the processor of B.
    """
    reading, seconds, each_second = MeteredReading(SEVEN), 30, round(READING_SHARE_OF_VALIDATOR / READ_SECONDS)
    honest, faulty = [A, C, D, SEVEN[4]], SEVEN[5:]
    floods = [
        (relay, votes_without_end(author, digest=relay.address + bytes(12))) for author in faulty for relay in honest
    ]
    for second in range(seconds):
        for relay, flood in floods:
            for message in islice(flood, each_second):
                reading.put(message, via=relay.address)
        for relay in honest:
            reading.put(Prepare(signed(PreparePayload(RoundId(1, second), bytes(32)), relay)), via=relay.address)
        for _ in range(each_second * len(floods) + len(honest)):
            await reading.read_one()
        assert trio.current_time() == second, "the votes of the relays do not wait"
        await trio.sleep(1)
    share = READING_SHARE_OF_VALIDATOR * (seconds + READING_BURST_SECONDS) + 2 * READ_SECONDS
    for author in faulty:
        assert share / 2 < reading.seconds_of[author.address] <= share


async def test_two_faulty_validators_do_not_read_on_without_end(autojump_clock: trio.testing.MockClock) -> None:
    """Attack: one of them delivers what the other one signs, and none of it itself."""
    reading = MeteredReading(SEVEN, dropped_seconds=0.01)
    author, deliverer = SEVEN[5:]
    for message in islice(votes_without_end(author), 900):
        reading.put(message, via=deliverer.address)
    for _ in range(900):
        await reading.read_one()
    share = READING_SHARE_OF_VALIDATOR * (trio.current_time() + READING_BURST_SECONDS) + 2 * READ_SECONDS
    assert reading.seconds_of[author.address] <= share
    assert trio.current_time() > 10, "the one that delivers waits for its share"


class Overdrawn:
    """What B does with messages of C that others deliver, while C has used up its share."""

    def __init__(self) -> None:
        self.bench = Bench(B, FOUR).start()

    def hear(self, message: Message, via: NodeKey = D) -> list[Effect]:
        event = MessageReceived(message.kind, encode_message(message), via.address)
        return self.bench.machine.handle(event, self.bench.now_ms, {C.address})


def test_one_vote_of_each_kind_is_read_of_an_author_that_has_used_up_its_share() -> None:
    overdrawn = Overdrawn()
    proposal = propose(A, overdrawn.bench.make_block())
    overdrawn.bench.hear(proposal)
    overdrawn.hear(prepare(C, proposal))
    overdrawn.hear(commit(C, proposal))
    status = overdrawn.bench.machine.status
    assert C.address in status.prepared_by
    assert C.address in status.committed_by
    another = Prepare(signed(PreparePayload(RoundId(1, 0), bytes(32)), C))
    assert topics(overdrawn.hear(another)) == ["share-used-up"]
    assert not only(SendMessage, overdrawn.hear(another)), "it is not relayed either"
    assert only(SendMessage, overdrawn.hear(another, via=C)), "the author may deliver it itself, in its own queue"
    assert only(ChargeTimeToAuthor, overdrawn.hear(prepare(D, proposal), via=A)), "others have a share left"


def test_a_message_for_a_later_round_does_not_keep_out_the_next_one() -> None:
    """B lags: C asks for round 2, and then for round 3, before B has left round 0."""
    overdrawn = Overdrawn()
    asked = [round_change(C, number) for number in (2, 3)]
    for message in asked:
        assert only(SendMessage, overdrawn.hear(message)), "it is relayed"
    assert list(overdrawn.bench.machine.status.round_changes or {}) == [2, 3]
    far = [bool(only(SendMessage, overdrawn.hear(round_change(C, 1000 + number)))) for number in range(20)]
    assert far == [True] + [False] * 19, "far rounds have one message together"


def test_an_old_message_does_not_keep_out_the_new_one() -> None:
    """Attack: A delivers the prepare of C for round 0 while all are in round 1."""
    overdrawn = Overdrawn()
    old = Prepare(signed(PreparePayload(RoundId(1, 0), bytes(32)), C))
    overdrawn.hear(old, via=A)
    overdrawn.bench.expire_round()
    overdrawn.hear(Prepare(signed(PreparePayload(RoundId(1, 0), bytes([1]) * 32), C)), via=A)
    new = Prepare(signed(PreparePayload(RoundId(1, 1), bytes(32)), C))
    overdrawn.hear(new, via=A)
    assert C.address in overdrawn.bench.machine.status.prepared_by


def test_a_relay_pays_for_dropped_messages_beyond_what_a_correct_one_relays() -> None:
    overdrawn = Overdrawn()
    free = [
        bool(only(RelayIsFree, overdrawn.hear(message)))
        for message in islice(votes_without_end(C), NEAR_ROUNDS + MAX_RELAYED_MESSAGES_IN_ONE_ROUND + 10)
    ]
    # Those of rounds 1 to 3, and the first one of all far rounds.
    read = [False] * NEAR_ROUNDS
    assert free == [*read, *[True] * MAX_RELAYED_MESSAGES_IN_ONE_ROUND, *[False] * 10]
    assert only(RelayIsFree, overdrawn.hear(next(votes_without_end(C, bytes([1]) * 32)), via=A)), (
        "each relay has its own bound"
    )


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
    assert trio.current_time() > 1, "D waits for its share"


async def test_a_relay_does_not_pay_for_several_signatures_of_a_payload(autojump_clock: trio.testing.MockClock) -> None:
    """Attack: D signs each of its round changes twice, and sends one to A and the other to C. Both relay what they got."""
    reading = Reading()
    for number in range(1, 3):
        asked = round_change(D, number)
        reading.put(asked, via=C.address)
        reading.put(signed_again(asked), via=A.address)
    for _ in range(4):
        await reading.read_one()
    assert reading.paid == {D.address: 4}


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


def test_the_author_does_not_pay_for_seals_that_a_peer_attaches_to_a_known_payload() -> None:
    """Attack: D waits for the proposal of A, and delivers it again with megabytes of seals."""
    bench = Bench(B, FOUR).start()
    shown = round_change(A, 1, prepared_by(propose(A, bench.make_block()), B, C, D))
    assert shown.block is not None
    bench.hear(shown, via=C.address)
    sealed = replace(shown, block=with_seals(shown.block, (bytes([1]) * 64 + b"\0",)))
    assert not only(ChargeTimeToAuthor, bench.hear(sealed, via=D.address))


def test_a_copy_with_seals_does_not_take_the_place_of_the_message_of_an_author_without_a_share() -> None:
    """Attack: D attaches seals to what C signs, so that nothing of C is relayed to those that have no connection to it."""
    overdrawn = Overdrawn()
    shown = round_change(C, 1, prepared_by(propose(A, overdrawn.bench.make_block()), B, C, D))
    assert shown.block is not None
    sealed = replace(shown, block=with_seals(shown.block, (bytes([1]) * 64 + b"\0",)))
    assert not only(SendMessage, overdrawn.hear(sealed))
    assert only(SendMessage, overdrawn.hear(shown, via=A))


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
