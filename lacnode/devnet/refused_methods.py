"""Methods of Hardhat's network and of Anvil that a devnet refuses, each with a sentence that names what to do instead.

They would change the state, a block or the pool without a transaction. Every validator executes every block by itself and
agrees on the state alone: a change that no block has would stop the network, or make its history false.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from lacnode.rpc.errors import SERVER_ERROR, RpcError

_BLOCK = "the rules of the chain decide it; eth_simulateV1 takes it among its block overrides"

_INSTEAD = {
    "dealErc20": "send tokens from an account that has some, or name `stateDiff` in the state overrides of eth_call",
    "setCoinbase": "each block has the address of the validator that made it; " + _BLOCK,
    "setPrevRandao": _BLOCK,
    "setNextBlockBaseFeePerGas": _BLOCK,
    "setBlockGasLimit": _BLOCK,
    "setMinGasPrice": "the price is 0; `lacnode devnet --fork` chooses the rules",
    "dropTransaction": "send another transaction with the same nonce and a higher price, or take a snapshot before",
    "dropAllTransactions": "a revert to a snapshot empties the pools of all nodes",
    "reset": "take evm_snapshot at the start and evm_revert later, or start a new devnet; no chain can be forked",
    "setRpcUrl": "no chain can be forked",
    "setChainId": "the genesis file has it; start a network of your own with another one",
}
"""What to do instead of each method, by its name after `hardhat_`, `anvil_` or `evm_`."""


def refused_methods() -> Mapping[str, Callable[[list[Any]], Awaitable[object]]]:
    """Return the methods, by name. Each raises RpcError."""
    return {
        prefix + name: _refusing(prefix + name, instead)
        for name, instead in _INSTEAD.items()
        for prefix in ("hardhat_", "anvil_", "evm_")
    }


def _refusing(name: str, instead: str) -> Callable[[list[Any]], Awaitable[object]]:
    async def refuse(params: list[Any]) -> NoReturn:
        raise RpcError(SERVER_ERROR, f"{name} is not possible where all validators agree on every state: {instead}")

    return refuse
