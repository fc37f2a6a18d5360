"""Which setters of Hardhat and Anvil a devnet follows, and what it says of the others."""

from typing import Any, cast

import pytest
import trio

from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.state_changes import StateChanger
from lacnode.devnet.state_setters import StateSetters
from lacnode.evm.state_administration import STATE_CHANGE_ADDRESS, AccountUpdate, decode_account_update
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.rpc.errors import RpcError

STRANGER, CONTRACT, ADMINISTRATOR = ("0x" + byte * 20 for byte in ("b1", "c1", "d1"))
CODE = "0x6001"


class FakeNode:
    """Balances, and a block for each transaction unless blocks have stopped."""

    def __init__(self) -> None:
        self.balances = {CONTRACT: 5}
        self.sent: list[AccountUpdate] = []
        self.administrator: str | None = ADMINISTRATOR
        self.makes_blocks = True
        self.status = "0x1"
        self.reason: str | None = None

    async def call(self, method: str, *params: Any) -> object:
        if method == "eth_getBalance":
            return hex(self.balances.get(params[0], 0))
        if method == "eth_getCode":
            return CODE if params[0] == CONTRACT else "0x"
        if method == "eth_getStorageAt":
            return to_hex(bytes(31) + b"\x07") if params[:2] == (CONTRACT, to_hex(bytes(31) + b"\x02")) else "0x0"
        if method == "eth_getTransactionCount":
            return "0x3"
        if method == "eth_getBlockByNumber":
            return {"baseFeePerGas": "0x0", "gasLimit": "0x100"}
        if method == "eth_call":
            if self.reason is not None:
                raise RpcError(-32000, self.reason)
            return "0x"
        assert method == "eth_getTransactionReceipt"
        return {"status": self.status}

    async def send(self, transaction: dict[str, Any]) -> object:
        await trio.lowlevel.checkpoint()
        assert transaction.keys() == {"from", "to", "data", "gas"}
        assert (transaction["from"], transaction["to"]) == (self.administrator, to_hex(STATE_CHANGE_ADDRESS))
        change = decode_account_update(from_hex(transaction["data"]))
        self.sent.append(change)
        if change.balance is not None:
            self.balances[to_hex(change.address)] = change.balance
        return "0x01"

    def setters(self) -> StateSetters:
        forwarder = cast(RequestForwarder, self)
        changes = StateChanger(forwarder, self.administrator, self.send, lambda: self.makes_blocks)
        return StateSetters(forwarder, changes, 1337)


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


async def call(node: FakeNode, method: str, *params: object) -> object:
    return await node.setters().methods()[method](list(params))


async def refusal(node: FakeNode, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as refused:
        await call(node, method, *params)
    return refused.value.code, refused.value.message


@pytest.mark.parametrize(
    ("name", "params", "values"),
    [
        ("setBalance", ("0x10",), {"balance": 16}),
        ("setBalance", (0,), {"balance": 0}),
        ("addBalance", ("0x2",), {"balance": 7}),
        ("setNonce", ("0x4",), {"nonce": 4}),
        ("setCode", ("0x60FF",), {"code": b"\x60\xff"}),
        ("setCode", ("0x",), {"code": b""}),
        ("setStorageAt", ("0x2", "0x" + "00" * 31 + "08"), {"storage": ((2, 8),)}),
        ("setStorageAt", ("0x" + "ff" * 32, "0x0100"), {"storage": ((2**256 - 1, 256),)}),
    ],
)
async def test_the_administrator_orders_what_was_asked(
    node: FakeNode, name: str, params: tuple[object, ...], values: dict[str, Any]
) -> None:
    assert await call(node, "hardhat_" + name, CONTRACT.upper().replace("0X", "0x"), *params) is True
    expected = AccountUpdate(address_from_hex(CONTRACT), **values)
    assert node.sent == [expected]
    node.balances[CONTRACT] = 5
    assert await call(node, "anvil_" + name, CONTRACT, *params) is True
    assert node.sent == [expected, expected]


async def test_two_amounts_at_once_are_both_added(node: FakeNode) -> None:
    method = node.setters().methods()["anvil_addBalance"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(method, [STRANGER, "0x5"])
        nursery.start_soon(method, [STRANGER, "0x6"])
    assert node.balances[STRANGER] == 11


async def test_more_than_a_balance_can_be_is_refused(node: FakeNode) -> None:
    assert "below 2**256" in (await refusal(node, "anvil_addBalance", CONTRACT, hex(2**256 - 5)))[1]
    assert node.sent == []


async def test_while_no_block_is_made_it_is_refused(node: FakeNode) -> None:
    node.makes_blocks = False
    code, text = await refusal(node, "hardhat_setBalance", STRANGER, "0x1")
    assert (code, "evm_setAutomine" in text, node.sent) == (-32000, True, [])


async def test_a_devnet_of_an_earlier_release_says_so(node: FakeNode) -> None:
    node.administrator = None
    assert "names no administrator" in (await refusal(node, "hardhat_setCode", STRANGER, CODE))[1]


async def test_what_the_chain_refuses_is_not_sent(node: FakeNode) -> None:
    node.reason = "set its code first"
    assert "set its code first" in (await refusal(node, "hardhat_setStorageAt", STRANGER, "0x0", "0x1"))[1]
    assert node.sent == []


async def test_a_transaction_that_fails_is_told(node: FakeNode) -> None:
    node.status = "0x0"
    assert "has failed" in (await refusal(node, "hardhat_setBalance", STRANGER, "0x1"))[1]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("hardhat_setNonce", (STRANGER, "0x3")),
        ("anvil_setCode", (CONTRACT, CODE)),
        ("anvil_setBalance", (CONTRACT, "0x5")),
        ("hardhat_setStorageAt", (CONTRACT, "0x2", "0x7")),
        ("hardhat_setNextBlockBaseFeePerGas", ("0x0",)),
        ("evm_setBlockGasLimit", ("0x100",)),
        ("anvil_setChainId", (1337,)),
    ],
)
async def test_what_holds_already_is_accepted(node: FakeNode, method: str, params: tuple[object, ...]) -> None:
    node.makes_blocks = False
    assert await call(node, method, *params) is True
    assert node.sent == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("hardhat_setNextBlockBaseFeePerGas", ("0x1",)),
        ("evm_setBlockGasLimit", ("0x101",)),
        ("anvil_setChainId", (1,)),
    ],
)
async def test_what_does_not_hold_is_refused(node: FakeNode, method: str, params: tuple[object, ...]) -> None:
    code, text = await refusal(node, method, *params)
    assert (code, text.startswith(f"{method} is not possible")) == (-32000, True)


@pytest.mark.parametrize(
    "params",
    [(), (STRANGER,), ("0x12", "0x1"), (STRANGER, "many"), (STRANGER, True), (STRANGER, -1), (None, 1), (STRANGER, [])],
)
@pytest.mark.parametrize(
    "method", ["hardhat_setBalance", "hardhat_setNonce", "anvil_addBalance", "hardhat_setStorageAt"]
)
async def test_wrong_parameters_are_told(node: FakeNode, method: str, params: tuple[object, ...]) -> None:
    assert (await refusal(node, method, *params))[0] == -32602


@pytest.mark.parametrize("code", ["0x6", "6x", None, 5, "0x60 01"])
async def test_code_that_is_none_is_told(node: FakeNode, code: object) -> None:
    assert (await refusal(node, "anvil_setCode", CONTRACT, code))[0] == -32602
