"""What the developer endpoint completes before it signs."""

from typing import Any, cast

import pytest
import trio

from lacnode.chainspec.genesis import parse_genesis
from lacnode.devnet.account_sender import AccountSender
from lacnode.devnet.account_signing import AccountSigner
from lacnode.devnet.accounts import mnemonic_accounts
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import RpcError

ACCOUNT = mnemonic_accounts()[0].address
SPEC = parse_genesis(devnet_genesis([bytes(20)], [], 1, 0, "prague"))


class FakeNode:
    """Answers what a transaction is completed with. `estimated` are the call objects of estimates."""

    def __init__(self) -> None:
        self.estimated: list[Any] = []

    async def call(self, method: str, *params: Any) -> object:
        await trio.lowlevel.checkpoint()
        if method == "eth_estimateGas":
            self.estimated += params
        return {"eth_getTransactionCount": "0x3", "eth_estimateGas": "0x9000", "eth_gasPrice": "0x0"}[method]


def sender(node: FakeNode | None = None) -> AccountSender:
    signer = AccountSigner(mnemonic_accounts(), SPEC.chain_id)
    return AccountSender(cast(RequestForwarder, node or FakeNode()), signer, SPEC)


@pytest.mark.parametrize("data", [{"data": "0x1234"}, {"input": "0x1234"}, {"data": "0x1234", "input": "0x1234"}])
async def test_both_names_of_the_data_are_signed(data: dict[str, object]) -> None:
    raw = await sender().complete_and_sign({"from": ACCOUNT, "to": ACCOUNT, **data})
    signed = Transaction.decode(from_hex(raw))
    assert (signed.data, signed.nonce, signed.gas_limit) == (b"\x12\x34", 3, 0x9000)


async def test_names_with_different_data_are_refused_even_where_nothing_is_estimated() -> None:
    with pytest.raises(RpcError, match="Invalid params") as refused:
        await sender().complete_and_sign({"from": ACCOUNT, "gas": "0x9000", "data": "0x12", "input": "0x13"})
    assert refused.value.data == "`data` and `input` differ"


async def test_what_is_estimated_is_what_is_signed() -> None:
    """The node takes the text of an amount for hexadecimal without 0x too, as Besu does."""
    node = FakeNode()
    raw = await sender(node).complete_and_sign(
        {"from": ACCOUNT, "to": ACCOUNT, "value": "100", "nonce": 5, "gasPrice": 0}
    )
    (estimated,) = node.estimated
    assert (estimated["value"], estimated["nonce"], estimated["gasPrice"]) == ("0x64", "0x5", "0x0")
    assert Transaction.decode(from_hex(raw)).value == 100
