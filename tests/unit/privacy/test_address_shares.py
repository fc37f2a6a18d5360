"""The processor time of other managers by address: bounded together for any number of addresses."""

import pytest

from lacnode.privacy.service.address_shares import (
    ADDRESS_SHARE,
    BURST_SECONDS,
    CONFIRMED_ADDRESS_SHARE,
    CONFIRMED_SECONDS,
    CONFIRMED_SHARE,
    MAX_CONFIRMED_ADDRESSES,
    PEERS_SHARE,
    AddressShares,
)

PIECE_SECONDS = 0.25
"""What one stranger wants."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> AddressShares:
    return AddressShares(clock)


def taken_by(names: list[str], shares: AddressShares, clock: Clock, seconds: float) -> float:
    """What these addresses take in so many seconds. They come in turn, and go if they have to wait."""
    begin, taken = clock.now, 0.0
    for turn, name in enumerate(names):
        clock.now = begin + turn * seconds / len(names)
        if shares.wait_seconds(name) == 0.0:
            shares.spend(name, PIECE_SECONDS)
            taken += PIECE_SECONDS
    return taken


def strangers(count: int) -> list[str]:
    return [f"2001:db8:0:{number:x}::" for number in range(count)]


def test_two_thousand_addresses_get_no_more_than_all_together_may_have(shares: AddressShares, clock: Clock) -> None:
    assert taken_by(strangers(2_000), shares, clock, 10.0) <= PEERS_SHARE * (10.0 + BURST_SECONDS) + PIECE_SECONDS


def test_addresses_that_have_been_here_before_get_no_more(shares: AddressShares, clock: Clock) -> None:
    for name in strangers(1_000):
        shares.wait_seconds(name)
    clock.now = 1_000.0
    taken = taken_by(strangers(1_000) * 2, shares, clock, 10.0)
    assert taken <= PEERS_SHARE * (10.0 + BURST_SECONDS) + PIECE_SECONDS


def test_confirmed_addresses_have_a_bound_together(shares: AddressShares, clock: Clock) -> None:
    """A stranger that runs managers at many addresses can have all of them confirmed."""
    for name in strangers(2_000)[::2]:
        shares.confirm(name)
    taken = taken_by(strangers(2_000), shares, clock, 10.0)
    assert taken <= (PEERS_SHARE + CONFIRMED_SHARE) * (10.0 + BURST_SECONDS) + 2 * PIECE_SECONDS


def test_one_address_gets_its_share(shares: AddressShares, clock: Clock) -> None:
    taken = taken_by(["member"] * 10_000, shares, clock, 100.0)
    assert taken == pytest.approx(ADDRESS_SHARE * (100.0 + BURST_SECONDS), abs=2 * PIECE_SECONDS)


def test_a_confirmed_address_keeps_its_part_while_strangers_want_too_much(shares: AddressShares, clock: Clock) -> None:
    shares.confirm("member")
    for second in range(100):
        clock.now = float(second)
        for name in strangers(100):
            shares.spend(name, PIECE_SECONDS)
        assert shares.wait_seconds("stranger") > 0.0
        assert shares.wait_seconds("member") == 0.0
        shares.spend("member", CONFIRMED_ADDRESS_SHARE)


def test_a_confirmed_address_waits_too_if_it_wants_too_much(shares: AddressShares) -> None:
    shares.confirm("member")
    shares.spend("member", 3.0)
    assert shares.wait_seconds("member") == pytest.approx(3.0 / ADDRESS_SHARE - BURST_SECONDS)


def test_a_new_address_does_not_wait_while_the_others_want_little(shares: AddressShares) -> None:
    for name in strangers(4):
        shares.spend(name, PIECE_SECONDS)
    assert shares.wait_seconds("newcomer") == 0.0


def test_an_address_is_confirmed_for_a_time_and_again_by_each_answer(shares: AddressShares, clock: Clock) -> None:
    shares.spend("stranger", 1_000.0)
    for _ in range(3):
        shares.confirm("member")
        clock.now += CONFIRMED_SECONDS - 1.0
        assert shares.wait_seconds("member") == 0.0
    clock.now += 1.0
    assert shares.wait_seconds("member") > 0.0


def test_the_address_that_was_confirmed_longest_ago_is_forgotten(shares: AddressShares) -> None:
    shares.spend("stranger", 1_000.0)
    for name in ("first", "second", *strangers(MAX_CONFIRMED_ADDRESSES - 2), "first", "last"):
        shares.confirm(name)
    assert shares.wait_seconds("first") == shares.wait_seconds("last") == 0.0
    assert shares.wait_seconds("second") > 0.0
