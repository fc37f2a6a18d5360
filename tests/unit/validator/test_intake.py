"""Lanes into consensus: each validator its own, bounded and served by turns; the node's own events first."""

import pytest
import trio
import trio.testing

from lacnode.consensus.bft.events import MessageReceived, RoundTimerExpired
from lacnode.validator.event_queue import (
    MAX_SENDER_QUEUE_BYTES,
    READING_BURST_SECONDS,
    READING_SHARE_OF_VALIDATOR,
    ConsensusEventQueue,
)

A, B, C = (bytes([number]) * 20 for number in (1, 2, 3))
STRANGER = bytes([9]) * 20
LANE_MESSAGES = 50


def message(sender: bytes, number: int = 0, size: int = 100) -> MessageReceived:
    return MessageReceived(1, number.to_bytes(4) + bytes(size - 4), sender)


def intake() -> ConsensusEventQueue:
    lanes = ConsensusEventQueue(LANE_MESSAGES)
    lanes.set_senders((A, B, C))
    return lanes


async def take(lanes: ConsensusEventQueue, count: int) -> list[bytes]:
    """The senders of the next messages."""
    senders = []
    for _ in range(count):
        with trio.fail_after(5):
            event = await lanes.get()
        assert isinstance(event, MessageReceived)
        senders.append(event.sender)
    return senders


async def test_a_stranger_has_no_lane() -> None:
    lanes = intake()
    assert not lanes.put_message(message(STRANGER))
    assert lanes.put_message(message(A))
    assert await take(lanes, 1) == [A]


async def test_a_flood_costs_the_others_nothing() -> None:
    lanes = intake()
    kept = [lanes.put_message(message(A, number)) for number in range(10 * LANE_MESSAGES)]
    assert kept.count(True) == LANE_MESSAGES
    assert lanes.refused == 9 * LANE_MESSAGES
    for number in range(LANE_MESSAGES):
        assert lanes.put_message(message(B, number))


async def test_lanes_are_served_by_turns() -> None:
    lanes = intake()
    for number in range(20):
        lanes.put_message(message(A, number))
    assert await take(lanes, 8) == [A] * 8
    for number in range(3):
        lanes.put_message(message(B, number))
        lanes.put_message(message(C, number))
    served = await take(lanes, 9)
    assert served.count(B) == served.count(C) == 3, "who was quiet waits for one message of the flooder at most"


async def test_large_messages_take_more_turns() -> None:
    lanes = intake()
    for number in range(4):
        lanes.put_message(message(A, number, size=1_000_000))
        lanes.put_message(message(B, number))
    served = await take(lanes, 5)
    assert served.count(A) == 1


async def test_a_quiet_lane_saves_up_no_turns() -> None:
    lanes = intake()
    for number in range(40):
        lanes.put_message(message(A, number))
    await take(lanes, 40)
    for number in range(10):
        lanes.put_message(message(A, number))
        lanes.put_message(message(B, number))
    served = await take(lanes, 10)
    assert served.count(A) >= 4, "B does not get forty messages ahead because it was silent"


@pytest.mark.parametrize("is_new", [False, True])
async def test_a_lane_saves_up_no_turns_while_all_lanes_are_empty(is_new: bool) -> None:
    """Attack: a validator is silent while the others are served at once, or has just been voted in. Then it floods."""
    lanes = intake()
    if is_new:
        lanes.set_senders((A, C))
    for number in range(100):
        for sender in (A, C):
            lanes.put_message(message(sender, number))
            await take(lanes, 1)
    lanes.set_senders((A, B, C))
    for number in range(LANE_MESSAGES):
        lanes.put_message(message(B, number))
    lanes.put_message(message(A))
    assert A in await take(lanes, 3), "who was served before waits for one message of the flooder at most"


async def test_bytes_are_bounded_in_each_lane_and_one_large_message_passes() -> None:
    lanes = intake()
    assert lanes.put_message(message(A, size=MAX_SENDER_QUEUE_BYTES + 1)), "a frame may be larger than a lane"
    assert not lanes.put_message(message(A))
    for number in range(4):
        assert lanes.put_message(message(B, number, MAX_SENDER_QUEUE_BYTES // 4))
    assert not lanes.put_message(message(B))


async def test_the_nodes_own_events_go_first_and_are_never_refused() -> None:
    lanes = intake()
    for number in range(100):
        lanes.put_message(message(A, number))
    for number in range(5000):
        lanes.put(RoundTimerExpired(1, number))
    assert [await lanes.get() for _ in range(5000)] == [RoundTimerExpired(1, number) for number in range(5000)]


async def test_a_validator_that_is_voted_out_loses_its_lane_and_the_others_keep_theirs() -> None:
    lanes = intake()
    for sender in (A, B, A):
        lanes.put_message(message(sender))
    lanes.set_senders((B, C))
    assert not lanes.has_queue_for(A)
    assert await take(lanes, 1) == [B]
    with trio.move_on_after(0) as scope:
        await lanes.get()
    assert scope.cancelled_caught


async def test_messages_that_waited_for_their_height_come_before_the_later_ones_of_their_peers_and_take_turns() -> None:
    lanes = intake()
    for sender, number in ((A, 10), (B, 20), (A, 11)):
        lanes.put_message(message(sender, number))
    lanes.put_early_messages([message(A, 0), message(STRANGER), message(A, 1), message(C, 30)])
    lanes.put(RoundTimerExpired(1, 0))
    assert isinstance(await lanes.get(), RoundTimerExpired), "the node's own events do not wait for them"
    got = [await lanes.get() for _ in range(6)]
    of_a = [event.data[3] for event in got if isinstance(event, MessageReceived) and event.sender == A]
    assert of_a == [0, 1, 10, 11]
    assert {event.sender for event in got[:3] if isinstance(event, MessageReceived)} == {A, B, C}


async def test_early_messages_are_not_refused_and_new_ones_are_while_they_fill_the_lane() -> None:
    lanes = intake()
    lanes.put_early_messages([message(A, number) for number in range(2 * LANE_MESSAGES)])
    assert not lanes.put_message(message(A))
    assert lanes.put_message(message(B))
    assert (await take(lanes, 2 * LANE_MESSAGES + 1)).count(A) == 2 * LANE_MESSAGES


async def test_who_has_used_up_its_share_waits_and_the_others_do_not(autojump_clock: trio.testing.MockClock) -> None:
    lanes = intake()
    burst_seconds = READING_BURST_SECONDS * READING_SHARE_OF_VALIDATOR
    lanes.charge(A, burst_seconds + 1)
    for number in range(3):
        lanes.put_message(message(A, number))
        lanes.put_message(message(B, number))
    assert [(await lanes.get()).sender for _ in range(3)] == [B, B, B]  # type: ignore[union-attr]
    began = trio.current_time()
    assert (await lanes.get()).sender == A  # type: ignore[union-attr]
    assert trio.current_time() - began == pytest.approx(1 / READING_SHARE_OF_VALIDATOR)


async def test_an_event_wakes_who_waits_for_a_share(autojump_clock: trio.testing.MockClock) -> None:
    lanes = intake()
    lanes.charge(A, 100)
    lanes.put_message(message(A))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_and_put, lanes)
        assert await lanes.get() == RoundTimerExpired(1, 0)
    assert trio.current_time() < 100


async def wait_and_put(lanes: ConsensusEventQueue) -> None:
    await trio.sleep(1)
    lanes.put(RoundTimerExpired(1, 0))


async def test_the_messages_of_one_peer_can_be_dropped() -> None:
    lanes = intake()
    for sender in (A, B, A):
        lanes.put_message(message(sender))
    lanes.drop_messages_of(A)
    lanes.drop_messages_of(STRANGER)
    assert await take(lanes, 1) == [B]
    lanes.put_message(message(A))
    assert await take(lanes, 1) == [A]


@pytest.mark.parametrize("first", ["event", "message"])
async def test_who_waits_is_woken(first: str) -> None:
    lanes = intake()
    got = []

    async def wait() -> None:
        got.append(await lanes.get())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            lanes.put(RoundTimerExpired(1, 0)) if first == "event" else lanes.put_message(message(A))
    assert len(got) == 1


async def test_a_flood_does_not_hold_the_event_loop() -> None:
    lanes = intake()
    for number in range(LANE_MESSAGES):
        lanes.put_message(message(A, number))
    others = 0

    async def something_else() -> None:
        nonlocal others
        for _ in range(LANE_MESSAGES):
            await trio.lowlevel.checkpoint()
            others += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(something_else)
        await take(lanes, LANE_MESSAGES)
        assert others > LANE_MESSAGES // 2
