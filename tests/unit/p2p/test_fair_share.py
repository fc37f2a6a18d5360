"""Who waits for processor time, and who does not."""

import pytest

from lacnode.fair_share import MAX_USERS, FairShare, Shares

SHARES = Shares(total=0.5, most=0.25, least=0.05, burst_seconds=10)


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


def test_coming_again_gives_nothing_back_and_strangers_are_forgotten_in_the_end() -> None:
    share = FairShare(SHARES)
    share.spend("a", 100.0, 0.0)
    assert share.wait_seconds("a", 1.0) > 300
    for user in range(3 * MAX_USERS):
        share.wait_seconds(user, 1.0)
    assert len(share._users) == MAX_USERS
