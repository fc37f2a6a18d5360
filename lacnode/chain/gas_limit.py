"""The gas limit of the next block. Each proposer moves it by a small step.

It follows Besu's `FrontierTargetingGasLimitCalculator` and `LondonTargetingGasLimitCalculator`. This file must not check the
limits of others: that is a header rule.
"""

MAX_STEP = 1024
ELASTICITY_MULTIPLIER = 2
"""EIP-1559: the limit doubles in the first block with a base fee."""


def next_gas_limit(parent_limit: int, target: int | None, *, base_fee_begins: bool = False) -> int:
    """The next gas limit in gas units: a step from `parent_limit` towards `target`.

    The step is at most 1024, and less than a 1024th of `parent_limit`. Without a target the limit stays.
    """
    limit = parent_limit
    # One less than a 1024th: the header rule refuses a step of exactly a 1024th.
    if target is not None:
        step = max(0, min(MAX_STEP, parent_limit // 1024 - 1))
        limit += max(-step, min(step, target - parent_limit))
    return limit * ELASTICITY_MULTIPLIER if base_fee_begins else limit
