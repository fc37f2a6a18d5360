"""The gas limit of the next block. Each proposer moves it by a small step.

It follows Besu's `FrontierTargetingGasLimitCalculator` and `LondonTargetingGasLimitCalculator`. This file must not check the
limits of others: that is a header rule.
"""

from lacnode.chainspec.spec import ChainSpec

STEP_DIVISOR = 1024
"""The limit changes by less than this part of the parent's."""

ELASTICITY_MULTIPLIER = 2
"""EIP-1559: the limit doubles in the first block with a base fee."""


def goquorum_gas_limit_floor(spec: ChainSpec, height: int) -> int:
    """The gas limit (gas units) to which block `height` may rise in one step. 0 if it may not: only GoQuorum's chains
    have one."""
    return 0 if spec.goquorum is None else spec.goquorum.gas_limit_floor_at(height)


def next_gas_limit(parent_limit: int, target: int | None, *, base_fee_begins: bool = False, floor: int = 0) -> int:
    """The next gas limit in gas units: a step from `parent_limit` towards `target` (None leaves it).

    The step is less than a 1024th of `parent_limit`, the most that the header rule allows. With `base_fee_begins` the result
    is doubled after the step. A lower limit than `floor` rises to it in one step, but not above a target.
    """
    limit = parent_limit
    # One less than a 1024th: the header rule refuses a step of exactly a 1024th. Not less than that, because a faulty
    # proposer takes the largest step: with smaller ones, the correct validators together could not undo it.
    if target is not None:
        step = max(0, parent_limit // STEP_DIVISOR - 1)
        limit += max(-step, min(step, target - parent_limit))
    if base_fee_begins:
        limit *= ELASTICITY_MULTIPLIER
    # As GoQuorum's nodes do. One of them may have let the limit fall until no transaction fits a block.
    return max(limit, floor if target is None else min(floor, target))
