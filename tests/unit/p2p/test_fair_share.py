"""Who waits for processor time, and who does not."""

from dataclasses import replace
from itertools import count

import pytest

from lacnode.fair_share import MAX_USERS, FairShare, Shares

SHARES = Shares(total=0.5, most=0.25, least=0.05, burst_seconds=10)
NEWCOMER_SECONDS = 30.0
GUARDED = replace(SHARES, newcomer_seconds=NEWCOMER_SECONDS)


def used(share: FairShare, user: str, seconds: float, until: float) -> float:
    """How much `user` gets of this node's time if it always wants more, `seconds` at once."""
    now, spent = 0.0, 0.0
    while now < until:
        share.spend(user, seconds, now)
        spent += seconds
        now += seconds + share.wait_seconds(user, now + seconds)
    return spent


def test_one_user_gets_its_burst_and_then_its_share() -> None:
    assert used(FairShare(SHARES), "a", 0.1, 1000) == pytest.approx(0.25 * 1010, rel=0.02)


def test_a_user_that_wants_little_does_not_wait_for_those_that_want_much() -> None:
    share = FairShare(SHARES)
    for _ in range(100):
        for greedy in ("a", "b", "c"):
            share.spend(greedy, 0.1, 0.0)
    share.spend("modest", 0.01, 0.0)
    assert share.wait_seconds("a", 0.0) > 30
    assert share.wait_seconds("modest", 0.0) == 0.0


def test_all_together_get_no_more_than_the_total() -> None:
    share = FairShare(SHARES)
    for user in range(10):
        share.spend(user, 0.9, 0.0)
    waits = [share.wait_seconds(user, 0.0) for user in range(10)]
    assert waits == pytest.approx([8.0] * 10)  # 9 s were used, 5 s were there, and half a second comes each second


def spent_by_new_names(share: FairShare, seconds: int, *, arrives: bool) -> float:
    """What is spent by 20 new names a second. Each of them wants 0.2 s once, goes if it has to wait, and never returns."""
    spent = 0.0
    for number in range(20 * seconds):
        name, now = ("new", number), number / 20
        if arrives:
            share.arrive(name, now)
        if share.wait_seconds(name, now) == 0:
            share.spend(name, 0.2, now)
            spent += 0.2
        share.leave(name)
    return spent


@pytest.mark.parametrize("arrives", [True, False])
def test_users_that_take_new_names_get_no_more_than_the_total(arrives: bool) -> None:
    assert spent_by_new_names(FairShare(GUARDED), 100, arrives=arrives) <= 0.5 * 110 + 0.2


def test_new_names_that_were_kept_in_store_get_no_more_than_the_total() -> None:
    """Each of them has been here once, long ago, and has used nothing."""
    share = FairShare(GUARDED)
    for number in range(500):
        share.arrive(("new", number), 0.0)
        share.leave(("new", number))
    for number in range(500):
        share.arrive(("new", number), 1_000.0)
        if share.wait_seconds(("new", number), 1_000.0) == 0:
            share.spend(("new", number), 0.2, 1_000.0)
        share.leave(("new", number))
    assert share._total.wait_seconds(1_000.0) < 1


def test_a_user_that_has_been_here_for_a_while_does_not_wait_for_new_names() -> None:
    share = FairShare(GUARDED)
    share.arrive("modest", 0.0)
    for number in count():
        now = number / 20
        share.spend(("new", number), 0.2, now)
        if now > NEWCOMER_SECONDS:
            break
    assert share.wait_seconds("stranger", now) > 10
    for _ in range(100):
        now += 1.0
        share.spend(("new", now), 4.0, now)
        assert share.wait_seconds("modest", now) == 0.0
        share.spend("modest", 0.04, now)


def test_a_new_user_does_not_wait_while_others_want_little() -> None:
    share = FairShare(GUARDED)
    share.spend("other", 4.0, 0.0)
    share.arrive("new", 0.0)
    assert share.wait_seconds("new", 0.0) == 0.0


def test_no_crowd_of_new_names_makes_a_present_user_new() -> None:
    share = FairShare(GUARDED)
    share.arrive("modest", 0.0)
    for number in range(3 * MAX_USERS):
        share.spend(("new", number), 0.2, 31.0)
    assert share.wait_seconds("modest", 31.0) == 0.0
    assert len(share._users) == MAX_USERS
    share.leave("modest")
    for number in range(MAX_USERS):
        share.spend(("newer", number), 0.2, 31.0)
    assert "modest" not in share._users


def test_an_absence_pays_no_debt() -> None:
    share = FairShare(GUARDED)
    share.arrive("a", 0.0)
    share.spend("a", 100.0, 0.0)
    share.leave("a")
    share.arrive("a", 1.0)
    assert share.wait_seconds("a", 1.0) > 300


def test_coming_again_gives_nothing_back_and_strangers_are_forgotten_in_the_end() -> None:
    share = FairShare(SHARES)
    share.spend("a", 100.0, 0.0)
    assert share.wait_seconds("a", 1.0) > 300
    for user in range(3 * MAX_USERS):
        share.wait_seconds(user, 1.0)
    assert len(share._users) == MAX_USERS
