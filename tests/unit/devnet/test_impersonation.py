"""Transactions of accounts without a key: which methods begin them, and what the administrator sends."""

from typing import Any, cast

import pytest
import trio

from lacnode.devnet.impersonation import MAX_IMPERSONATED, Impersonation
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.evm.state_administration import IMPERSONATION_ADDRESS, ImpersonatedCall, decode_impersonated_call
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.rpc.errors import RpcError

SENDER, TARGET, ADMINISTRATOR = ("0x" + byte * 20 for byte in ("b1", "c1", "d1"))
GAS_LIMIT = 1_000_000


class FakeNode:
    """Answers what an impersonation asks, and keeps what it sends."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def call(self, method: str, *params: Any) -> object:
        await trio.lowlevel.checkpoint()
        return {"eth_getTransactionCount": "0x3", "eth_getBlockByNumber": {"gasLimit": hex(GAS_LIMIT)}}[method]

    async def send(self, transaction: dict[str, Any]) -> object:
        await trio.lowlevel.checkpoint()
        self.sent.append(transaction)
        return "0x01"

    def order(self) -> ImpersonatedCall:
        """The call in the only transaction."""
        (transaction,) = self.sent
        assert transaction["from"] == ADMINISTRATOR
        assert transaction["to"] == to_hex(IMPERSONATION_ADDRESS)
        assert transaction["gasPrice"] == "0x0"
        return decode_impersonated_call(from_hex(transaction["data"]))


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def impersonation(node: FakeNode) -> Impersonation:
    return Impersonation(cast(RequestForwarder, node), ADMINISTRATOR, node.send)


async def call(impersonation: Impersonation, name: str, *params: object) -> object:
    return await impersonation.methods()[name](list(params))


async def test_an_account_is_impersonated_until_it_is_stopped(impersonation: Impersonation) -> None:
    assert not impersonation.impersonates(SENDER)
    assert await call(impersonation, "impersonateAccount", SENDER.upper().replace("0X", "0x")) is True
    assert impersonation.impersonates(SENDER)
    assert impersonation.accounts == (SENDER,)
    assert not impersonation.impersonates(TARGET)
    assert await call(impersonation, "stopImpersonatingAccount", SENDER) is True
    assert await call(impersonation, "stopImpersonatingAccount", SENDER) is False
    assert not impersonation.impersonates(SENDER)


async def test_all_accounts_are_impersonated_while_it_is_said(impersonation: Impersonation) -> None:
    await call(impersonation, "autoImpersonateAccount", True)
    assert impersonation.impersonates(SENDER)
    await call(impersonation, "autoImpersonateAccount", False)
    assert not impersonation.impersonates(SENDER)


@pytest.mark.parametrize("data", [{"data": "0x1234"}, {"input": "0x1234"}, {"data": "0x1234", "input": "0x1234"}])
async def test_the_administrator_makes_the_call(
    impersonation: Impersonation, node: FakeNode, data: dict[str, object]
) -> None:
    prices = {"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x9", "gasPrice": None}
    call_object = {"from": SENDER, "to": TARGET, "value": "0x5", **data, "nonce": "0x3", **prices}
    assert await impersonation.send(call_object) == "0x01"
    assert node.order() == ImpersonatedCall(address_from_hex(SENDER), address_from_hex(TARGET), 5, b"\x12\x34")
    assert "gas" not in node.sent[0]


async def test_the_gas_of_the_call_is_left_to_it_up_to_that_of_a_block(
    impersonation: Impersonation, node: FakeNode
) -> None:
    await impersonation.send({"from": SENDER, "to": TARGET, "gas": 50_000})
    assert 50_000 + 21_000 < int(node.sent[0]["gas"], 16) < 50_000 + 25_000
    await impersonation.send({"from": SENDER, "to": TARGET, "gas": hex(GAS_LIMIT)})
    assert int(node.sent[1]["gas"], 16) == GAS_LIMIT


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"to": None}, "creates no contract"),
        ({"nonce": "0x4"}, "the next nonce"),
        ({"to": "0x12"}, "Invalid params"),
        ({"value": "-1"}, "Invalid params"),
        ({"data": "0x1"}, "Invalid params"),
        ({"data": "0x12", "input": "0x13"}, "Invalid params"),
        ({"gas": "many"}, "Invalid params"),
    ],
)
async def test_what_cannot_be_sent_is_refused(
    impersonation: Impersonation, node: FakeNode, changed: dict[str, object], text: str
) -> None:
    with pytest.raises(RpcError, match=text):
        await impersonation.send({"from": SENDER, "to": TARGET, **changed})
    assert node.sent == []


async def test_a_devnet_without_administrator_says_so(node: FakeNode) -> None:
    without = Impersonation(cast(RequestForwarder, node), None, node.send)
    for name, value in (("impersonateAccount", SENDER), ("autoImpersonateAccount", True)):
        with pytest.raises(RpcError, match="names no administrator"):
            await call(without, name, value)
    assert await call(without, "stopImpersonatingAccount", SENDER) is False
    assert await call(without, "autoImpersonateAccount", False) is True


async def test_the_accounts_are_bounded(impersonation: Impersonation) -> None:
    for number in range(MAX_IMPERSONATED):
        await call(impersonation, "impersonateAccount", to_hex(number.to_bytes(20)))
    with pytest.raises(RpcError, match="impersonated already"):
        await call(impersonation, "impersonateAccount", SENDER)
