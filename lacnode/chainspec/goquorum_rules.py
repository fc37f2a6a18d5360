"""What a GoQuorum genesis adds to a chain: sizes and prices by height, and the blocks that count in its fork id."""

from bisect import bisect_right
from dataclasses import dataclass

KILOBYTE_BYTES = 1024
LEAST_GAS_LIMIT = 700_000_000
"""GoQuorum's nodes raise a lower gas limit to this one in a single block."""

DEFAULT_TRANSACTION_BYTES = 64 * KILOBYTE_BYTES
"""GoQuorum's bound for the bytes of a transaction in the pool, if the genesis has no `txnSizeLimit`."""


@dataclass(frozen=True, slots=True)
class GoQuorumRules:
    """What the genesis of a GoQuorum network adds to the rules of a chain (`goquorum.is_goquorum`). Each list of steps
    is (height, value), ascending.

    `contract_sizes` is in bytes of deployed code. Before the first step `ChainSpec.contract_size_limit` is valid.
    `transaction_sizes` is in bytes, for the pool. `gas_prices` says from which height on a transaction may have a gas
    price. `fork_id_blocks` are blocks above 0 that count in the fork id of GoQuorum's nodes, beside the forks of Besu.
    `has_private_transactions`: v 37 or 38 marks a private transaction. `gas_limit_floors` are the gas limits to which
    GoQuorum's nodes raise a block. Before the first step it is `LEAST_GAS_LIMIT`. From block `two_thirds_begins` on
    IBFT 1 agrees by ceil(2n/3), before it and with None by 2f+1.
    """

    contract_sizes: tuple[tuple[int, int], ...] = ()
    transaction_sizes: tuple[tuple[int, int], ...] = ()
    gas_prices: tuple[tuple[int, bool], ...] = ()
    fork_id_blocks: tuple[int, ...] = ()
    has_private_transactions: bool = False
    gas_limit_floors: tuple[tuple[int, int], ...] = ()
    two_thirds_begins: int | None = 0

    def max_contract_bytes_at(self, height: int) -> int | None:
        """The most bytes of deployed code at `height` by `contract_sizes`. None before the first step: another limit is
        valid there (`ChainSpec.max_contract_bytes_at`)."""
        return _step_at(self.contract_sizes, height)

    def max_transaction_bytes_at(self, height: int) -> int:
        """The most bytes of a transaction in the pool at `height`. `DEFAULT_TRANSACTION_BYTES` before the first step."""
        return _step_at(self.transaction_sizes, height) or DEFAULT_TRANSACTION_BYTES

    def may_have_gas_price_at(self, height: int) -> bool:
        """Whether a transaction of block `height` may have a gas price above 0. False before the first step."""
        return bool(_step_at(self.gas_prices, height))

    def gas_limit_floor_at(self, height: int) -> int:
        """The gas limit (gas units) to which GoQuorum's nodes raise block `height` in one step, if that of its parent
        is lower."""
        return _step_at(self.gas_limit_floors, height) or LEAST_GAS_LIMIT


def _step_at(steps: tuple[tuple[int, int], ...], height: int) -> int | None:
    place = bisect_right(steps, height, key=lambda step: step[0])
    return steps[place - 1][1] if place else None
