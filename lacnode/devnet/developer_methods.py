"""The JSON-RPC methods that only the developer endpoint of a devnet has: accounts with keys, time, blocks and snapshots.

Names and results are those of Hardhat's network and of Anvil. They exist in no node. `state_setters` has those that set a
part of the state.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
import trio

from lacnode import __version__
from lacnode.chainspec.spec import ChainSpec
from lacnode.devnet.account_sender import AccountSender
from lacnode.devnet.account_signing import AccountSigner, UnknownAccountError
from lacnode.devnet.accounts import DevnetAccount, state_administrator
from lacnode.devnet.call_values import normalize_address, normalize_bytes, parse_quantity, required_values
from lacnode.devnet.coordinator import BlockMode, Coordinator
from lacnode.devnet.impersonation import Impersonation
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.state_changes import MINED_SECONDS, StateChanger
from lacnode.devnet.state_setters import StateSetters
from lacnode.evm.state_administration import state_administrator_of
from lacnode.primitives.hexadecimal import address_from_hex, from_hex
from lacnode.rpc.errors import SERVER_ERROR, RpcError, invalid_params

DeveloperMethod = Callable[[list[Any]], Awaitable[object]]

MAX_MESSAGE_BYTES = 2**20

CLIENT_VERSION = f"HardhatNetwork/lacnode/v{__version__}"
"""Hardhat's helpers refuse to work with a client whose version does not begin with this name."""


class DeveloperMethods:
    """The JSON-RPC methods of the developer endpoint. `by_name` has them by their names. `accounts` are those of the
    devnet with their keys. `block_period` is in seconds."""

    def __init__(
        self,
        coordinator: Coordinator,
        node: RequestForwarder,
        accounts: Sequence[DevnetAccount],
        spec: ChainSpec,
        block_period: float,
    ) -> None:
        self._coordinator = coordinator
        self._node = node
        self._accounts = accounts
        self._chain_id = spec.chain_id
        self._signer = AccountSigner(accounts, spec.chain_id)
        self._block_period = block_period
        self._fork_name = spec.forks.fork_at(1, spec.genesis.timestamp + 1).name.lower()
        self._sender = AccountSender(node, self._signer, spec)
        account = state_administrator()
        has_administrator = state_administrator_of(spec) == address_from_hex(account.address)
        administrator = account.address if has_administrator else None
        order = AccountSender(node, AccountSigner([account], spec.chain_id), spec).send
        self._impersonation = Impersonation(node, administrator, order)
        state_changer = StateChanger(node, administrator, order, self._makes_blocks)
        self._setters = StateSetters(node, state_changer, spec.chain_id)
        self.by_name = self._methods()

    def _methods(self) -> Mapping[str, DeveloperMethod]:
        named: dict[str, DeveloperMethod] = {
            "web3_clientVersion": self._client_version,
            "hardhat_metadata": self._metadata,
            "anvil_metadata": self._metadata,
            "anvil_nodeInfo": self._node_info,
            "hardhat_getAutomine": self._get_automine,
            "anvil_getAutomine": self._get_automine,
            "eth_accounts": self._eth_accounts,
            "eth_requestAccounts": self._eth_accounts,
            "eth_sendTransaction": self._send_transaction,
            "eth_signTransaction": self._sign_transaction,
            "eth_sendRawTransaction": self._send_raw_transaction,
            "eth_sign": self._eth_sign,
            "personal_sign": self._personal_sign,
            "eth_signTypedData_v4": self._sign_typed_data,
            "eth_signTypedData": self._sign_typed_data,
            "evm_mine": self._evm_mine,
            "hardhat_mine": self._hardhat_mine,
            "anvil_mine": self._hardhat_mine,
        }
        for prefix in ("evm_", "hardhat_", "anvil_"):
            named[prefix + "snapshot"] = self._snapshot
            named[prefix + "revert"] = self._revert
            named[prefix + "reset"] = self._reset
            named[prefix + "dropTransaction"] = self._drop_transaction
            named[prefix + "dropAllTransactions"] = self._drop_all
            named[prefix + "removePoolTransactions"] = self._drop_of_sender
            named[prefix + "increaseTime"] = self._increase_time
            named[prefix + "setNextBlockTimestamp"] = self._set_next_timestamp
            named[prefix + "setAutomine"] = self._set_automine
            named[prefix + "setIntervalMining"] = self._set_interval
            named |= {prefix + name: method for name, method in self._impersonation.methods().items()}
        return {**self._setters.methods(), **named}

    # -- accounts ------------------------------------------------------------------------------------------------

    async def _eth_accounts(self, params: list[Any]) -> object:
        own = [account.address for account in self._accounts]
        return [*own, *(account for account in self._impersonation.accounts if account not in own)]

    async def _eth_sign(self, params: list[Any]) -> object:
        account, message = required_values(params, 2)
        return self._sign(str(account), str(message))

    async def _personal_sign(self, params: list[Any]) -> object:
        message, account = required_values(params, 2)
        return self._sign(str(account), str(message))

    def _sign(self, account: str, message: str) -> str:
        if len(message) > 2 * MAX_MESSAGE_BYTES:
            raise invalid_params(f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        try:
            return self._signer.sign_message(account, from_hex(message))
        except UnknownAccountError as error:
            raise RpcError(SERVER_ERROR, str(error)) from None

    async def _sign_typed_data(self, params: list[Any]) -> object:
        account, document = required_values(params, 2)
        # Some wallets send the document as text.
        if isinstance(document, str):
            document = orjson.loads(document)
        try:
            return self._signer.sign_typed_data(str(account), document)
        except UnknownAccountError as error:
            raise RpcError(SERVER_ERROR, str(error)) from None

    async def _send_transaction(self, params: list[Any]) -> object:
        (call,) = required_values(params, 1)
        if not isinstance(call, dict) or "from" not in call:
            raise invalid_params("a transaction with `from` was expected")
        has_key = str(call["from"]).lower() in (account.address for account in self._accounts)
        is_impersonated = not has_key and self._impersonation.impersonates(call["from"])
        sender = self._impersonation if is_impersonated else self._sender
        return await self._when_mined(await sender.send(call))

    def _makes_blocks(self) -> bool:
        return self._coordinator.mode is not BlockMode.MANUAL or self._coordinator.interval_seconds is not None

    async def _sign_transaction(self, params: list[Any]) -> object:
        (call,) = required_values(params, 1)
        return await self._sender.complete_and_sign(call)

    async def _send_raw_transaction(self, params: list[Any]) -> object:
        return await self._when_mined(await self._node.call("eth_sendRawTransaction", *params))

    async def _when_mined(self, hash_: object) -> object:
        """Return the hash once the transaction is in a block, where blocks are made on demand: scripts read the result at
        once. A transaction that waits for another one is not waited for."""
        with trio.move_on_after(MINED_SECONDS):
            while self._coordinator.mode is BlockMode.ON_DEMAND and self._coordinator.may_be_in_next_block(str(hash_)):
                await self._coordinator.next_attempt.wait()
        return hash_

    # -- blocks and time -----------------------------------------------------------------------------------------

    async def _evm_mine(self, params: list[Any]) -> object:
        value = params[0] if params else None
        # Anvil's form is an object, Hardhat's is a number.
        if isinstance(value, dict):
            blocks, timestamp = value.get("blocks"), value.get("timestamp")
            await self._coordinator.mine(
                1 if blocks is None else parse_quantity(blocks),
                1,
                None if timestamp is None else parse_quantity(timestamp),
            )
        else:
            await self._coordinator.mine(timestamp=None if value is None else parse_quantity(value))
        return "0x0"

    async def _hardhat_mine(self, params: list[Any]) -> object:
        count = parse_quantity(params[0]) if params and params[0] is not None else 1
        interval = parse_quantity(params[1]) if len(params) > 1 and params[1] is not None else 1
        await self._coordinator.mine(count, interval)
        return True

    async def _increase_time(self, params: list[Any]) -> object:
        (seconds,) = required_values(params, 1)
        return str(await self._coordinator.increase_time(parse_quantity(seconds)))

    async def _set_next_timestamp(self, params: list[Any]) -> object:
        (timestamp,) = required_values(params, 1)
        await self._coordinator.set_next_timestamp(parse_quantity(timestamp))
        return str(parse_quantity(timestamp))

    async def _get_automine(self, params: list[Any]) -> object:
        return self._coordinator.mode is BlockMode.ON_DEMAND

    async def _set_automine(self, params: list[Any]) -> object:
        (enabled,) = required_values(params, 1)
        if not isinstance(enabled, bool):
            raise invalid_params("true or false was expected")
        await self._coordinator.set_mode(BlockMode.ON_DEMAND if enabled else BlockMode.MANUAL)
        return True

    async def _set_interval(self, params: list[Any]) -> object:
        (milliseconds,) = required_values(params, 1)
        seconds = parse_quantity(milliseconds) / 1000
        if seconds == self._block_period:
            await self._coordinator.set_mode(BlockMode.PERIOD)
        elif seconds:
            await self._coordinator.set_mode(BlockMode.MANUAL, seconds)
        else:
            mode = self._coordinator.mode
            await self._coordinator.set_mode(BlockMode.MANUAL if mode is BlockMode.PERIOD else mode)
        return True

    # -- snapshots -----------------------------------------------------------------------------------------------

    async def _snapshot(self, params: list[Any]) -> object:
        return hex(await self._coordinator.snapshot())

    async def _revert(self, params: list[Any]) -> object:
        (id_,) = required_values(params, 1)
        return await self._coordinator.revert(parse_quantity(id_))

    async def _reset(self, params: list[Any]) -> object:
        if params and isinstance(params[0], dict) and params[0].get("forking"):
            raise RpcError(
                SERVER_ERROR, "no chain can be forked: without `forking`, the devnet goes back to its genesis"
            )
        await self._coordinator.reset()
        self._impersonation.stop_all()
        return True

    # -- pools ---------------------------------------------------------------------------------------------------

    async def _drop_transaction(self, params: list[Any]) -> object:
        (hash_,) = required_values(params, 1)
        digits = normalize_bytes(hash_)[2:]
        if await self._coordinator.drop_transactions({"hash": digits}):
            return True
        if await self._node.call("eth_getTransactionReceipt", hash_) is not None:
            raise RpcError(SERVER_ERROR, f"transaction {hash_} is in a block already")
        return False

    async def _drop_of_sender(self, params: list[Any]) -> object:
        (account,) = required_values(params, 1)
        await self._coordinator.drop_transactions({"sender": normalize_address(account)[2:]})
        return None

    async def _drop_all(self, params: list[Any]) -> object:
        await self._coordinator.drop_transactions({})
        return None

    # -- about this network --------------------------------------------------------------------------------------

    async def _client_version(self, params: list[Any]) -> object:
        return CLIENT_VERSION

    async def _metadata(self, params: list[Any]) -> object:
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        genesis = await self._node.call("eth_getBlockByNumber", "0x0", False)
        assert isinstance(block, dict)
        assert isinstance(genesis, dict)
        return {
            "clientVersion": CLIENT_VERSION,
            "chainId": self._chain_id,
            # Tools tell two networks apart by it.
            "instanceId": genesis["hash"],
            "latestBlockNumber": parse_quantity(block["number"]),
            "latestBlockHash": block["hash"],
        }

    async def _node_info(self, params: list[Any]) -> object:
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        assert isinstance(block, dict)
        return {
            "currentBlockNumber": block["number"],
            "currentBlockTimestamp": parse_quantity(block["timestamp"]),
            "currentBlockHash": block["hash"],
            "hardFork": self._fork_name,
            "transactionOrder": "fees",
            "environment": {
                "baseFee": block.get("baseFeePerGas", "0x0"),
                "chainId": self._chain_id,
                "gasLimit": parse_quantity(block["gasLimit"]),
                "gasPrice": await self._node.call("eth_gasPrice"),
            },
            "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
        }
