"""`hardhat_setBalance` and `anvil_addBalance` on a devnet: one of its accounts sends ether, in a block of all validators.

No state changes outside of a block. So a balance rises by a transaction, and falls only where the devnet has the key of the
account. Must not change anything else of an account.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.primitives.hexadecimal import address_from_hex, to_hex
from lacnode.rpc.errors import SERVER_ERROR, RpcError

Transaction = dict[str, Any]
"""The call object of a transaction, with `from`."""

MINED_SECONDS = 20.0
"""Seconds that a call waits for the block of its transaction."""

POLL_SECONDS = 0.05

_PUSH_ADDRESS, _SELF_DESTRUCT = b"\x73", b"\xff"


class BalanceSetting:
    """Sends what is missing from one of `accounts`, the last one first. `send` signs and sends a call object, and returns
    the hash of the transaction. `makes_blocks` says whether a block will be made without a further call."""

    def __init__(
        self,
        node: RequestForwarder,
        accounts: Sequence[DevnetAccount],
        send: Callable[[Transaction], Awaitable[object]],
        makes_blocks: Callable[[], bool],
    ) -> None:
        self._node = node
        # The last account first: scripts use the first ones, and count on their nonces.
        self._payers = [account.address for account in reversed(accounts)]
        self._send = send
        self._makes_blocks = makes_blocks
        # Two calls at once would both send what one of them found missing.
        self._changing = trio.Lock()

    async def set_balance(self, address: str, wei: int) -> None:
        """Give the account at `address` a balance of `wei`. RpcError if that is not possible."""
        async with self._changing:
            balance = await self._balance(address)
            if balance < wei:
                await self._give(address, wei - balance)
            elif balance > wei:
                await self._take(address, balance - wei)
        if balance != wei and (reached := await self._balance(address)) != wei:
            raise RpcError(SERVER_ERROR, f"{address} has {reached} wei now: other transactions changed its balance too")

    async def add_balance(self, address: str, wei: int) -> None:
        """Give the account at `address` so much wei more. RpcError if that is not possible."""
        async with self._changing:
            if wei:
                await self._give(address, wei)

    async def _give(self, address: str, wei: int) -> None:
        payer = await self._payer(address, wei)
        if await self._node.call("eth_getCode", address, "latest") == "0x":
            await self._pay({"from": payer, "to": address, "value": hex(wei)})
        else:
            # A transfer would execute the contract, which may refuse it. A contract that destroys itself does not.
            code = _PUSH_ADDRESS + address_from_hex(address) + _SELF_DESTRUCT
            await self._pay({"from": payer, "value": hex(wei), "data": to_hex(code)})

    async def _take(self, address: str, wei: int) -> None:
        owned = {payer.lower(): payer for payer in self._payers}
        if address.lower() not in owned:
            raise RpcError(
                SERVER_ERROR,
                f"{address} has {wei} wei more than that, and only the key of an account can send its ether away: "
                "use an account of eth_accounts, or name `balance` in the state overrides of eth_call",
            )
        keeper = next(payer for payer in self._payers if payer.lower() != address.lower())
        await self._pay({"from": owned[address.lower()], "to": keeper, "value": hex(wei)})

    async def _payer(self, address: str, wei: int) -> str:
        richest = 0
        for payer in self._payers:
            balance = 0 if payer.lower() == address.lower() else await self._balance(payer)
            if balance >= wei:
                return payer
            richest = max(richest, balance)
        raise RpcError(
            SERVER_ERROR,
            f"{wei} wei are more than an account of this devnet has ({richest}): ether comes from an account of "
            "eth_accounts, because all validators agree on every balance",
        )

    async def _pay(self, transaction: Transaction) -> None:
        if not self._makes_blocks():
            raise RpcError(
                SERVER_ERROR,
                "a balance changes in a block, and none is made now: call evm_setAutomine with true before, or send ether "
                "and call evm_mine",
            )
        hash_ = await self._send(transaction)
        receipt: Transaction | None = None
        with trio.move_on_after(MINED_SECONDS):
            receipt = await self._receipt(hash_)
        if receipt is None:
            raise RpcError(SERVER_ERROR, f"transaction {hash_} changes the balance and waits for its block")
        if receipt["status"] != "0x1":
            raise RpcError(SERVER_ERROR, f"transaction {hash_} should change the balance, and has failed")

    async def _receipt(self, hash_: object) -> Transaction:
        """Return the receipt as soon as the node has it."""
        while True:
            receipt = await self._node.call("eth_getTransactionReceipt", hash_)
            if isinstance(receipt, dict):
                return receipt
            await trio.sleep(POLL_SECONDS)

    async def _balance(self, address: str) -> int:
        return int(str(await self._node.call("eth_getBalance", address, "latest")), 16)
