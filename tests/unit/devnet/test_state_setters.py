"""Which setters of Hardhat and Anvil a devnet follows, and what it says of the others."""

from typing import Any, cast

import pytest
import trio

from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.balance_setting import BalanceSetting
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.state_setters import StateSetters
from lacnode.rpc.errors import RpcError

FIRST, LAST, STRANGER, CONTRACT = ("0x" + byte * 20 for byte in ("a1", "a2", "b1", "c1"))
ACCOUNTS = [DevnetAccount(address, "0x" + "01" * 32) for address in (FIRST, LAST)]
RICH = 1000


class FakeNode:
    """Balances, and a block for each transaction unless blocks have stopped."""

    def __init__(self) -> None:
        self.balances = {FIRST: RICH, LAST: RICH, CONTRACT: 5}
        self.sent: list[dict[str, Any]] = []
        self.makes_blocks = True
        self.status = "0x1"

    async def call(self, method: str, *params: Any) -> object:
        if method == "eth_getBalance":
            return hex(self.balances.get(params[0], 0))
        if method == "eth_getCode":
            return "0x6001" if params[0] == CONTRACT else "0x"
        if method == "eth_getTransactionCount":
            return "0x3"
        if method == "eth_getBlockByNumber":
            return {"baseFeePerGas": "0x0", "gasLimit": "0x100"}
        assert method == "eth_getTransactionReceipt"
        return {"status": self.status}

    async def send(self, transaction: dict[str, Any]) -> object:
        await trio.lowlevel.checkpoint()
        self.sent.append(transaction)
        value = int(transaction["value"], 16)
        to = transaction.get("to") or "0x" + transaction["data"][4:44]
        if self.status == "0x1":
            self.balances[transaction["from"]] -= value
            self.balances[to] = self.balances.get(to, 0) + value
        return "0x01"


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


async def call(node: FakeNode, method: str, *params: object) -> object:
    forwarder = cast(RequestForwarder, node)
    balances = BalanceSetting(forwarder, ACCOUNTS, node.send, lambda: node.makes_blocks)
    return await StateSetters(forwarder, ACCOUNTS, balances, 1337).methods()[method](list(params))


async def refusal(node: FakeNode, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as refused:
        await call(node, method, *params)
    return refused.value.code, refused.value.message


@pytest.mark.parametrize("method", ["hardhat_setBalance", "anvil_setBalance"])
async def test_the_last_account_sends_what_is_missing(node: FakeNode, method: str) -> None:
    node.balances[STRANGER] = 1
    assert await call(node, method, STRANGER.upper().replace("0X", "0x"), "0x10") is True
    assert node.balances[STRANGER] == 16
    assert node.sent == [{"from": LAST, "to": STRANGER, "value": hex(15)}]


async def test_a_contract_gets_ether_without_being_called(node: FakeNode) -> None:
    assert await call(node, "hardhat_setBalance", CONTRACT, 9) is True
    assert node.sent == [{"from": LAST, "value": "0x4", "data": "0x73" + CONTRACT[2:] + "ff"}]


async def test_a_balance_falls_where_the_devnet_has_the_key(node: FakeNode) -> None:
    assert await call(node, "hardhat_setBalance", LAST, "0x0") is True
    assert node.sent == [{"from": LAST, "to": FIRST, "value": hex(RICH)}]
    code, text = await refusal(node, "hardhat_setBalance", CONTRACT, "0x1")
    assert (code, "only the key of an account" in text) == (-32000, True)


async def test_a_balance_that_is_right_needs_no_transaction(node: FakeNode) -> None:
    node.makes_blocks = False
    assert await call(node, "anvil_setBalance", CONTRACT, "0x5") is True
    assert node.sent == []


async def test_an_amount_is_added(node: FakeNode) -> None:
    assert await call(node, "anvil_addBalance", STRANGER, hex(7)) is True
    assert await call(node, "anvil_addBalance", STRANGER, "0x0") is True
    assert node.balances[STRANGER] == 7


async def test_two_calls_at_once_send_once(node: FakeNode) -> None:
    forwarder = cast(RequestForwarder, node)
    balances = BalanceSetting(forwarder, ACCOUNTS, node.send, lambda: True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(balances.set_balance, STRANGER, 50)
        nursery.start_soon(balances.set_balance, STRANGER, 50)
    assert len(node.sent) == 1


async def test_more_than_an_account_has_is_refused(node: FakeNode) -> None:
    code, text = await refusal(node, "hardhat_setBalance", STRANGER, hex(2**256 - 1))
    assert (code, "more than an account of this devnet has (1000)" in text) == (-32000, True)
    assert node.sent == []


async def test_while_no_block_is_made_it_is_refused(node: FakeNode) -> None:
    node.makes_blocks = False
    code, text = await refusal(node, "hardhat_setBalance", STRANGER, "0x1")
    assert (code, "evm_setAutomine" in text, node.sent) == (-32000, True, [])


async def test_a_transaction_that_fails_is_told(node: FakeNode) -> None:
    node.status = "0x0"
    assert "has failed" in (await refusal(node, "hardhat_setBalance", STRANGER, "0x1"))[1]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("hardhat_setNonce", (STRANGER, "0x3")),
        ("anvil_setCode", (CONTRACT, "0x6001")),
        ("hardhat_setNextBlockBaseFeePerGas", ("0x0",)),
        ("evm_setBlockGasLimit", ("0x100",)),
        ("anvil_setChainId", (1337,)),
        ("hardhat_impersonateAccount", (FIRST,)),
        ("anvil_stopImpersonatingAccount", (STRANGER,)),
        ("anvil_autoImpersonateAccount", (False,)),
    ],
)
async def test_what_holds_already_is_accepted(node: FakeNode, method: str, params: tuple[object, ...]) -> None:
    assert await call(node, method, *params) is True


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("hardhat_setNonce", (STRANGER, "0x4")),
        ("anvil_setCode", (STRANGER, "0x6001")),
        ("hardhat_setNextBlockBaseFeePerGas", ("0x1",)),
        ("evm_setBlockGasLimit", ("0x101",)),
        ("anvil_setChainId", (1,)),
        ("hardhat_impersonateAccount", (STRANGER,)),
        ("anvil_autoImpersonateAccount", (True,)),
        ("hardhat_setStorageAt", (CONTRACT, "0x0", "0x1")),
    ],
)
async def test_what_does_not_hold_is_refused(node: FakeNode, method: str, params: tuple[object, ...]) -> None:
    code, text = await refusal(node, method, *params)
    assert (code, text.startswith(f"{method} is not possible")) == (-32000, True)


@pytest.mark.parametrize(
    "params",
    [(), (STRANGER,), ("0x12", "0x1"), (STRANGER, "many"), (STRANGER, True), (STRANGER, -1), (None, 1), (STRANGER, [])],
)
@pytest.mark.parametrize("method", ["hardhat_setBalance", "hardhat_setNonce", "anvil_addBalance"])
async def test_wrong_parameters_are_told(node: FakeNode, method: str, params: tuple[object, ...]) -> None:
    assert (await refusal(node, method, *params))[0] == -32602
