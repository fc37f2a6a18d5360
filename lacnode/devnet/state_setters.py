"""The methods of Hardhat's network and of Anvil that set a part of the state, as far as validators can agree on it.

A balance changes by a transaction of the devnet. Everything else is refused with the reason, unless it is as the caller
wants it already. Must not change anything outside of a block.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.balance_setting import BalanceSetting
from lacnode.devnet.call_values import address, quantity, required_values
from lacnode.devnet.refused_methods import refused_methods
from lacnode.devnet.request_forwarder import RequestForwarder

Setter = Callable[[list[Any]], Awaitable[object]]
Condition = Callable[[list[Any]], Awaitable[bool]]

PREFIXES = ("hardhat_", "anvil_", "evm_")


class StateSetters:
    """The methods by name. `accounts` are those whose keys the devnet has, and `balances` changes balances."""

    def __init__(
        self, node: RequestForwarder, accounts: Sequence[DevnetAccount], balances: BalanceSetting, chain_id: int
    ) -> None:
        self._node = node
        self._addresses = {account.address.lower() for account in accounts}
        self._balances = balances
        self._chain_id = chain_id

    def methods(self) -> Mapping[str, Setter]:
        """Return the methods, by name."""
        refused = refused_methods()
        holding: dict[str, Condition] = {
            "setNonce": self._has_nonce,
            "setCode": self._has_code,
            "setNextBlockBaseFeePerGas": self._has_base_fee,
            "setBlockGasLimit": self._has_gas_limit,
            "setChainId": self._has_chain_id,
            "impersonateAccount": self._has_key,
            "stopImpersonatingAccount": _always,
            "autoImpersonateAccount": _is_false,
        }
        named: dict[str, Setter] = {}
        for prefix in PREFIXES:
            named[prefix + "setBalance"] = self._set_balance
            named[prefix + "addBalance"] = self._add_balance
            for name, holds in holding.items():
                named[prefix + name] = _unless(holds, refused[prefix + name])
        return {**refused, **named}

    async def _set_balance(self, params: list[Any]) -> object:
        account, wei = required_values(params, 2)
        await self._balances.set_balance(address(account), quantity(wei, 256))
        return True

    async def _add_balance(self, params: list[Any]) -> object:
        account, wei = required_values(params, 2)
        await self._balances.add_balance(address(account), quantity(wei, 256))
        return True

    async def _has_nonce(self, params: list[Any]) -> bool:
        account, nonce = required_values(params, 2)
        return await self._number("eth_getTransactionCount", address(account), "latest") == quantity(nonce)

    async def _has_code(self, params: list[Any]) -> bool:
        account, code = required_values(params, 2)
        return str(await self._node.call("eth_getCode", address(account), "latest")) == str(code).lower()

    async def _has_base_fee(self, params: list[Any]) -> bool:
        (fee,) = required_values(params, 1)
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        # The base fee of a devnet does not change from block to block.
        return isinstance(block, dict) and int(block.get("baseFeePerGas", "0x0"), 16) == quantity(fee, 256)

    async def _has_gas_limit(self, params: list[Any]) -> bool:
        (limit,) = required_values(params, 1)
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        return isinstance(block, dict) and int(block["gasLimit"], 16) == quantity(limit)

    async def _has_chain_id(self, params: list[Any]) -> bool:
        (chain_id,) = required_values(params, 1)
        return quantity(chain_id) == self._chain_id

    async def _has_key(self, params: list[Any]) -> bool:
        (account,) = required_values(params, 1)
        return address(account) in self._addresses

    async def _number(self, method: str, *params: object) -> int:
        return int(str(await self._node.call(method, *params)), 16)


async def _always(params: list[Any]) -> bool:
    # No account is impersonated before or after it.
    return True


async def _is_false(params: list[Any]) -> bool:
    return params[:1] == [False]


def _unless(holds: Condition, refuse: Setter) -> Setter:
    async def set_or_refuse(params: list[Any]) -> object:
        return True if await holds(params) else await refuse(params)

    return set_or_refuse
