"""Whose clock is off: what can be said from proposals, and what cannot."""

from lacnode.consensus.bft.clock_skew import ClockSkew

A, B, C, D = (bytes([number]) * 20 for number in range(1, 5))


def watched(**differences: int) -> ClockSkew:
    """Proposals whose timestamps are that many milliseconds ahead of the time we heard them."""
    clocks = ClockSkew()
    for name, difference in differences.items():
        clocks.record_proposal_time(
            {"a": A, "b": B, "c": C, "d": D}[name], 1, 1_700_000_000, 1_700_000_000_000 - difference
        )
    return clocks


def test_names_the_one_that_differs() -> None:
    assert watched(a=0, b=-40, c=960, d=-30).skewed_offsets_ms == {C: 1_000 - 10}
    assert watched(a=0, b=-40, c=-1_040, d=-30).skewed_offsets_ms == {C: -1_000}


def test_knows_that_it_is_our_own() -> None:
    assert watched(a=0, b=-1_030, c=-1_040, d=-1_030).skewed_offsets_ms == {A: 1_030}


def test_two_clocks_do_not_tell_which_is_wrong() -> None:
    assert watched(a=0, b=5_000).offsets_ms == {}


def test_a_delayed_proposal_is_no_late_clock() -> None:
    clocks = watched(a=0, b=0, c=0)
    for height in range(2, 6):
        clocks.record_proposal_time(B, height, 1_700_000_000, 1_700_000_003_000)
    assert not clocks.skewed_offsets_ms


def test_a_clock_that_was_set_right_is_forgiven() -> None:
    clocks = watched(a=0, b=2_000, c=0)
    for height in range(2, 10):
        clocks.record_proposal_time(B, height, 1_700_000_000, 1_700_000_000_000)
    assert not clocks.skewed_offsets_ms


def test_one_observation_a_height() -> None:
    clocks = watched(a=0, b=0, c=0)
    clocks.record_proposal_time(B, 1, 1_800_000_000, 1_700_000_000_000)
    assert not clocks.skewed_offsets_ms


def test_forgets_those_who_left() -> None:
    clocks = watched(a=0, b=0, c=0, d=9_000)
    clocks.retain_only((A, B, C))
    assert set(clocks.offsets_ms) == {A, B, C}
