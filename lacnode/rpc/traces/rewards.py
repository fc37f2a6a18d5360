"""The trace of a block's reward, as Besu's TRACE methods show it."""

from lacnode.chainspec.spec import ChainSpec
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex


def reward_trace(spec: ChainSpec, header: BlockHeader, block_hash: bytes) -> dict[str, object]:
    """Return the trace of the reward for the block of `header`, whose hash is `block_hash` (32 bytes). Its value in wei
    is the block reward of the genesis file for this block (transitions count), without the fees. A network without
    rewards has a trace with the value 0 for each block."""
    parameters = spec.ibft.parameters_at(header.number)
    beneficiary = header.coinbase if parameters.mining_beneficiary is None else parameters.mining_beneficiary
    return {
        "action": {"author": to_hex(beneficiary), "rewardType": "block", "value": hex(parameters.block_reward)},
        "blockHash": to_hex(block_hash),
        "blockNumber": header.number,
        "result": None,
        "subtraces": 0,
        "traceAddress": [],
        "transactionHash": None,
        "transactionPosition": None,
        "type": "reward",
    }
