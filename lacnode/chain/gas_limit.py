"""The gas limit of the next block: the proposer's vote, one small step at a time.

Follows Besu's `FrontierTargetingGasLimitCalculator` and `LondonTargetingGasLimitCalculator`. Must not judge limits of
others: that is a header rule's.
"""

MAX_STEP = 1024
ELASTICITY_MULTIPLIER = 2
"""EIP-1559: the limit doubles in the block in which the base fee begins."""


def next_gas_limit(parent_limit: int, target: int | None, *, base_fee_begins: bool = False) -> int:
    """Gas units: at most 1024, and less than a 1024th of `parent_limit`, towards `target`; without a target the
    parent's limit stays."""
    limit = parent_limit
    if target is not None:
        step = max(0, min(MAX_STEP, parent_limit // 1024 - 1))
        limit += max(-step, min(step, target - parent_limit))
    return limit * ELASTICITY_MULTIPLIER if base_fee_begins else limit
