"""From when a validator that has just started may sign (docs/adr/0010)."""

import itertools

import pytest

from lacnode.consensus.bft.quorum import quorum
from lacnode.consensus.bft.resumption import (
    MAX_MEETING_MS,
    MAX_PASSING_MS,
    NetworkObservation,
    SigningResumption,
    required_other_validators,
)

NAMES = [bytes([number]) * 20 for number in range(1, 8)]
OWN, A, B, C = NAMES[:4]


def seen(head: int, *claims: tuple[bytes, int], validators: int = 4) -> NetworkObservation:
    return NetworkObservation(head, tuple(NAMES[:validators]), dict(claims))


def start(*, has_loss: bool = False, floor: int = -1) -> SigningResumption:
    return SigningResumption(OWN, has_loss=has_loss, floor=floor)


def test_a_validator_without_a_peer_signs_nothing_however_long_it_waits() -> None:
    rule = start()
    for now in range(0, 100 * MAX_MEETING_MS, MAX_MEETING_MS):
        rule.observe(seen(22), now)
    assert not rule.may_sign
    assert "2 other validators have to be met" in rule.waiting_for


def test_it_signs_at_once_when_enough_are_level() -> None:
    rule = start()
    rule.observe(seen(22, (A, 22)), 0)
    assert not rule.may_sign
    rule.observe(seen(22, (A, 22), (B, 21)), 1)
    assert rule.may_sign


def test_a_single_validator_signs_at_once() -> None:
    rule = start()
    rule.observe(seen(0, validators=1), 0)
    assert rule.may_sign


def test_before_block_1_all_are_met() -> None:
    rule = start()
    rule.observe(seen(0, (A, 0), (B, 0)), 0)
    assert not rule.may_sign
    rule.observe(seen(0, (A, 0), (B, 0), (C, 0)), 1)
    assert rule.may_sign


def test_before_block_1_an_absent_validator_holds_nothing_up_for_ever() -> None:
    rule = start()
    rule.observe(seen(0, (A, 0), (B, 0)), 0)
    rule.observe(seen(0, (A, 0), (B, 0)), MAX_MEETING_MS)
    assert rule.may_sign


@pytest.mark.parametrize("head", [0, 9])
def test_one_liar_holds_nothing_up_for_ever(head: int) -> None:
    rule = start()
    for now in range(0, MAX_MEETING_MS + 2 * MAX_PASSING_MS, 1_000):
        rule.observe(seen(head, (A, head), (B, head), (C, 2**60)), now)
    assert rule.may_sign


def test_a_copy_that_is_behind_lets_blocks_pass_after_it_has_caught_up() -> None:
    rule = start()
    rule.observe(seen(2, (A, 24), (B, 24), (C, 24)), 0)
    rule.observe(seen(13, (A, 24), (B, 24), (C, 24)), 1)
    rule.observe(seen(24, (A, 24), (B, 24), (C, 24)), 2)
    rule.observe(seen(25, (A, 25), (B, 25), (C, 25)), 3)
    assert not rule.may_sign
    rule.observe(seen(26, (A, 26), (B, 26), (C, 26)), 4)
    assert rule.may_sign


def test_a_validator_that_was_behind_helps_a_network_that_stands_still() -> None:
    rule = start()
    rule.observe(seen(2, (A, 24), (B, 24)), 0)
    rule.observe(seen(24, (A, 24), (B, 24)), 1)
    rule.observe(seen(24, (A, 24), (B, 24)), MAX_PASSING_MS)
    assert not rule.may_sign
    rule.observe(seen(24, (A, 24), (B, 24)), MAX_PASSING_MS + 1)
    assert rule.may_sign


def test_a_restart_of_all_waits_for_nothing_else() -> None:
    """Validators that stop together are at most one block apart."""
    rule = start()
    rule.observe(seen(22, (A, 23), (B, 22), (C, 22)), 0)
    assert rule.may_sign


def test_a_stranger_and_a_removed_validator_count_for_nothing() -> None:
    rule = start()
    for now in (0, MAX_MEETING_MS):
        rule.observe(seen(22, (NAMES[5], 22), (NAMES[6], 22)), now)
    assert not rule.may_sign


def test_after_a_loss_two_blocks_are_decided_without_it_however_long_that_takes() -> None:
    rule = start(has_loss=True)
    assert rule.observe(seen(22, (A, 22)), 0) is None
    assert rule.observe(seen(22, (A, 22)), 10 * MAX_MEETING_MS) is None
    assert rule.observe(seen(22, (A, 22), (B, 22)), 10 * MAX_MEETING_MS) == 24
    rule.observe(seen(23, (A, 23), (B, 23)), 1_000 * MAX_MEETING_MS)
    assert not rule.may_sign
    assert "block 24" in rule.waiting_for
    rule.observe(seen(24, (A, 24), (B, 24)), 1_001 * MAX_MEETING_MS)
    assert rule.may_sign


def test_a_floor_of_an_earlier_start_still_counts() -> None:
    rule = start(floor=24)
    rule.observe(seen(23, (A, 23), (B, 23)), 10 * MAX_MEETING_MS)
    assert not rule.may_sign
    rule.observe(seen(24, (A, 24), (B, 24)), 10 * MAX_MEETING_MS)
    assert rule.may_sign


def test_a_single_validator_with_a_loss_waits_for_its_operator() -> None:
    rule = start(has_loss=True)
    assert rule.observe(seen(22, validators=1), 0) == 24
    rule.observe(seen(22, validators=1), 10**9)
    assert not rule.may_sign


def test_no_validator_is_held_and_one_that_becomes_one_is() -> None:
    rule = start()
    others = NetworkObservation(5, (A, B, C), {A: 5, B: 5})
    assert rule.observe(others, 0) is None
    assert not rule.may_sign
    rule.observe(seen(6, (A, 6), (B, 6)), 1)
    assert rule.may_sign


@pytest.mark.parametrize("validators", range(1, 30))
def test_those_that_are_needed_know_of_every_block_and_are_no_more_than_agreement_needs(validators: int) -> None:
    needed, committers = required_other_validators(validators, 5), quorum(validators)
    assert needed <= committers - 1
    if validators not in (1, 3):  # with three, two agree, and one of them may be the only other that knows
        assert needed + (committers - 1) > validators - 1


def test_no_order_of_looks_lets_an_isolated_copy_sign() -> None:
    """Whatever one other validator says, and whenever, a far-behind copy does not sign at a height it has not reached."""
    for heads in itertools.product((5, 6, 30), repeat=3):
        rule = start()
        for now, head in enumerate(heads):
            rule.observe(seen(5, (A, head)), now * 10)
        assert not rule.may_sign
