"""Random lives of random networks keep every promise, and a seed tells the same story every time."""

import pytest

from tests.simulation.campaign import run_seed

CHUNK = 15


@pytest.mark.parametrize("first", range(0, 300, CHUNK))
def test_seeds(first: int) -> None:
    """Safe all the time, and a block in time once the trouble is over; `python -m tests.simulation` runs more."""
    for seed in range(first, first + CHUNK):
        outcome = run_seed(seed)
        assert outcome.recovery_ms <= outcome.bound_ms, outcome


@pytest.mark.parametrize("seed", range(3, 60, 7))
def test_a_seed_is_the_whole_story(seed: int) -> None:
    assert run_seed(seed) == run_seed(seed)
