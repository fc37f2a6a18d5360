"""State, calls and estimates over JSON-RPC, on contracts that run."""

import pytest
from eth_abi.abi import encode as abi_encode

from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import EMPTY_KECCAK, keccak256
from lacnode.rpc.settings import ApiSettings
from tests.unit.rpc_chain import (
    CALLER_ADDRESS,
    CONTRACT_OWNER,
    ETHER,
    GAS_ADDRESS,
    GAS_LIMIT,
    INVALID_ADDRESS,
    LOGGER_ADDRESS,
    LONDON,
    POOR,
    RECIPIENT,
    REVERTER_ADDRESS,
    RICH,
    STORER,
    STORER_ADDRESS,
    Peerless,
    node,
    signed,
    typed,
)

INVALID = (-32602, "Invalid params")
NO_BLOCK = (-32000, "Block not found")
SLOT_1 = "0x" + "00" * 31 + "01"


@pytest.fixture(scope="module")
def at() -> Peerless:
    """Block 1 stores 7 in slot 0 of the storer."""
    made = node()
    made.send(signed(to=STORER_ADDRESS, data=b"\x07".rjust(32, b"\0"), value=0))
    made.grow()
    return made


def word(number: int) -> str:
    return to_hex(number.to_bytes(32))


class TestState:
    def test_of_accounts(self, at: Peerless) -> None:
        assert at.call("eth_getBalance", to_hex(RICH.address), "latest") == hex(1000 * ETHER)
        assert at.call("eth_getBalance", to_hex(POOR.address), "latest") == "0x0"
        assert at.call("eth_getCode", to_hex(STORER_ADDRESS), "latest") == to_hex(STORER)
        assert at.call("eth_getCode", to_hex(POOR.address), "latest") == "0x"
        assert at.call("eth_getTransactionCount", to_hex(RICH.address), "0x0") == "0x0"
        assert at.call("eth_getTransactionCount", to_hex(RICH.address), "0x1") == "0x1"

    @pytest.mark.parametrize("slot", ["0x0", "0x", "00", "0x" + "00" * 32, "0"])
    def test_of_slots_comes_as_32_bytes(self, at: Peerless, slot: str) -> None:
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), slot, "latest") == word(7)
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), slot, "earliest") == word(0)
        assert at.call("eth_getStorageAt", to_hex(POOR.address), slot, "latest") == word(0)

    @pytest.mark.parametrize("slot", ["0x" + "11" * 33, "0xzz", "-1", 0, None, "0_0"])
    def test_a_slot_is_hexadecimal(self, at: Peerless, slot: object) -> None:
        assert at.fails("eth_getStorageAt", to_hex(STORER_ADDRESS), slot, "latest") == INVALID

    @pytest.mark.parametrize("address", [RICH.address.hex(), "0X" + RICH.address.hex().upper()])
    def test_an_address_may_be_written_in_several_ways(self, at: Peerless, address: str) -> None:
        assert at.call("eth_getBalance", address, "latest") == hex(1000 * ETHER)

    def test_a_short_address_is_filled_up(self, at: Peerless) -> None:
        assert at.call("eth_getBalance", "0x1", "latest") == "0x0"

    @pytest.mark.parametrize("address", ["0x" + "11" * 21, "0xzz", 1, None, [], "hello", "0x-1"])
    def test_other_addresses_are_refused(self, at: Peerless, address: object) -> None:
        assert at.fails("eth_getBalance", address, "latest") == INVALID


class TestBlockParameter:
    """The form "number or hash", on one of the methods that have it."""

    def count(self, at: Peerless, block: object) -> object:
        return at.call("eth_getTransactionCount", to_hex(RICH.address), block)

    def test_takes_numbers_tags_and_hashes(self, at: Peerless) -> None:
        hash_ = to_hex(at.chain.head.hash)
        blocks: list[object] = ["latest", "Pending", "0x1", "1", 1, hash_, {"blockNumber": "0x1"}, {"blockNumber": 1}]
        blocks += [{"blockHash": hash_}, {"blockHash": hash_[2:]}, {"blockHash": hash_, "requireCanonical": True}]
        for block in blocks:
            assert self.count(at, block) == "0x1", block
        assert self.count(at, "earliest") == "0x0"

    @pytest.mark.parametrize(
        "block", ["0x2", 2, "0x" + "ab" * 32, {"blockNumber": "0x2"}, {"blockHash": "0x1234"}, "0xfffffffffffff"]
    )
    def test_says_so_when_there_is_no_such_block(self, at: Peerless, block: object) -> None:
        assert at.fails("eth_getTransactionCount", to_hex(RICH.address), block) == NO_BLOCK

    @pytest.mark.parametrize(
        "block",
        [
            None, "", "0x7fffffffffffffff", "x", -1, True, [], {}, {"blockHash": "0xzz"}, {"blockNumber": "-1"},
            {"blockNumber": "latest"}, {"blockHash": "0x" + "ab" * 32, "requireCanonical": "yes"}, "0x" + "ab" * 33,
            "ab" * 32,
        ],
    )  # fmt: skip
    def test_refuses_the_rest(self, at: Peerless, block: object) -> None:
        assert at.fails("eth_getTransactionCount", to_hex(RICH.address), block) == INVALID

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_getBalance", ["0x1"]),
            ("eth_getCode", ["0x1"]),
            ("eth_getTransactionCount", ["0x1"]),
            ("eth_getStorageAt", ["0x1", "0x0"]),
            ("eth_getProof", ["0x1", []]),
            ("eth_getBlockReceipts", []),
            ("eth_call", [{}]),
        ],
    )
    def test_is_required(self, at: Peerless, method: str, params: list[object]) -> None:
        assert at.fails(method, *params) == INVALID


class TestProof:
    def test_proves_an_account_and_its_slots(self, at: Peerless) -> None:
        shown = at.call("eth_getProof", to_hex(STORER_ADDRESS), ["0x0", "0x1"], "latest")
        assert isinstance(shown, dict)
        assert list(shown) == [
            "address", "balance", "codeHash", "nonce", "storageHash", "accountProof", "storageProof",
        ]  # fmt: skip
        assert shown["codeHash"] == to_hex(keccak256(STORER))
        first, second = shown["storageProof"]
        assert list(first) == ["key", "value", "proof"]
        assert (first["key"], first["value"]) == ("0x", "0x7")
        assert (second["key"], second["value"]) == ("0x01", "0x0")
        root = from_hex(str(shown["accountProof"][0]))
        assert keccak256(root) == at.chain.head.header.state_root
        assert to_hex(keccak256(from_hex(first["proof"][0]))) == shown["storageHash"]

    def test_of_an_account_without_code(self, at: Peerless) -> None:
        shown = at.call("eth_getProof", to_hex(RICH.address), [], "latest")
        assert isinstance(shown, dict)
        assert (shown["codeHash"], shown["nonce"], shown["storageProof"]) == (to_hex(EMPTY_KECCAK), "0x1", [])

    def test_there_is_none_of_nobody(self, at: Peerless) -> None:
        assert at.fails("eth_getProof", to_hex(POOR.address), [], "latest") == (-32000, "Account not found")

    @pytest.mark.parametrize("slots", ["0x0", [1], ["0x" + "11" * 33], None])
    def test_wants_a_list_of_slots(self, at: Peerless, slots: object) -> None:
        assert at.fails("eth_getProof", to_hex(RICH.address), slots, "latest") == INVALID


def call(to: bytes | None, **members: object) -> dict[str, object]:
    return {"to": None if to is None else to_hex(to), **members}


class TestCall:
    def test_gives_what_was_returned(self, at: Peerless) -> None:
        assert at.call("eth_call", call(RECIPIENT), "latest") == "0x"
        created = at.call("eth_call", call(None, data="0x600160005260206000f3"), "latest")
        assert created == word(1)

    def test_has_the_blocks_gas_unless_told_otherwise(self, at: Peerless) -> None:
        def left(**members: object) -> int:
            return int(str(at.call("eth_call", call(GAS_ADDRESS, **members), "latest")), 16)

        everything = at.chain.head.header.gas_limit - 21_000 - 2
        assert left() == everything
        assert left(gas="0x7530") == left(gas=30_000) == 30_000 - 21_000 - 2

    def test_is_capped_by_the_operator(self) -> None:
        capped = node(api=ApiSettings(gas_cap=50_000))
        left = capped.call("eth_call", call(GAS_ADDRESS, gas=hex(GAS_LIMIT)), "latest")
        assert int(str(left), 16) == 50_000 - 21_000 - 2

    def test_has_at_most_what_besu_can_count(self) -> None:
        free = node(api=ApiSettings(gas_cap=0))
        for gas in ("0x8000000000000000", "0xffffffffffffffff", hex(2**256 - 1)):
            left = free.call("eth_call", call(GAS_ADDRESS, gas=gas), "latest")
            assert int(str(left), 16) == 2**63 - 1 - 21_000 - 2

    def test_with_no_gas_cannot_begin(self, at: Peerless) -> None:
        assert at.fails("eth_call", call(RECIPIENT, gas="0x0"), "latest") == (-32003, "Intrinsic gas exceeds gas limit")

    def test_costs_nothing_unless_it_names_a_price(self, at: Peerless) -> None:
        poor = to_hex(POOR.address)
        broke = (-32004, "Upfront cost exceeds account balance")
        assert at.call("eth_call", call(RECIPIENT, **{"from": poor}), "latest") == "0x"
        assert at.call("eth_call", call(RECIPIENT, **{"from": poor, "gasPrice": "0x0"}), "latest") == "0x"
        assert at.fails("eth_call", call(RECIPIENT, **{"from": poor, "gasPrice": "0x1"}), "latest") == broke
        lenient = call(RECIPIENT, **{"from": poor, "gasPrice": "0x1", "strict": False})
        assert at.call("eth_call", lenient, "latest") == "0x"

    def test_must_own_the_value_in_any_case(self, at: Peerless) -> None:
        broke = (-32004, "Upfront cost exceeds account balance")
        assert at.fails("eth_call", call(RECIPIENT, value="0x1"), "latest") == broke
        assert at.fails("eth_call", call(RECIPIENT, value="0x1", strict=False), "latest") == broke
        rich = call(RECIPIENT, **{"from": to_hex(RICH.address), "value": "0x1"})
        assert at.call("eth_call", rich, "latest") == "0x"

    def test_may_come_from_a_contract(self, at: Peerless) -> None:
        assert at.call("eth_call", call(RECIPIENT, **{"from": to_hex(CONTRACT_OWNER.address)}), "latest") == "0x"

    def test_reads_amounts_as_hexadecimal_with_or_without_0x(self, at: Peerless) -> None:
        rich = to_hex(RICH.address)
        too_much = format(1001 * ETHER, "x")
        assert at.fails("eth_call", call(RECIPIENT, **{"from": rich, "value": too_much}), "latest")[0] == -32004

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"", "Execution reverted"),
            (b"\x01\x02", "Execution reverted"),
            (bytes.fromhex("08c379a0") + abi_encode(["string"], ["not today"]), "Execution reverted: not today"),
            (bytes.fromhex("08c379a0") + b"\xff" * 40, "Execution reverted: ABI decode error"),
            (bytes.fromhex("08c379a0"), "Execution reverted: ABI decode error"),
            (bytes.fromhex("4e487b71") + (17).to_bytes(32), "Execution reverted"),
        ],
    )
    def test_that_reverts_gives_its_reason(self, at: Peerless, text: bytes, message: str) -> None:
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            error = at.error(method, call(REVERTER_ADDRESS, data=to_hex(text)), "latest")
            assert (error.code, error.message, error.data) == (-32000, message, to_hex(text)), method

    def test_that_fails_otherwise_does_not(self, at: Peerless) -> None:
        assert at.fails("eth_call", call(INVALID_ADDRESS), "latest") == (-32603, "Internal error")
        assert at.fails("eth_estimateGas", call(INVALID_ADDRESS)) == (-32603, "Internal error")

    def test_sees_the_state_of_its_block(self, at: Peerless) -> None:
        code = "0x" + "60" + "00" + "54" + "60005260206000f3"
        assert at.call("eth_call", call(None, data=code), "latest") == word(0)
        assert at.fails("eth_call", call(STORER_ADDRESS), "0x9") == NO_BLOCK

    def test_that_takes_too_long_ends(self) -> None:
        slow = node(api=ApiSettings(call_seconds=0.0))
        loop = "0x5b600056"
        assert slow.fails("eth_call", call(None, data=loop), "latest") == (-32603, "Timeout expired")
        assert slow.fails("eth_estimateGas", call(None, data=loop)) == (-32603, "Timeout expired")

    @pytest.mark.parametrize(
        "members",
        [
            {"data": "0x", "input": "0x"},
            {"gasPrice": "0x1", "maxFeePerGas": "0x1"},
            {"gasPrice": "0x0", "maxPriorityFeePerGas": "0x0"},
            {"strict": "true"},
            {"data": "0x1"},
            {"data": "0xzz"},
            {"value": "0x" + "1" * 65},
            {"value": "-1"},
            {"value": -1},
            {"gas": "0x1" + "0" * 64},
            {"gas": "1_0"},
            {"from": "0x" + "11" * 21},
            {"accessList": {}},
            {"accessList": [{"address": "0x1"}]},
            {"accessList": [{"address": None, "storageKeys": []}]},
            {"accessList": [{"address": "0x1", "storageKeys": ["0x1"]}]},
        ],
    )
    def test_that_is_malformed_is_refused(self, at: Peerless, members: dict[str, object]) -> None:
        for method in ("eth_call", "eth_estimateGas"):
            assert at.fails(method, call(RECIPIENT, **members), "latest") == INVALID

    @pytest.mark.parametrize("given", [None, [], "0x", 1])
    def test_is_an_object(self, at: Peerless, given: object) -> None:
        assert at.fails("eth_call", given, "latest") == INVALID

    def test_ignores_other_members(self, at: Peerless) -> None:
        shown = at.call("eth_call", call(RECIPIENT, nonce="x", type=9, chainId=[], input="0x"), "latest")
        assert shown == "0x"

    def test_under_london_is_free_of_the_base_fee(self) -> None:
        london = node(forks=LONDON)
        poor = to_hex(POOR.address)
        assert london.call("eth_call", call(RECIPIENT, **{"from": poor}), "latest") == "0x"
        assert london.fails("eth_call", call(RECIPIENT, **{"from": poor, "maxFeePerGas": hex(10**10)}), "latest") == (
            -32004,
            "Upfront cost exceeds account balance",
        )
        assert london.call("eth_estimateGas", call(RECIPIENT, **{"from": poor})) == hex(21_000)


class TestEstimate:
    def estimate(self, at: Peerless, **members: object) -> int:
        return int(str(at.call("eth_estimateGas", members)), 16)

    def test_of_a_transfer_is_exact(self, at: Peerless) -> None:
        assert self.estimate(at, to=to_hex(RECIPIENT)) == 21_000
        assert self.estimate(at, to=to_hex(RECIPIENT), gas="0x1") == 21_000, "the gas given is not looked at"

    def test_looks_at_the_head_whatever_block_is_named(self, at: Peerless) -> None:
        assert at.call("eth_estimateGas", call(RECIPIENT), "0x99") == hex(21_000)

    def test_suffices_for_what_stores_and_a_hair_less_does_not(self, at: Peerless) -> None:
        """EIP-2200 wants 2300 left when storage is written, so what was used is not enough."""
        members = {"to": to_hex(STORER_ADDRESS), "data": word(9)}
        gas = self.estimate(at, **members)
        assert at.call("eth_call", {**members, "gas": hex(gas)}, "latest") == "0x"
        assert at.fails("eth_call", {**members, "gas": hex(gas - 1)}, "latest") == (-32603, "Internal error")

    def test_suffices_for_what_calls_another(self, at: Peerless) -> None:
        members = {"to": to_hex(CALLER_ADDRESS)}
        gas = self.estimate(at, **members)
        assert at.call("eth_call", {**members, "gas": hex(gas)}, "latest") == "0x"
        assert at.fails("eth_call", {**members, "gas": hex(gas - 1)}, "latest")[0] in (-32000, -32603)

    def test_of_a_creation_is_what_it_takes(self, at: Peerless) -> None:
        gas = self.estimate(at, data="0x600160005260206000f3")
        at.send(signed(nonce=1, to=None, gas=gas, data=bytes.fromhex("600160005260206000f3")))
        receipt = at.call("eth_getTransactionReceipt", to_hex(at.grow().transactions[0].hash))
        assert isinstance(receipt, dict)
        assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(gas))

    def test_lets_the_sender_be_poor_unless_it_is_strict(self, at: Peerless) -> None:
        poor = {"from": to_hex(POOR.address), "to": to_hex(RECIPIENT), "gasPrice": "0x1"}
        assert at.call("eth_estimateGas", poor) == hex(21_000)
        assert at.fails("eth_estimateGas", {**poor, "strict": True})[0] == -32004


class TestAccessList:
    def test_names_the_slots_that_are_touched(self, at: Peerless) -> None:
        shown = at.call("eth_createAccessList", call(STORER_ADDRESS, data=word(9)))
        assert isinstance(shown, dict)
        assert list(shown) == ["accessList", "gasUsed"]
        assert shown["accessList"] == [{"address": to_hex(STORER_ADDRESS), "storageKeys": [word(0)]}]
        at.send(
            typed(
                nonce=at.chain.state_at(at.chain.head.header).nonce(RICH.address),
                gas=int(str(shown["gasUsed"]), 16),
                to=STORER_ADDRESS,
                data=(9).to_bytes(32),
                access_list=[(STORER_ADDRESS, (bytes(32),))],
            )
        )
        receipt = at.call("eth_getTransactionReceipt", to_hex(at.grow().transactions[0].hash))
        assert isinstance(receipt, dict)
        assert receipt["status"] == "0x1"

    def test_is_empty_where_no_slot_is(self, at: Peerless) -> None:
        assert at.call("eth_createAccessList", call(LOGGER_ADDRESS, gas="0x1"))["accessList"] == []  # type: ignore[index]
        assert at.call("eth_createAccessList", call(RECIPIENT)) == {"accessList": [], "gasUsed": hex(21_000)}
