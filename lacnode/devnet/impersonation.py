"""`hardhat_impersonateAccount` and its kin on a devnet: transactions of accounts whose keys the devnet does not have.

No block can hold a transaction without the signature of its sender. So the administrator of the devnet sends one that makes
the call in the name of the account, as `lacnode/evm/state_administration.py` has it. Must not hide that: the receipt names
the administrator as the sender.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lacnode.devnet.call_values import normalize_address, parse_quantity, required_values, transaction_data
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.state_changes import DATA_BYTE_GAS, NO_ADMINISTRATOR, TRANSACTION_GAS, Transaction
from lacnode.evm.state_administration import IMPERSONATION_ADDRESS, ImpersonatedCall
from lacnode.primitives.hexadecimal import address_from_hex, to_hex
from lacnode.rpc.errors import SERVER_ERROR, RpcError, invalid_params

MAX_IMPERSONATED = 1000
"""Accounts that are impersonated at a time."""


class Impersonation:
    """Sends transactions in the name of accounts whose keys the devnet does not have, each by a transaction of
    `administrator` (an address). `administrator` is None on a devnet without one, where no account can be impersonated.
    `node` is asked for nonces and the block gas limit. `send` signs and sends a call object, and returns the hash of
    the transaction."""

    def __init__(
        self, node: RequestForwarder, administrator: str | None, send: Callable[[Transaction], Awaitable[object]]
    ) -> None:
        self._node = node
        self._administrator = administrator
        self._send = send
        self._accounts: dict[str, None] = {}
        self._impersonates_all = False

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that are impersonated, in the order of the calls (lower case, with 0x). Those of
        `autoImpersonateAccount` are not among them.
        """
        return tuple(self._accounts)

    def impersonates(self, account: object) -> bool:
        """Return True if transactions of `account` (an address with 0x, in any case) are to be sent in its name: it is
        among `accounts`, or `autoImpersonateAccount` is on."""
        return self._impersonates_all or str(account).lower() in self._accounts

    def methods(self) -> Mapping[str, Callable[[list[Any]], Awaitable[object]]]:
        """Return the methods, by name without `hardhat_` or another prefix. Each takes the list of parameters, and
        raises RpcError if they are wrong or if it cannot do what they ask."""
        return {
            "impersonateAccount": self._impersonate,
            "stopImpersonatingAccount": self._stop,
            "autoImpersonateAccount": self._impersonate_all,
        }

    def stop_all(self) -> None:
        """Impersonate no account any more."""
        self._accounts.clear()
        self._impersonates_all = False

    async def send(self, call: Transaction) -> object:
        """Send the transaction of a call object in the name of its `from`. Return the hash (text with 0x) of the
        administrator's transaction. It does not wait for a block. The caller asks `impersonates` before: this is not
        checked here. KeyError without `from`. RpcError if the transaction is not possible, also if it would create a
        contract (no `to`) or its nonce is not the next one."""
        sender = normalize_address(call["from"])
        await self._check_nonce(call, sender)
        data = to_hex(_impersonated(call, sender).encode_transaction_data())
        order: Transaction = {"from": self._administrator, "to": to_hex(IMPERSONATION_ADDRESS), "data": data}
        if call.get("accessList"):
            order["accessList"] = call["accessList"]
        # Without it, the estimate for the administrator's transaction is the right one.
        if call.get("gas") is not None:
            wanted = parse_quantity(call["gas"]) + TRANSACTION_GAS + DATA_BYTE_GAS * (len(data) // 2)
            order["gas"] = hex(min(wanted, await self._block_gas_limit()))
        # The account pays nothing: prices are those of a transaction that does not exist.
        return await self._send({**order, "gasPrice": "0x0"})

    async def _check_nonce(self, call: Transaction, sender: str) -> None:
        if call.get("nonce") is None:
            return
        nonce = parse_quantity(await self._node.call("eth_getTransactionCount", sender, "latest"))
        if parse_quantity(call["nonce"]) != nonce:
            raise RpcError(SERVER_ERROR, f"the next nonce of {sender} is {nonce}, and no transaction of it can wait")

    async def _block_gas_limit(self) -> int:
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        assert isinstance(block, dict)
        return parse_quantity(block["gasLimit"])

    async def _impersonate(self, params: list[Any]) -> object:
        (account,) = required_values(params, 1)
        self._check_possible()
        if len(self._accounts) >= MAX_IMPERSONATED:
            raise RpcError(SERVER_ERROR, f"{MAX_IMPERSONATED} accounts are impersonated already")
        self._accounts[normalize_address(account)] = None
        return True

    async def _stop(self, params: list[Any]) -> object:
        (account,) = required_values(params, 1)
        return self._accounts.pop(normalize_address(account), False) is None

    async def _impersonate_all(self, params: list[Any]) -> object:
        (enabled,) = required_values(params, 1)
        if not isinstance(enabled, bool):
            raise invalid_params("true or false was expected")
        if enabled:
            self._check_possible()
        self._impersonates_all = enabled
        return True

    def _check_possible(self) -> None:
        if self._administrator is None:
            raise RpcError(SERVER_ERROR, NO_ADMINISTRATOR)


def _impersonated(call: Transaction, sender: str) -> ImpersonatedCall:
    if call.get("to") is None:
        raise RpcError(SERVER_ERROR, "an impersonated account creates no contract: use an account of eth_accounts")
    value = parse_quantity(call.get("value") or 0, 256)
    target = address_from_hex(normalize_address(call["to"]))
    return ImpersonatedCall(address_from_hex(sender), target, value, transaction_data(call))
