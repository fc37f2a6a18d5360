"""The speed of the last blocks, and the gas of a proposal that follows from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacnode.chain.execution_speed import EXECUTION_SHARE, LEAST_GAS, REMEMBERED_BLOCKS, ExecutionSpeed
from lacnode.primitives.block import Block
from tests.support.chain_network import network

PERIOD = 2.0
EMPTY = network().build()


@pytest.fixture(scope="module")
def block() -> Block:
    made = network()
    return made.grow()


def executed(speed: ExecutionSpeed, block: Block, gas: int, gas_per_second: float, count: int = 1) -> None:
    of_that_gas = Block(block.header.with_changes(gas_used=gas), block.body)
    for _ in range(count):
        speed.count_executed(of_that_gas, gas / gas_per_second, PERIOD)


def test_nothing_is_known_at_first() -> None:
    assert ExecutionSpeed().percentile_gas_per_second is None
    assert ExecutionSpeed().gas_budget(PERIOD) is None


def test_the_budget_is_what_a_part_of_the_period_suffices_for(block: Block) -> None:
    speed = ExecutionSpeed()
    executed(speed, block, 100_000_000, 50_000_000)
    assert speed.percentile_gas_per_second == 50_000_000
    assert speed.gas_budget(PERIOD) == int(50_000_000 * PERIOD * EXECUTION_SHARE)


def test_the_slow_blocks_of_a_third_of_the_proposers_do_not_count_and_those_of_half_do(block: Block) -> None:
    speed = ExecutionSpeed()
    for _ in range(REMEMBERED_BLOCKS):
        executed(speed, block, 100_000_000, 50_000_000, 2)
        executed(speed, block, 100_000_000, 4_000_000)
        assert speed.percentile_gas_per_second == 50_000_000
    executed(speed, block, 100_000_000, 4_000_000, REMEMBERED_BLOCKS // 2)
    assert speed.percentile_gas_per_second == 4_000_000


def test_short_blocks_tell_nothing_unless_they_are_full(block: Block) -> None:
    speed = ExecutionSpeed()
    executed(speed, block, 21_000, 21_000)
    executed(speed, block, 2_000_000, 100_000_000)
    assert speed.percentile_gas_per_second is None
    executed(speed, block, 50_000_000, 1_000_000)
    assert speed.gas_budget(PERIOD) == LEAST_GAS


def test_a_small_budget_grows_when_its_blocks_are_quick(block: Block) -> None:
    speed = ExecutionSpeed()
    executed(speed, block, 50_000_000, 1_000_000, REMEMBERED_BLOCKS)
    blocks = 0
    while (budget := speed.gas_budget(PERIOD) or 0) < 50_000_000:
        executed(speed, block, budget, 100_000_000)
        blocks += 1
        assert blocks < 8 * REMEMBERED_BLOCKS


def test_burnt_gas_does_not_outweigh_what_was_executed(block: Block) -> None:
    """The opcode INVALID burns all gas of a transaction in no time."""
    speed = ExecutionSpeed()
    executed(speed, block, 30_000_000, 50_000_000, 4)
    executed(speed, block, 30_000_000, 100_000_000_000, REMEMBERED_BLOCKS - 4)
    assert speed.percentile_gas_per_second == 50_000_000
    executed(speed, block, 30_000_000, 100_000_000_000, 3)
    assert (speed.percentile_gas_per_second or 0) == 50_000_000
    executed(speed, block, 30_000_000, 100_000_000_000)
    assert (speed.percentile_gas_per_second or 0) <= 100_000_000, "at most twice as fast"
    executed(speed, block, 30_000_000, 50_000_000)
    assert speed.percentile_gas_per_second == 50_000_000, "one block that was executed outweighs all of them"


def test_slow_blocks_with_little_gas_do_not_cut_proposals(block: Block) -> None:
    speed = ExecutionSpeed()
    executed(speed, block, 20_000_000, 50_000_000, 9)
    executed(speed, block, 1_000_000, 500_000, 7)
    assert speed.percentile_gas_per_second == 50_000_000


HOSTILE = st.tuples(st.integers(1_000_000, 30_000_000), st.floats(1e-6, 60.0))


@given(st.lists(HOSTILE, min_size=5, max_size=5), st.permutations(range(16)))
def test_a_third_of_the_blocks_does_not_decide_whatever_they_are(
    hostile: list[tuple[int, float]], order: list[int]
) -> None:
    """The others fill their budget, and take the time that they may take."""
    speed, block = ExecutionSpeed(), EMPTY
    executed(speed, block, 30_000_000, 50_000_000, REMEMBERED_BLOCKS)
    for place in order:
        if place < len(hostile):
            gas, seconds = hostile[place]
            executed(speed, block, gas, gas / seconds)
        else:
            executed(speed, block, 30_000_000, 50_000_000)
        assert speed.percentile_gas_per_second == 50_000_000
