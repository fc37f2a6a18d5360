"""ETH: what transactions pay."""

from collections.abc import Mapping, Sequence

from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.rpc import results
from lacnode.rpc.errors import invalid_params
from lacnode.rpc.parameters import block_number, optional, quantity, required
from lacnode.rpc.registry import Method, Params
from lacnode.rpc.services import RpcServices

MAX_HISTORY = 1024


def eth_gasPrice(services: RpcServices, params: Params) -> object:
    """A percentile of what the blocks before the head paid; the head itself is not counted in Besu 24.1."""
    settings, head = services.settings, services.chain.head.header.number
    floor = services.pool.settings.block_min_gas_price
    counts = services.prices.counts(max(0, head - settings.gas_price_blocks), head)
    total = counts.total()
    if not total:
        return results.quantity(floor)
    place = min(total - 1, int(total * settings.gas_price_percentile / 100))
    return results.quantity(max(floor, min(_price_at(counts, place), settings.gas_price_max)))


def _price_at(counts: Mapping[int, int], place: int) -> int:
    """The price at `place` in ascending order."""
    for price in sorted(counts):
        place -= counts[price]
        if place < 0:
            return price
    raise ValueError("there are fewer prices")


def eth_maxPriorityFeePerGas(services: RpcServices, params: Params) -> object:
    """Later Besu has it, and wallets ask for it: nothing is needed to be included."""
    return "0x0"


def eth_feeHistory(services: RpcServices, params: Params) -> object:
    count = quantity(required(params, 0, "block count"), "block count")
    if not 1 <= count <= MAX_HISTORY:
        raise invalid_params(f"block count: 1 to {MAX_HISTORY} was expected")
    newest = _newest(services, required(params, 1, "newest block"))
    percentiles = _percentiles(optional(params, 2))
    oldest = max(0, newest - count + 1)
    blocks = [block for n in range(oldest, newest + 1) if (block := services.chain.block_at(n)) is not None]
    fees = [results.quantity(block.header.base_fee or 0) for block in blocks]
    history: results.Json = {
        "oldestBlock": results.quantity(oldest),
        "baseFeePerGas": [*fees, results.quantity(_next_base_fee(services, blocks[-1].header))],
        "gasUsedRatio": [block.header.gas_used / block.header.gas_limit for block in blocks],
    }
    if percentiles is not None:
        history["reward"] = [_rewards(services, block, percentiles) for block in blocks]
    return history


def _newest(services: RpcServices, value: object) -> int:
    head = services.chain.head.header.number
    if isinstance(value, str) and value.lower() in ("finalized", "safe"):
        return head
    newest = block_number(services, value)
    if newest > head:
        raise invalid_params(f"newest block: {newest} is above the head {head}")
    return newest


def _percentiles(value: object) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value) or len(value) > 100:
        raise invalid_params("reward percentiles: an array of numbers was expected")
    return sorted(float(item) for item in value)


def _next_base_fee(services: RpcServices, header: BlockHeader) -> int:
    following = services.chain.header_at(header.number + 1)
    if following is not None:
        return following.base_fee or 0
    return services.chain.next_base_fee(header.timestamp) or 0


def _rewards(services: RpcServices, block: Block, percentiles: Sequence[float]) -> list[str]:
    """The tip at each percentile of the block's gas."""
    hash_ = services.chain.hash_at(block.number)
    outcomes = () if hash_ is None else services.blocks.outcomes(hash_) or ()
    base_fee = block.header.base_fee or 0
    tips = sorted(
        (transaction.effective_gas_price(block.header.base_fee) - base_fee, outcome.gas_used)
        for transaction, outcome in zip(block.transactions, outcomes, strict=True)
    )
    if not tips:
        return ["0x0"] * len(percentiles)
    rewards, position, used = [], 0, tips[0][1]
    for percentile in percentiles:
        threshold = block.header.gas_used * percentile / 100
        while used < threshold and position < len(tips) - 1:
            position += 1
            used += tips[position][1]
        rewards.append(results.quantity(tips[position][0]))
    return rewards


FEE_METHODS = (
    Method("eth_gasPrice", "ETH", eth_gasPrice),
    Method("eth_maxPriorityFeePerGas", "ETH", eth_maxPriorityFeePerGas),
    Method("eth_feeHistory", "ETH", eth_feeHistory),
)
