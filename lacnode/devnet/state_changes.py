"""Changes of accounts that the administrator of a devnet orders: a transaction in a block of all validators.

No state changes outside of a block. `lacnode/evm/state_administration.py` has the form of the transactions. What the rule
refuses, it refuses here too: the node makes each change as a call before it is sent.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.evm.state_administration import STATE_CHANGE_ADDRESS, AccountUpdate
from lacnode.primitives.hexadecimal import address_from_hex, to_hex
from lacnode.rpc.errors import SERVER_ERROR, RpcError

Transaction = dict[str, Any]
"""The call object of a transaction, with `from`."""

MINED_SECONDS = 20.0
"""Seconds that a call waits for the block of its transaction."""

POLL_SECONDS = 0.05

TRANSACTION_GAS, DATA_BYTE_GAS = 21_000, 40
"""The most gas that a transaction takes before it is executed, for itself and for a byte of its data."""

NO_ADMINISTRATOR = (
    "the genesis of this devnet names no administrator, because an earlier release made it: make a new devnet"
)


class StateChanger:
    """Changes accounts by transactions of `administrator` (an address), one after the other. `administrator` is None on
    a devnet without one, where every change is refused. `send` signs and sends a call object, and returns the hash of
    the transaction. `makes_blocks` says whether a block will be made without a further call."""

    def __init__(
        self,
        node: RequestForwarder,
        administrator: str | None,
        send: Callable[[Transaction], Awaitable[object]],
        makes_blocks: Callable[[], bool],
    ) -> None:
        self._node = node
        self._administrator = administrator
        self._send = send
        self._makes_blocks = makes_blocks
        # Two calls at once would both add to the balance that one of them found.
        self._changing = trio.Lock()

    async def apply_update(self, change: AccountUpdate) -> None:
        """Make `change`. Return when it is in a block. RpcError if there is no administrator, if no blocks are made, if
        the node refuses, if the transaction fails, or if its block does not come within `MINED_SECONDS`. In the last
        case the change may still come."""
        async with self._changing:
            await self._change(change)

    async def add_balance(self, address: str, wei: int) -> None:
        """Add `wei` to the balance of the account at `address` (text with 0x). Return when it is in a block. RpcError
        as for `apply_update`, and if the balance would reach 2**256."""
        async with self._changing:
            balance = int(str(await self._node.call("eth_getBalance", address, "latest")), 16)
            if balance + wei >= 2**256:
                raise RpcError(SERVER_ERROR, f"{address} has {balance} wei: a balance is below 2**256")
            await self._change(AccountUpdate(address_from_hex(address), balance=balance + wei))

    async def _change(self, change: AccountUpdate) -> None:
        if self._administrator is None:
            raise RpcError(SERVER_ERROR, NO_ADMINISTRATOR)
        if not self._makes_blocks():
            raise RpcError(
                SERVER_ERROR,
                "the state changes in a block, and none is made now: call evm_setAutomine with true before",
            )
        data = change.encode_transaction_data()
        gas = hex(change.gas + TRANSACTION_GAS + DATA_BYTE_GAS * len(data))
        order = {"from": self._administrator, "to": to_hex(STATE_CHANGE_ADDRESS), "data": to_hex(data), "gas": gas}
        # It says why a change is not possible, and makes no block for that.
        await self._node.call("eth_call", order, "latest")
        hash_ = await self._send(order)
        receipt: Transaction | None = None
        with trio.move_on_after(MINED_SECONDS):
            receipt = await self._receipt(hash_)
        if receipt is None:
            raise RpcError(SERVER_ERROR, f"transaction {hash_} changes the state and waits for its block")
        if receipt["status"] != "0x1":
            raise RpcError(SERVER_ERROR, f"transaction {hash_} should change the state, and has failed")

    async def _receipt(self, hash_: object) -> Transaction:
        """Return the receipt as soon as the node has it."""
        while True:
            receipt = await self._node.call("eth_getTransactionReceipt", hash_)
            if isinstance(receipt, dict):
                return receipt
            await trio.sleep(POLL_SECONDS)
