"""Who is dialled when."""

import random

import pytest

from lacnode.p2p.dial_schedule import (
    FIRST_RETRY_DELAY_SECONDS,
    MAX_DISCOVERED,
    MAX_FAILURES,
    MAX_RETRY_DELAY_SECONDS,
    RETRY_JITTER_RATIO,
    DialSchedule,
)
from lacnode.p2p.wire.enode import Enode


def enode(number: int, host: str = "10.0.0.1") -> Enode:
    return Enode(number.to_bytes(64), host, 30303, None)


def everyone(_: Enode, __: bool) -> bool:
    return True


@pytest.fixture
def dialer() -> DialSchedule:
    return DialSchedule(random.Random(1))


def test_a_static_node_is_dialled_at_once_and_one_attempt_at_a_time(dialer: DialSchedule) -> None:
    assert dialer.add(enode(1), is_permanent=True)
    assert not dialer.add(enode(1), is_permanent=True)
    assert dialer.mark_due_as_dialling(0.0, everyone, free_slots=0) == [enode(1)]
    assert dialer.mark_due_as_dialling(100.0, everyone, free_slots=0) == []


def test_delays_double_from_the_first_to_the_last_and_vary(dialer: DialSchedule) -> None:
    dialer.add(enode(1), is_permanent=True)
    now, delays = 0.0, []
    for _ in range(12):
        assert dialer.mark_due_as_dialling(now, everyone, free_slots=0) == [enode(1)]
        dialer.record_end_of_attempt(enode(1).id, now, was_lasting=False)
        next_attempt_time = dialer.next_attempt_time(now)
        assert next_attempt_time is not None
        delays.append(next_attempt_time - now)
        now = next_attempt_time
    for number, delay in enumerate(delays):
        expected = min(MAX_RETRY_DELAY_SECONDS, FIRST_RETRY_DELAY_SECONDS * 2 ** (number + 1))
        assert expected * (1 - RETRY_JITTER_RATIO) <= delay <= expected * (1 + RETRY_JITTER_RATIO)
    assert len({round(delay, 3) for delay in delays[-3:]}) == 3


def test_after_a_lasting_session_the_delay_is_the_shortest_again(dialer: DialSchedule) -> None:
    dialer.add(enode(1), is_permanent=True)
    for _ in range(6):
        dialer.record_end_of_attempt(enode(1).id, 0.0, was_lasting=False)
    dialer.record_end_of_attempt(enode(1).id, 0.0, was_lasting=True)
    next_attempt_time = dialer.next_attempt_time(0.0)
    assert next_attempt_time is not None
    assert next_attempt_time <= FIRST_RETRY_DELAY_SECONDS * (1 + RETRY_JITTER_RATIO)


def test_discovered_nodes_are_dialled_while_there_is_room(dialer: DialSchedule) -> None:
    for number in range(5):
        dialer.add(enode(number), is_permanent=False)
    first = dialer.mark_due_as_dialling(0.0, everyone, free_slots=2)
    assert len(first) == 2
    assert dialer.mark_due_as_dialling(0.0, everyone, free_slots=2) == []
    dialer.record_end_of_attempt(first[0].id, 0.0, was_lasting=False)
    assert len(dialer.mark_due_as_dialling(0.0, everyone, free_slots=2)) == 1


def test_a_discovered_node_is_forgotten_after_failures_and_a_static_one_never(dialer: DialSchedule) -> None:
    dialer.add(enode(1), is_permanent=False)
    dialer.add(enode(2), is_permanent=True)
    for _ in range(MAX_FAILURES + 1):
        dialer.record_end_of_attempt(enode(1).id, 0.0, was_lasting=False)
        dialer.record_end_of_attempt(enode(2).id, 0.0, was_lasting=False)
    assert dialer.mark_due_as_dialling(1e9, everyone, free_slots=9) == [enode(2)]


def test_a_sign_of_life_ends_the_wait(dialer: DialSchedule) -> None:
    dialer.add(enode(1), is_permanent=True)
    for _ in range(8):
        dialer.record_end_of_attempt(enode(1).id, 0.0, was_lasting=False)
    assert dialer.mark_due_as_dialling(1.0, everyone, free_slots=9) == []
    dialer.forget_failures(enode(1).id)
    assert dialer.mark_due_as_dialling(1.0, everyone, free_slots=9) == [enode(1)]


def test_strangers_cannot_make_the_list_grow_without_end_nor_keep_static_nodes_out(dialer: DialSchedule) -> None:
    for number in range(MAX_DISCOVERED + 50):
        dialer.add(enode(number), is_permanent=False)
    assert not dialer.add(enode(5_000), is_permanent=False)
    assert dialer.add(enode(6_000), is_permanent=True)
    assert enode(6_000) in dialer.mark_due_as_dialling(0.0, everyone, free_slots=0)


def test_a_static_nodes_new_address_counts(dialer: DialSchedule) -> None:
    dialer.add(enode(1), is_permanent=False)
    assert dialer.add(enode(1, "10.0.0.2"), is_permanent=True)
    assert dialer.mark_due_as_dialling(0.0, everyone, free_slots=0) == [enode(1, "10.0.0.2")]


def test_what_is_not_wanted_now_is_not_dialled_and_not_forgotten(dialer: DialSchedule) -> None:
    dialer.add(enode(1), is_permanent=True)
    assert dialer.mark_due_as_dialling(0.0, lambda _, __: False, free_slots=9) == []
    assert dialer.next_attempt_time(0.0) is None
    assert dialer.mark_due_as_dialling(0.0, everyone, free_slots=9) == [enode(1)]
