"""The methods of Hardhat's network and of Anvil that set a part of the state, as far as validators can agree on it.

Balance, nonce, code and storage change by a transaction of the devnet's administrator. Everything else is refused with the
reason, unless it is as the caller wants it already. Must not change anything outside of a block.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lacnode.devnet.call_values import normalize_address, normalize_bytes, parse_quantity, required_values
from lacnode.devnet.refused_methods import refused_methods
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.state_changes import StateChanger
from lacnode.evm.state_administration import AccountUpdate
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex

Setter = Callable[[list[Any]], Awaitable[object]]
Condition = Callable[[list[Any]], Awaitable[bool]]

PREFIXES = ("hardhat_", "anvil_", "evm_")


class StateSetters:
    """The methods of Hardhat and Anvil that set a part of the state: balances, nonces, code, storage. `state_changer`
    makes each change by a transaction. `node` is asked what the state is now: to set a value that is there already
    makes no transaction."""

    def __init__(self, node: RequestForwarder, state_changer: StateChanger, chain_id: int) -> None:
        self._node = node
        self._state_changer = state_changer
        self._chain_id = chain_id

    def methods(self) -> Mapping[str, Setter]:
        """Return the methods, by complete name (`hardhat_`, `anvil_` and `evm_`), with those that are refused. Each
        takes the list of parameters and returns True, or raises RpcError if the change is refused or fails."""
        setters: dict[str, Setter] = {
            "addBalance": self._add_balance,
            "setBalance": _unless(self._has_balance, self._set_balance),
            "setNonce": _unless(self._has_nonce, self._set_nonce),
            "setCode": _unless(self._has_code, self._set_code),
            "setStorageAt": _unless(self._has_slot, self._set_slot),
        }
        holding: dict[str, Condition] = {
            "setNextBlockBaseFeePerGas": self._has_base_fee,
            "setBlockGasLimit": self._has_gas_limit,
            "setChainId": self._has_chain_id,
        }
        refused = refused_methods()
        named: dict[str, Setter] = {}
        for prefix in PREFIXES:
            named |= {prefix + name: setter for name, setter in setters.items()}
            for name, holds in holding.items():
                named[prefix + name] = _unless(holds, refused[prefix + name])
        return {**refused, **named}

    # -- by transactions of the administrator --------------------------------------------------------------------

    async def _add_balance(self, params: list[Any]) -> object:
        account, wei = required_values(params, 2)
        await self._state_changer.add_balance(normalize_address(account), parse_quantity(wei, 256))
        return True

    async def _set_balance(self, params: list[Any]) -> object:
        account, wei = required_values(params, 2)
        return await self._change(account, balance=parse_quantity(wei, 256))

    async def _set_nonce(self, params: list[Any]) -> object:
        account, nonce = required_values(params, 2)
        return await self._change(account, nonce=parse_quantity(nonce))

    async def _set_code(self, params: list[Any]) -> object:
        account, code = required_values(params, 2)
        return await self._change(account, code=from_hex(normalize_bytes(code)))

    async def _set_slot(self, params: list[Any]) -> object:
        account, slot, value = required_values(params, 3)
        return await self._change(account, storage=((parse_quantity(slot, 256), parse_quantity(value, 256)),))

    async def _change(self, account: object, **values: Any) -> bool:
        await self._state_changer.apply_update(AccountUpdate(address_from_hex(normalize_address(account)), **values))
        return True

    # -- what holds already --------------------------------------------------------------------------------------

    async def _has_balance(self, params: list[Any]) -> bool:
        account, wei = required_values(params, 2)
        return await self._number("eth_getBalance", normalize_address(account), "latest") == parse_quantity(wei, 256)

    async def _has_nonce(self, params: list[Any]) -> bool:
        account, nonce = required_values(params, 2)
        return await self._number("eth_getTransactionCount", normalize_address(account), "latest") == parse_quantity(
            nonce
        )

    async def _has_code(self, params: list[Any]) -> bool:
        account, code = required_values(params, 2)
        return str(await self._node.call("eth_getCode", normalize_address(account), "latest")) == normalize_bytes(code)

    async def _has_slot(self, params: list[Any]) -> bool:
        account, slot, value = required_values(params, 3)
        place = to_hex(parse_quantity(slot, 256).to_bytes(32))
        return await self._number("eth_getStorageAt", normalize_address(account), place, "latest") == parse_quantity(
            value, 256
        )

    async def _has_base_fee(self, params: list[Any]) -> bool:
        (fee,) = required_values(params, 1)
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        # The base fee of a devnet does not change from block to block.
        return isinstance(block, dict) and int(block.get("baseFeePerGas", "0x0"), 16) == parse_quantity(fee, 256)

    async def _has_gas_limit(self, params: list[Any]) -> bool:
        (limit,) = required_values(params, 1)
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        return isinstance(block, dict) and int(block["gasLimit"], 16) == parse_quantity(limit)

    async def _has_chain_id(self, params: list[Any]) -> bool:
        (chain_id,) = required_values(params, 1)
        return parse_quantity(chain_id) == self._chain_id

    async def _number(self, method: str, *params: object) -> int:
        return int(str(await self._node.call(method, *params)), 16)


def _unless(holds: Condition, set_or_refuse: Setter) -> Setter:
    async def ensure(params: list[Any]) -> object:
        return True if await holds(params) else await set_or_refuse(params)

    return ensure
