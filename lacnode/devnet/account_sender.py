"""Completes, signs and sends transactions of accounts whose keys the devnet has. Must not know who may use which key."""

from typing import Any

import trio

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.devnet.account_signing import QUANTITIES, AccountSigner, UnknownAccountError
from lacnode.devnet.call_values import parse_quantity, transaction_data
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import parameters
from lacnode.rpc.errors import SERVER_ERROR, RpcError, invalid_params


class AccountSender:
    """Signs with the keys of `signer` and sends to `node`, whose chain is that of `spec`."""

    def __init__(self, node: RequestForwarder, signer: AccountSigner, spec: ChainSpec) -> None:
        self._node = node
        self._signer = signer
        self._chain_id = spec.chain_id
        self._has_fee_market = spec.forks.fork_at(0, spec.genesis.timestamp) >= Fork.LONDON
        # A nonce is read and used in two calls. Two transactions at once must not get the same one.
        self._sending = trio.Lock()

    async def send(self, call: object) -> object:
        """Send the transaction of a call object with `from`. Missing fields are filled in. Return what the node
        answers: the hash as text with 0x. It does not wait for a block. RpcError if `from` is missing or no account of
        `signer`, or if the node refuses or does not answer. RpcError, ValueError, KeyError or TypeError if a value is
        malformed."""
        async with self._sending:
            return await self._node.call("eth_sendRawTransaction", await self.complete_and_sign(call))

    async def complete_and_sign(self, call: object) -> str:
        """Return the signed transaction of a call object with `from`, as hexadecimal text with 0x. Missing fields are
        filled in, for which the node is asked. Nothing is sent. RpcError if `from` is missing or no account of
        `signer`, or if the node refuses or does not answer. RpcError, ValueError, KeyError or TypeError if a value is
        malformed."""
        if not isinstance(call, dict) or "from" not in call:
            raise invalid_params("a transaction with `from` was expected")
        try:
            self._signer.key(str(call["from"]))
            return self._signer.sign_transaction(await self._completed(call))
        except UnknownAccountError as error:
            raise RpcError(SERVER_ERROR, str(error)) from None

    async def _completed(self, call: dict[str, Any]) -> dict[str, Any]:
        """Return the call object with everything that a signature covers."""
        chain_id = call.get("chainId")
        if chain_id is not None and parse_quantity(chain_id) != self._chain_id:
            raise invalid_params(f"the chain id is {self._chain_id}")
        # One name for the data, so that what is signed is what was estimated.
        filled = {name: value for name, value in call.items() if value is not None and name != "input"}
        filled["data"] = to_hex(transaction_data(call))
        # In one form too: the node takes the text of an amount for hexadecimal without 0x too, as Besu does.
        filled |= {name: hex(parameters.parse_quantity(filled[name], name)) for name in QUANTITIES if name in filled}
        if "nonce" not in filled:
            filled["nonce"] = await self._node.call("eth_getTransactionCount", call["from"], "pending")
        if "gas" not in filled:
            filled["gas"] = await self._node.call("eth_estimateGas", filled)
        has_price = {"gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"} & filled.keys()
        if not has_price and self._has_fee_market:
            price = await self._node.call("eth_gasPrice")
            filled |= {"maxFeePerGas": price, "maxPriorityFeePerGas": "0x0"}
        elif not has_price:
            filled["gasPrice"] = await self._node.call("eth_gasPrice")
        elif "maxPriorityFeePerGas" in filled:
            filled.setdefault("maxFeePerGas", filled["maxPriorityFeePerGas"])
        return filled
