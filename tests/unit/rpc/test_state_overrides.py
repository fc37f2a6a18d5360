"""State overrides of calls: accounts as a caller imagines them."""

import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.settings import ApiSettings
from tests.support.rpc_chain import POOR, RECIPIENT, STORER, STORER_ADDRESS, RpcTestNode, node, signed

INVALID_CALL = (-32602, "Invalid call params")


@pytest.fixture(scope="module")
def at() -> RpcTestNode:
    """Block 1 stores 7 in slot 0 of the storer."""
    made = node()
    made.send(signed(to=STORER_ADDRESS, data=(7).to_bytes(32), value=0))
    made.grow()
    return made


def word(number: int) -> str:
    return to_hex(number.to_bytes(32))


def call(to: bytes, **members: object) -> dict[str, object]:
    return {"to": to_hex(to), **members}


def slots(count: int) -> dict[str, str]:
    return {hex(slot): "0x1" for slot in range(count)}


class TestOverrides:
    """Besu's state overrides, from 24.12 on."""

    TELLER = "0x" + "60003560005260206000f3"
    BALANCE_OF_SELF = "0x4760005260206000f3"
    SLOT_TELLER = "0x60003554" + "60005260206000f3"

    def ask(self, at: RpcTestNode, overrides: object, to: bytes = POOR.address, **members: object) -> object:
        return at.call("eth_call", call(to, **members), "latest", overrides)

    def test_give_an_account_code_balance_and_nonce(self, at: RpcTestNode) -> None:
        poor = to_hex(POOR.address)
        assert self.ask(at, {poor: {"code": "0x602a60005260206000f3"}}) == word(42)
        assert self.ask(at, {poor: {"code": self.BALANCE_OF_SELF, "balance": "0x5"}}) == word(5)
        assert self.ask(at, {poor: {"balance": "0xffff"}}, RECIPIENT, **{"from": poor, "value": "0x5"}) == "0x"
        spent = {"from": poor, "nonce": "0x1"}
        assert self.ask(at, {poor: {"nonce": "0x1"}}, RECIPIENT, **spent) == "0x"
        assert at.fails("eth_call", call(RECIPIENT, **spent), "latest", {poor: {"nonce": 88}})[0] == -32001

    def test_change_slots_or_replace_them_all(self, at: RpcTestNode) -> None:
        storer, teller = to_hex(STORER_ADDRESS), {"code": self.SLOT_TELLER}

        def slots(override: dict[str, object]) -> list[object]:
            told = {storer: {**teller, **override}}
            return [self.ask(at, told, STORER_ADDRESS, data=word(slot)) for slot in (0, 1)]

        assert slots({}) == [word(7), word(0)]
        assert slots({"stateDiff": {"0x1": "0x5"}}) == [word(7), word(5)]
        assert slots({"stateDiff": {word(0): word(0)}}) == [word(0), word(0)]
        assert slots({"state": {"0x1": "0x5"}}) == [word(0), word(5)]
        assert slots({"state": {}}) == [word(0), word(0)]

    def test_change_nothing_for_good(self, at: RpcTestNode) -> None:
        root = at.chain.head.header.state_root
        everything = {"code": self.TELLER, "balance": "0x5", "nonce": "0x5", "state": {"0x0": "0x5"}}
        for _ in range(2):
            self.ask(at, {to_hex(POOR.address): everything, to_hex(STORER_ADDRESS): everything})
        assert at.call("eth_getBalance", to_hex(POOR.address), "latest") == "0x0"
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), "0x0", "latest") == word(7)
        assert at.call("eth_getCode", to_hex(STORER_ADDRESS), "latest") == to_hex(STORER)
        assert at.grow().header.state_root == root

    def test_count_for_estimates_and_access_lists(self, at: RpcTestNode) -> None:
        told = {to_hex(POOR.address): {"code": self.SLOT_TELLER}}
        plain = at.call("eth_estimateGas", call(POOR.address, data=word(3)), "latest")
        assert at.call("eth_estimateGas", call(POOR.address, data=word(3)), "latest", told) != plain
        shown = at.call("eth_createAccessList", call(POOR.address, data=word(3)), "latest", told)
        assert isinstance(shown, dict)
        assert shown["accessList"] == [{"address": to_hex(POOR.address), "storageKeys": [word(3)]}]

    def test_move_a_precompile(self, at: RpcTestNode) -> None:
        identity, elsewhere = bytes(19) + b"\x04", b"\xab" * 20
        told = {"0x4": {"code": "0x602a60005260206000f3", "movePrecompileToAddress": to_hex(elsewhere)}}
        assert self.ask(at, None, identity, data="0x1234") == "0x1234"
        assert self.ask(at, told, elsewhere, data="0x1234") == "0x1234"
        assert self.ask(at, told, identity, data="0x1234") == word(42)
        assert self.ask(at, {"0x4": {"movePrecompileToAddress": None}}, identity, data="0x1234") == "0x1234"
        for source, target in ((POOR.address, elsewhere), (identity, bytes(19) + b"\x01")):
            wrong = {to_hex(source): {"movePrecompileToAddress": to_hex(target)}}
            assert at.fails("eth_call", call(RECIPIENT), "latest", wrong) == INVALID_CALL

    @pytest.mark.parametrize(
        "override",
        [
            None, [], "0x", {"balance": "x"}, {"balance": "0x1" + "00" * 32}, {"nonce": hex(2**64)}, {"nonce": -1},
            {"code": 1}, {"code": "0xzz"}, {"code": "0x1"}, {"state": []}, {"state": {"0x0": 1}}, {"state": {"x": "0x1"}},
            {"stateDiff": {"0x0": "0x1" + "00" * 32}}, {"state": {}, "stateDiff": {}},
            {"movePrecompileToAddress": "0xzz"},
        ],
    )  # fmt: skip
    def test_of_a_wrong_shape_are_refused(self, at: RpcTestNode, override: object) -> None:
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            wrong = {to_hex(POOR.address): override}
            assert at.fails(method, call(RECIPIENT), "latest", wrong) == INVALID_CALL

    @pytest.mark.parametrize("overrides", [[], "0x", 1, {"0xzz": {}}, {"0x" + "11" * 21: {}}])
    def test_are_an_object_of_addresses(self, at: RpcTestNode, overrides: object) -> None:
        assert at.fails("eth_call", call(RECIPIENT), "latest", overrides) == INVALID_CALL

    def test_may_be_empty_or_have_members_that_mean_nothing(self, at: RpcTestNode) -> None:
        poor = POOR.address.hex()
        nothing: list[object] = [None, {}, {poor: {}}, {poor: {"comment": 1, "balance": None, "state": None}}]
        for none in nothing:
            assert self.ask(at, none) == "0x"

    @pytest.mark.parametrize(
        "overrides",
        [
            {hex(account): {} for account in range(1_001)},
            {"0x1": {"state": slots(5_001)}, "0x2": {"stateDiff": slots(5_000)}},
            {"0x1": {"code": "0x" + "00" * 2**19}, "0x2": {"code": "0x" + "00" * (2**19 + 1)}},
        ],
        ids=["accounts", "slots", "code"],
    )
    def test_have_a_bound(self, at: RpcTestNode, overrides: object) -> None:
        assert at.fails("eth_call", call(RECIPIENT), "latest", overrides)[0] == -32005

    def test_count_in_the_time_of_the_call(self) -> None:
        slow = node(api=ApiSettings(call_seconds=0.0))
        told = {to_hex(POOR.address): {"state": slots(1)}}
        assert slow.fails("eth_call", call(RECIPIENT), "latest", told) == (-32603, "Timeout expired")
