"""ETH: the prices of gas."""

import time
from collections.abc import Sequence

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.base_fee import next_base_fee
from lacnode.primitives.header import BlockHeader
from lacnode.rpc import results
from lacnode.rpc.errors import INVALID_BLOCK_NUMBER, INVALID_PARAMS, RpcError
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import optional, parse_block_number, parse_quantity, required, wrong_parameter
from lacnode.rpc.read_calls import ReadContext, check_time, run_in_reader
from lacnode.rpc.recent_prices import PriceCounts, price_at_percentile
from lacnode.rpc.services import RpcServices

MAX_HISTORY_BLOCKS = 1024


BLOB_BASE_FEE = 1
"""Wei for a unit of blob gas. It is the least possible price (EIP-4844), because blocks of IBFT 2.0 have no blobs."""


def eth_gasPrice(services: RpcServices, params: Params) -> object:
    """Return a percentile of the gas prices in the last blocks (of transactions of types 0 and 1), at most
    `gas_price_max` of the settings, but at least the price that this node's next block requires, also if no block has
    such a transaction. In wei per gas, as a 0x quantity."""
    # The upper bound applies to the percentile alone. A price below what the next block requires would be useless.
    least = max(services.pool.settings.block_min_gas_price, services.chain.next_base_fee(int(time.time())) or 0)
    found = price_at_percentile(_recent(services).gas_prices, services.settings.gas_price_percentile)
    return results.quantity(least if found is None else max(least, min(found, services.settings.gas_price_max)))


def eth_maxPriorityFeePerGas(services: RpcServices, params: Params) -> object:
    """Return the percentile `gas_price_percentile` of the settings of the maximum priority fees in the last
    `gas_price_blocks` blocks, but at least the lowest fee of a transaction without priority in this node's blocks
    (`miner_getMinPriorityFee`), also if no block has such a fee. In wei per gas, as a 0x quantity."""
    found = price_at_percentile(_recent(services).tips, services.settings.gas_price_percentile)
    return results.quantity(max(services.pool.settings.min_priority_fee, found or 0))


def _recent(services: RpcServices) -> PriceCounts:
    return services.caches.prices.count_prices(services.chain.head.header.number)


def eth_blobBaseFee(services: RpcServices, params: Params) -> object:
    """Return the price of blob gas in the next block in wei, as a 0x quantity: 1 from Cancun on, and 0 before or on a
    chain with a constant base fee."""
    head = services.chain.head.header
    return _blob_base_fee(services.chain.spec, head.number + 1, head.timestamp)


def _blob_base_fee(spec: ChainSpec, number: int, timestamp: int) -> str:
    """Return the price of blob gas in block `number` with `timestamp`, as hexadecimal. It is 0 in the genesis."""
    has_price = number > 0 and spec.forks.fork_at(number, timestamp) >= Fork.CANCUN and spec.constant_base_fee is None
    return results.quantity(BLOB_BASE_FEE if has_price else 0)


def eth_feeHistory(reading: ReadContext, params: Params) -> object:
    """Return the base fees in wei, the part of the gas that was used (0 to 1), and the rewards in wei of the last
    blocks (EIP-1559), the oldest first. The base fees have one more element, that of the block after them. The rewards
    of a block are in the ascending order of the percentiles. `params` are the number of blocks (1 to
    `MAX_HISTORY_BLOCKS`), the newest block (number or tag) and, if wanted, at most 100 percentiles for the rewards.

    RpcError if a parameter does not fit or the newest block is above the head. CallTimeoutError if it takes too long.
    """
    count = parse_quantity(required(params, 0, "block count"), "block count")
    if not 1 <= count <= MAX_HISTORY_BLOCKS:
        raise wrong_parameter("block count", f"1 to {MAX_HISTORY_BLOCKS} was expected")
    newest = _newest(reading, required(params, 1, "newest block"))
    percentiles = _percentiles(optional(params, 2))
    oldest = max(0, newest - count + 1)
    headers = [header for n in range(oldest, newest + 1) if (header := _header_in_time(reading, n)) is not None]
    fees = [results.quantity(header.base_fee or 0) for header in headers]
    history: results.Json = {
        "oldestBlock": results.quantity(oldest),
        # The list has one element more than the blocks: the fee of the block after them.
        "baseFeePerGas": [*fees, results.quantity(_next_base_fee(reading, headers[-1]))],
        "baseFeePerBlobGas": _blob_base_fees(reading, headers),
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        "blobGasUsedRatio": [0.0] * len(headers),
    }
    if percentiles is not None:
        history["reward"] = [_rewards(reading, header, percentiles) for header in headers]
    return history


def _blob_base_fees(reading: ReadContext, headers: Sequence[BlockHeader]) -> list[str]:
    """Return the price of blob gas in each block, and in the one after them."""
    spec, last = reading.chain.spec, headers[-1]
    following = reading.chain.header_at(last.number + 1)
    timestamp = int(time.time()) if following is None else following.timestamp
    fees = [_blob_base_fee(spec, header.number, header.timestamp) for header in headers]
    return [*fees, _blob_base_fee(spec, last.number + 1, timestamp)]


def _newest(reading: ReadContext, value: object) -> int:
    head = reading.chain.head.header.number
    # Besu takes the head for these tags here, unlike in other methods.
    if isinstance(value, str) and value.lower() in ("finalized", "safe"):
        return head
    newest = parse_block_number(reading, value)
    if newest > head:
        raise RpcError(INVALID_PARAMS, INVALID_BLOCK_NUMBER, f"newest block: {newest} is above the head {head}")
    return newest


def _header_in_time(reading: ReadContext, number: int) -> BlockHeader | None:
    check_time(reading)
    return reading.chain.header_at(number)


def _percentiles(value: object) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value) or len(value) > 100:
        raise wrong_parameter("reward percentiles", "an array of numbers was expected")
    return sorted(float(item) for item in value)


def _next_base_fee(reading: ReadContext, header: BlockHeader) -> int:
    following = reading.chain.header_at(header.number + 1)
    if following is not None:
        return following.base_fee or 0
    return next_base_fee(reading.chain.spec, header, header.timestamp) or 0


def _rewards(reading: ReadContext, header: BlockHeader, percentiles: Sequence[float]) -> list[str]:
    """Return the tip at each percentile of the block's used gas, in wei. CallTimeoutError if the time is over."""
    # Blocks are read one by one and not kept: a thousand full blocks would fill the memory.
    check_time(reading)
    hash_ = reading.chain.hash_at(header.number) or b""
    reading.check_block_size(hash_)
    block, receipt_records = reading.chain.block_of(hash_), reading.chain.receipt_records_of(hash_) or ()
    base_fee = header.base_fee or 0
    tips = sorted(
        (transaction.effective_gas_price(header.base_fee) - base_fee, outcome.gas_used)
        for transaction, outcome in zip(() if block is None else block.transactions, receipt_records, strict=True)
    )
    if not tips:
        return ["0x0"] * len(percentiles)
    # The percentiles and the tips are both in ascending order, so one pass over the transactions is enough.
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
    Method("eth_blobBaseFee", "ETH", eth_blobBaseFee),
    Method("eth_feeHistory", "ETH", run_in_reader(eth_feeHistory)),
)
