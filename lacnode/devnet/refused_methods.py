"""Methods of Hardhat's network and of Anvil that a devnet refuses, each with a sentence that names what to do instead.

They would change the state, a block or the pool without a transaction. Every validator executes every block by itself and
agrees on the state alone: a change that no block has would stop the network, or make its history false.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from lacnode.rpc.errors import SERVER_ERROR, RpcError

_TOKENS = "impersonate an account that has tokens, or set a slot of the contract with anvil_setStorageAt"
_STATE = "evm_snapshot and evm_revert keep the state of all nodes"
_BLOCKS = "blocks that the validators agreed on are final; take evm_snapshot before, and evm_revert later"
_TIME = "evm_increaseTime, evm_setNextBlockTimestamp and the interval of hardhat_mine move the clock of all nodes"
_BLOCK = "the rules of the chain decide it; eth_simulateV1 takes it among its block overrides"

_INSTEAD = {
    "dealERC20": _TOKENS,
    "setERC20Allowance": _TOKENS,
    "dumpState": _STATE,
    "loadState": _STATE,
    "rollback": _BLOCKS,
    "reorg": _BLOCKS,
    "setTime": _TIME,
    "setBlockTimestampInterval": _TIME,
    "removeBlockTimestampInterval": _TIME,
    "setCoinbase": "each block has the address of the validator that made it; " + _BLOCK,
    "setPrevRandao": _BLOCK,
    "setNextBlockBaseFeePerGas": _BLOCK,
    "setBlockGasLimit": _BLOCK,
    "setMinGasPrice": "the price is 0; `lacnode devnet --fork` chooses the rules",
    "setRpcUrl": "no chain can be forked",
    "setChainId": "the genesis file has it; start a network of your own with another one",
}
"""What to do instead of each method, by its name after `hardhat_`, `anvil_` or `evm_`."""


def refused_methods() -> Mapping[str, Callable[[list[Any]], Awaitable[object]]]:
    """Return the methods, by complete name (`hardhat_`, `anvil_` and `evm_`). Each takes the list of parameters and
    raises RpcError, with what to do instead."""
    return {
        prefix + name: _refusing(prefix + name, instead)
        for name, instead in _INSTEAD.items()
        for prefix in ("hardhat_", "anvil_", "evm_")
    }


def _refusing(name: str, instead: str) -> Callable[[list[Any]], Awaitable[object]]:
    async def refuse(params: list[Any]) -> NoReturn:
        raise RpcError(SERVER_ERROR, f"{name} is not possible where all validators agree on every state: {instead}")

    return refuse
