"""What a vote would do to a network, for sets of every size."""

import pytest

from lacnode.consensus.bft.quorum import quorum
from lacnode.consensus.bft.validator_set_change import ValidatorSetChange


def addresses(count: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(20) for number in range(1, count + 1))


NEW = b"\xff" * 20


def warned(count: int, recipient: bytes, add: bool, absent: int = 0, newcomer_is_here: bool = True) -> list[str]:
    """The warnings in a network of `count`, the last `absent` of whom are away."""
    members = addresses(count)
    present = frozenset(members[: count - absent]) | ({NEW} if newcomer_is_here else set())
    return ValidatorSetChange(members, recipient, add, present).warnings()


@pytest.mark.parametrize("count", range(1, 11))
def test_nobody_is_warned_of_a_newcomer_where_everybody_is_here(count: int) -> None:
    assert warned(count, NEW, True) == []


@pytest.mark.parametrize("count", range(4, 11))
def test_an_absent_newcomer_is_warned_of_where_it_takes_the_last_reserve(count: int) -> None:
    reserve_after = count - quorum(count + 1)
    assert (warned(count, NEW, True, newcomer_is_here=False) != []) == (reserve_after < 1)


def test_besu_740_absent_validators_are_warned_of_before_the_halt() -> None:
    """Four absent validators were voted into a network of four, one after another: the first vote is warned of."""
    (text,) = warned(4, NEW, True, newcomer_is_here=False)
    assert text == (
        "afterwards 4 of 5 validators must agree and 4 are here: one more failure would stop the chain; "
        f"missing: 0x{NEW.hex()}"
    )
    members = (*addresses(4), NEW)
    (text,) = ValidatorSetChange(members, b"\xfe" * 20, True, frozenset(addresses(4))).warnings()
    assert "4 of 6 validators must agree and 4 are here: one more failure" in text
    (text,) = ValidatorSetChange((*members, b"\xfe" * 20), b"\xfd" * 20, True, frozenset(addresses(4))).warnings()
    assert "5 of 7 validators must agree and 4 are here: no block would be made" in text


def test_voting_out_a_validator_that_is_here_is_warned_of_while_another_is_away() -> None:
    (text,) = warned(5, addresses(5)[0], False, absent=1)
    assert "3 of 4 validators must agree and 3 are here: one more failure would stop the chain" in text
    assert warned(5, addresses(5)[0], False) == []


def test_voting_out_one_that_is_away_makes_nothing_worse() -> None:
    for count in range(2, 11):
        assert warned(count, addresses(count)[-1], False, absent=1) == [], count


def test_the_last_validator_is_never_voted_out_unwarned() -> None:
    assert warned(1, addresses(1)[0], False) == ["it would leave no validator at all"]


@pytest.mark.parametrize(("count", "expected"), [(2, False), (3, True), (4, False)])
def test_small_sets_are_warned_where_they_lose_their_reserve(count: int, expected: bool) -> None:
    """Two validators stand no failure and neither does one; three stand one, two do not."""
    assert (warned(count, addresses(count)[0], False) != []) is expected
