"""The base fee of the next block (EIP-1559, Besu's `LondonFeeMarket`), and the price of blob gas (EIP-4844)."""

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.genesis import INITIAL_BASE_FEE_WEI
from lacnode.chainspec.spec import ChainSpec
from lacnode.primitives.header import BlockHeader

BASE_FEE_MAX_CHANGE_DENOMINATOR, ELASTICITY_MULTIPLIER = 8, 2

BLOB_UPDATE_FRACTIONS = {Fork.CANCUN: 3_338_477, Fork.PRAGUE: 5_007_716}
"""The denominator of the exponent in the price of blob gas, by fork (EIP-4844, EIP-7691). A larger one makes the
price follow the excess more slowly."""


def next_base_fee(spec: ChainSpec, parent: BlockHeader, timestamp: int) -> int | None:
    """Wei per gas that the block after `parent` burns if it has `timestamp`. None before London, 0 on a network whose
    genesis says `zeroBaseFee`."""
    if spec.forks.fork_at(parent.number + 1, timestamp) < Fork.LONDON:
        return None
    if spec.zero_base_fee:
        return 0
    # The parent is the last block before London. The first base fee comes from the genesis, or is the EIP's.
    if parent.base_fee is None:
        return INITIAL_BASE_FEE_WEI if spec.genesis.base_fee is None else spec.genesis.base_fee
    target = parent.gas_limit // ELASTICITY_MULTIPLIER
    if parent.gas_used == target:
        return parent.base_fee
    step = parent.base_fee * abs(parent.gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    # A rising fee rises by 1 wei at least: a fee below 8 wei could not rise again otherwise.
    return parent.base_fee + max(step, 1) if parent.gas_used > target else parent.base_fee - step


def blob_base_fee(spec: ChainSpec, header: BlockHeader) -> int:
    """Wei per unit of blob gas in the block of `header`. 0 before Cancun, and where the genesis says `zeroBaseFee`."""
    fork = spec.forks.fork_at(header.number, header.timestamp)
    if fork < Fork.CANCUN or spec.zero_base_fee:
        return 0
    excess, fraction = header.excess_blob_gas or 0, BLOB_UPDATE_FRACTIONS[min(fork, Fork.PRAGUE)]
    # e to the power of excess / fraction, as the EIP sums it up in integers.
    total, term, index = 0, fraction, 1
    while term > 0:
        total += term
        term = term * excess // (fraction * index)
        index += 1
    return total // fraction
