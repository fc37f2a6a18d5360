"""ETH: what transactions pay."""

from collections.abc import Mapping, Sequence

from lacnode.evm.fees import next_base_fee
from lacnode.primitives.header import BlockHeader
from lacnode.rpc import results
from lacnode.rpc.errors import invalid_params
from lacnode.rpc.parameters import block_number, optional, quantity, required
from lacnode.rpc.reading import Reading, check_time, in_reader
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


def eth_feeHistory(reading: Reading, params: Params) -> object:
    count = quantity(required(params, 0, "block count"), "block count")
    if not 1 <= count <= MAX_HISTORY:
        raise invalid_params(f"block count: 1 to {MAX_HISTORY} was expected")
    newest = _newest(reading, required(params, 1, "newest block"))
    percentiles = _percentiles(optional(params, 2))
    oldest = max(0, newest - count + 1)
    headers = [header for n in range(oldest, newest + 1) if (header := _header_in_time(reading, n)) is not None]
    fees = [results.quantity(header.base_fee or 0) for header in headers]
    history: results.Json = {
        "oldestBlock": results.quantity(oldest),
        "baseFeePerGas": [*fees, results.quantity(_next_base_fee(reading, headers[-1]))],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
    }
    if percentiles is not None:
        history["reward"] = [_rewards(reading, header, percentiles) for header in headers]
    return history


def _newest(reading: Reading, value: object) -> int:
    head = reading.chain.head.header.number
    if isinstance(value, str) and value.lower() in ("finalized", "safe"):
        return head
    newest = block_number(reading, value)
    if newest > head:
        raise invalid_params(f"newest block: {newest} is above the head {head}")
    return newest


def _header_in_time(reading: Reading, number: int) -> BlockHeader | None:
    check_time(reading)
    return reading.chain.header_at(number)


def _percentiles(value: object) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value) or len(value) > 100:
        raise invalid_params("reward percentiles: an array of numbers was expected")
    return sorted(float(item) for item in value)


def _next_base_fee(reading: Reading, header: BlockHeader) -> int:
    following = reading.chain.header_at(header.number + 1)
    if following is not None:
        return following.base_fee or 0
    return next_base_fee(reading.chain.spec, header, header.timestamp) or 0


def _rewards(reading: Reading, header: BlockHeader, percentiles: Sequence[float]) -> list[str]:
    """The tip at each percentile of the block's gas. One block is in memory at a time."""
    check_time(reading)
    hash_ = reading.chain.hash_at(header.number) or b""
    block, outcomes = reading.chain.block_of(hash_), reading.chain.outcomes_of(hash_) or ()
    base_fee = header.base_fee or 0
    tips = sorted(
        (transaction.effective_gas_price(header.base_fee) - base_fee, outcome.gas_used)
        for transaction, outcome in zip(() if block is None else block.transactions, outcomes, strict=True)
    )
    if not tips:
        return ["0x0"] * len(percentiles)
    rewards, position, used = [], 0, tips[0][1]
    for percentile in percentiles:
        threshold = header.gas_used * percentile / 100
        while used < threshold and position < len(tips) - 1:
            position += 1
            used += tips[position][1]
        rewards.append(results.quantity(tips[position][0]))
    return rewards


FEE_METHODS = (
    Method("eth_gasPrice", "ETH", eth_gasPrice),
    Method("eth_maxPriorityFeePerGas", "ETH", eth_maxPriorityFeePerGas),
    Method("eth_feeHistory", "ETH", in_reader(eth_feeHistory)),
)
