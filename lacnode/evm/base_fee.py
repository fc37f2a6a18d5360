"""The base fee of the next block (EIP-1559, Besu's `LondonFeeMarket`), and the price of blob gas (EIP-4844)."""

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.genesis import INITIAL_BASE_FEE_WEI
from lacnode.chainspec.spec import ChainSpec
from lacnode.primitives.header import BlockHeader

BASE_FEE_MAX_CHANGE_DENOMINATOR, ELASTICITY_MULTIPLIER = 8, 2
_MODULUS = 2**256

BLOB_UPDATE_FRACTIONS = {Fork.CANCUN: 3_338_477, Fork.PRAGUE: 5_007_716}
"""The denominator of the exponent in the price of blob gas, by fork (EIP-4844, EIP-7691). A larger one makes the
price follow the excess more slowly."""


def next_base_fee(spec: ChainSpec, parent: BlockHeader, timestamp: int) -> int | None:
    """The base fee in wei per gas of the block after `parent`, if that block has `timestamp` (Unix seconds). None
    before London. It is 0 if the genesis has `zeroBaseFee`, and the lowest gas price of this node if the genesis has
    `fixedBaseFee` (`chainspec.spec.with_base_fee_if_fixed`)."""
    number = parent.number + 1
    if spec.forks.fork_at(number, timestamp) < Fork.LONDON:
        return None
    if spec.constant_base_fee is not None:
        return spec.constant_base_fee
    if (number, Fork.LONDON) in spec.forks.by_block:
        # The first base fee comes from the genesis, or is the EIP's.
        return INITIAL_BASE_FEE_WEI if spec.genesis.base_fee is None else spec.genesis.base_fee
    return _following_base_fee(parent)


def _following_base_fee(parent: BlockHeader) -> int:
    # Besu counts an absent base fee as 0. Without `londonBlock` there may be none before the first fork by time.
    fee, target = parent.base_fee or 0, parent.gas_limit // ELASTICITY_MULTIPLIER
    if parent.gas_used == target:
        return fee
    # Besu multiplies in 256 bits. A final block may have any base fee, and the network must agree on the next one.
    step = (fee * abs(parent.gas_used - target) % _MODULUS) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    # A rising fee rises by 1 wei at least: a fee below 8 wei could not rise again otherwise.
    return (fee + max(step, 1) if parent.gas_used > target else fee - step) % _MODULUS


def blob_base_fee(spec: ChainSpec, header: BlockHeader) -> int:
    """Wei per unit of blob gas in the block of `header`. 0 before Cancun, and where the base fee is constant."""
    fork = spec.forks.fork_at(header.number, header.timestamp)
    if fork < Fork.CANCUN or spec.constant_base_fee is not None:
        return 0
    excess, fraction = header.excess_blob_gas or 0, BLOB_UPDATE_FRACTIONS[min(fork, Fork.PRAGUE)]
    # e to the power of excess / fraction, as the EIP sums it up in integers.
    total, term, index = 0, fraction, 1
    while term > 0:
        total += term
        term = term * excess // (fraction * index)
        index += 1
    return total // fraction
