"""ETH: the reward of a block's proposer. Besu calls these methods deprecated since 24.12."""

from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import parse_block_number, parse_hash32, required
from lacnode.rpc.services import RpcServices


def eth_getMinerDataByBlockHash(services: RpcServices, params: Params) -> object:
    """Return the reward of a block's proposer, the fees and the difficulties by the block's hash. Amounts are in wei
    with 32 bytes, as 0x-hexadecimal. None if there is no such block. RpcError if the parameter is no hash."""
    return _of_block(services, parse_hash32(required(params, 0, "block hash"), "block hash"))


def eth_getMinerDataByBlockNumber(services: RpcServices, params: Params) -> object:
    """Return the reward of a block's proposer, the fees and the difficulties by the block's number or tag. Amounts are
    in wei with 32 bytes, as 0x-hexadecimal. None above the head. RpcError if the parameter does not fit."""
    return _of_block(services, services.chain.hash_at(parse_block_number(services, required(params, 0, "block"))))


def _of_block(services: RpcServices, hash_: bytes | None) -> results.Json | None:
    block = None if hash_ is None else services.chain.block_of(hash_)
    return None if block is None or hash_ is None else _miner_data(services, block, hash_)


def _miner_data(services: RpcServices, block: Block, hash_: bytes) -> results.Json:
    """Return the rewards of a block. Amounts are in wei, with 32 bytes. IBFT 2.0 has no uncles."""
    # The genesis has no proposer, so it has no reward.
    header = block.header
    reward = services.chain.spec.ibft.parameters_at(header.number).block_reward if header.number else 0
    fees = _fees(services, block, hash_)
    return {
        "netBlockReward": _word(reward + fees),
        "staticBlockReward": _word(reward),
        "transactionFee": _word(fees),
        "uncleInclusionReward": _word(0),
        "uncleRewards": [],
        "coinbase": to_hex(header.coinbase),
        "extraData": to_hex(header.extra_data),
        "difficulty": _word(header.difficulty),
        "totalDifficulty": _word(services.chain.total_difficulty_of(header)),
    }


def _fees(services: RpcServices, block: Block, hash_: bytes) -> int:
    """Return the wei that the transactions paid above the base fee."""
    # The base fee is burnt (EIP-1559). The proposer does not get it.
    base_fee = block.header.base_fee
    return sum(
        (transaction.effective_gas_price(base_fee) - (base_fee or 0)) * outcome.gas_used
        for transaction, outcome in zip(block.transactions, services.chain.receipt_records_of(hash_) or (), strict=True)
    )


def _word(amount: int) -> str:
    return to_hex(amount.to_bytes(32))


MINER_DATA_METHODS = (
    Method("eth_getMinerDataByBlockHash", "ETH", eth_getMinerDataByBlockHash),
    Method("eth_getMinerDataByBlockNumber", "ETH", eth_getMinerDataByBlockNumber),
)
