"""State, calls and estimates over JSON-RPC, on contracts that run."""

import pytest
from eth_abi.abi import encode as abi_encode

from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import EMPTY_KECCAK, keccak256
from lacnode.rpc.errors import RpcError
from lacnode.rpc.settings import ApiSettings
from tests.support.rpc_chain import (
    CALLER_ADDRESS,
    CHAIN_ID,
    CONTRACT_OWNER,
    ETHER,
    GAS_ADDRESS,
    GAS_LIMIT,
    LOGGER_ADDRESS,
    LONDON,
    POOR,
    RECIPIENT,
    REVERTER_ADDRESS,
    RICH,
    STORER,
    STORER_ADDRESS,
    RpcTestNode,
    node,
    signed,
    typed,
)

INVALID_CODE = -32602
INVALID_CALL = (-32602, "Invalid call params")
INVALID_BLOCK = (-32602, "Invalid block param (block not found)")
NO_BLOCK = (-32000, "Block not found")
SLOT_1 = "0x" + "00" * 31 + "01"


@pytest.fixture(scope="module")
def at() -> RpcTestNode:
    """Block 1 stores 7 in slot 0 of the storer."""
    made = node()
    made.send(signed(to=STORER_ADDRESS, data=b"\x07".rjust(32, b"\0"), value=0))
    made.grow()
    return made


def word(number: int) -> str:
    return to_hex(number.to_bytes(32))


class TestState:
    def test_of_accounts(self, at: RpcTestNode) -> None:
        assert at.call("eth_getBalance", to_hex(RICH.address), "latest") == hex(1000 * ETHER)
        assert at.call("eth_getBalance", to_hex(POOR.address), "latest") == "0x0"
        assert at.call("eth_getCode", to_hex(STORER_ADDRESS), "latest") == to_hex(STORER)
        assert at.call("eth_getCode", to_hex(POOR.address), "latest") == "0x"
        assert at.call("eth_getTransactionCount", to_hex(RICH.address), "0x0") == "0x0"
        assert at.call("eth_getTransactionCount", to_hex(RICH.address), "0x1") == "0x1"

    @pytest.mark.parametrize("slot", ["0x0", "0x", "00", "0x" + "00" * 32, "0"])
    def test_of_slots_comes_as_32_bytes(self, at: RpcTestNode, slot: str) -> None:
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), slot, "latest") == word(7)
        assert at.call("eth_getStorageAt", to_hex(STORER_ADDRESS), slot, "earliest") == word(0)
        assert at.call("eth_getStorageAt", to_hex(POOR.address), slot, "latest") == word(0)

    @pytest.mark.parametrize("slot", ["0x" + "11" * 33, "0xzz", "-1", 0, None, "0_0"])
    def test_a_slot_is_hexadecimal(self, at: RpcTestNode, slot: object) -> None:
        assert at.fails("eth_getStorageAt", to_hex(STORER_ADDRESS), slot, "latest")[0] == INVALID_CODE

    @pytest.mark.parametrize("address", [RICH.address.hex(), "0X" + RICH.address.hex().upper()])
    def test_an_address_may_be_written_in_several_ways(self, at: RpcTestNode, address: str) -> None:
        assert at.call("eth_getBalance", address, "latest") == hex(1000 * ETHER)

    def test_a_short_address_is_filled_up(self, at: RpcTestNode) -> None:
        assert at.call("eth_getBalance", "0x1", "latest") == "0x0"

    @pytest.mark.parametrize("address", ["0x" + "11" * 21, "0xzz", 1, None, [], "hello", "0x-1"])
    def test_other_addresses_are_refused(self, at: RpcTestNode, address: object) -> None:
        assert at.fails("eth_getBalance", address, "latest")[0] == INVALID_CODE


class TestBlockParameter:
    """The form "number or hash", on one of the methods that have it."""

    def count(self, at: RpcTestNode, block: object) -> object:
        return at.call("eth_getTransactionCount", to_hex(RICH.address), block)

    def test_takes_numbers_tags_and_hashes(self, at: RpcTestNode) -> None:
        hash_ = to_hex(at.chain.head.hash)
        blocks: list[object] = ["latest", "Pending", "0x1", "1", 1, hash_, {"blockNumber": "0x1"}, {"blockNumber": 1}]
        blocks += [{"blockHash": hash_}, {"blockHash": hash_[2:]}, {"blockHash": hash_, "requireCanonical": True}]
        for block in blocks:
            assert self.count(at, block) == "0x1", block
        assert self.count(at, "earliest") == "0x0"

    @pytest.mark.parametrize(
        "block", ["0x2", 2, "0x" + "ab" * 32, {"blockNumber": "0x2"}, {"blockHash": "0x1234"}, "0xfffffffffffff"]
    )
    def test_says_so_when_there_is_no_such_block(self, at: RpcTestNode, block: object) -> None:
        assert at.fails("eth_getTransactionCount", to_hex(RICH.address), block) == NO_BLOCK

    @pytest.mark.parametrize(
        "block",
        [
            None, "", "0x7fffffffffffffff", "x", -1, True, [], {}, {"blockHash": "0xzz"}, {"blockNumber": "-1"},
            {"blockNumber": "latest"}, {"blockHash": "0x" + "ab" * 32, "requireCanonical": "yes"}, "0x" + "ab" * 33,
            "ab" * 32,
        ],
    )  # fmt: skip
    def test_refuses_the_rest(self, at: RpcTestNode, block: object) -> None:
        assert at.fails("eth_getTransactionCount", to_hex(RICH.address), block)[0] == INVALID_CODE

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_getBalance", ["0x1"]),
            ("eth_getCode", ["0x1"]),
            ("eth_getTransactionCount", ["0x1"]),
            ("eth_getStorageAt", ["0x1", "0x0"]),
            ("eth_getProof", ["0x1", []]),
            ("eth_getBlockReceipts", []),
        ],
    )
    def test_is_required(self, at: RpcTestNode, method: str, params: list[object]) -> None:
        assert at.fails(method, *params)[0] == INVALID_CODE

    def test_is_required_for_a_call(self, at: RpcTestNode) -> None:
        assert at.fails("eth_call", {}) == INVALID_BLOCK


class TestProof:
    def test_proves_an_account_and_its_slots(self, at: RpcTestNode) -> None:
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

    def test_of_an_account_without_code(self, at: RpcTestNode) -> None:
        shown = at.call("eth_getProof", to_hex(RICH.address), [], "latest")
        assert isinstance(shown, dict)
        assert (shown["codeHash"], shown["nonce"], shown["storageProof"]) == (to_hex(EMPTY_KECCAK), "0x1", [])

    def test_there_is_none_of_nobody(self, at: RpcTestNode) -> None:
        assert at.fails("eth_getProof", to_hex(POOR.address), [], "latest") == (-32000, "Account not found")

    @pytest.mark.parametrize("slots", ["0x0", [1], ["0x" + "11" * 33], None])
    def test_wants_a_list_of_slots(self, at: RpcTestNode, slots: object) -> None:
        assert at.fails("eth_getProof", to_hex(RICH.address), slots, "latest")[0] == INVALID_CODE


def call(to: bytes | None, **members: object) -> dict[str, object]:
    return {"to": None if to is None else to_hex(to), **members}


def too_dear(cost: int, balance: int = 0) -> str:
    detail = f"transaction up-front cost {cost:#x} exceeds transaction sender account balance {balance:#x}"
    return f"Upfront cost exceeds account balance ({detail})"


def halted(how: str) -> tuple[int, str]:
    return -32000, f"Transaction processing could not be completed due to an exception ({how})"


class TestCall:
    def test_gives_what_was_returned(self, at: RpcTestNode) -> None:
        assert at.call("eth_call", call(RECIPIENT), "latest") == "0x"
        created = at.call("eth_call", call(None, data="0x600160005260206000f3"), "latest")
        assert created == word(1)

    def test_has_the_blocks_gas_unless_told_otherwise(self, at: RpcTestNode) -> None:
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

    def test_with_no_gas_cannot_begin(self, at: RpcTestNode) -> None:
        assert at.fails("eth_call", call(RECIPIENT, gas="0x0"), "latest") == (
            -32003,
            "Intrinsic gas exceeds gas limit (intrinsic gas cost 21000 exceeds gas limit 0)",
        )

    def test_costs_nothing_unless_it_names_a_price(self, at: RpcTestNode) -> None:
        poor = to_hex(POOR.address)
        broke = (-32004, too_dear(GAS_LIMIT))
        assert at.call("eth_call", call(RECIPIENT, **{"from": poor}), "latest") == "0x"
        assert at.call("eth_call", call(RECIPIENT, **{"from": poor, "gasPrice": "0x0"}), "latest") == "0x"
        assert at.fails("eth_call", call(RECIPIENT, **{"from": poor, "gasPrice": "0x1"}), "latest") == broke
        lenient = call(RECIPIENT, **{"from": poor, "gasPrice": "0x1", "strict": False})
        assert at.call("eth_call", lenient, "latest") == "0x"

    def test_must_own_the_value_in_any_case(self, at: RpcTestNode) -> None:
        broke = (-32004, too_dear(1))
        assert at.fails("eth_call", call(RECIPIENT, value="0x1"), "latest") == broke
        assert at.fails("eth_call", call(RECIPIENT, value="0x1", strict=False), "latest") == broke
        rich = call(RECIPIENT, **{"from": to_hex(RICH.address), "value": "0x1"})
        assert at.call("eth_call", rich, "latest") == "0x"

    def test_may_come_from_a_contract(self, at: RpcTestNode) -> None:
        assert at.call("eth_call", call(RECIPIENT, **{"from": to_hex(CONTRACT_OWNER.address)}), "latest") == "0x"

    def test_reads_amounts_as_hexadecimal_with_or_without_0x(self, at: RpcTestNode) -> None:
        rich = to_hex(RICH.address)
        too_much = format(1001 * ETHER, "x")
        assert at.fails("eth_call", call(RECIPIENT, **{"from": rich, "value": too_much}), "latest")[0] == -32004

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"", "Execution reverted"),
            (b"\x01\x02", "Execution reverted"),
            (bytes.fromhex("08c379a0") + abi_encode(["string"], ["not today"]), "Execution reverted (not today)"),
            (bytes.fromhex("08c379a0") + b"\xff" * 40, "Execution reverted (ABI decode error)"),
            (bytes.fromhex("08c379a0"), "Execution reverted (ABI decode error)"),
            (bytes.fromhex("4e487b71") + (17).to_bytes(32), "Execution reverted"),
        ],
    )
    def test_that_reverts_gives_its_reason(self, at: RpcTestNode, text: bytes, message: str) -> None:
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            error = at.error(method, call(REVERTER_ADDRESS, data=to_hex(text)), "latest")
            assert (error.code, error.message, error.data) == (-32000, message, to_hex(text)), method

    @pytest.mark.parametrize(
        ("code", "how", "explanation"),
        [
            ("fe", "Invalid opcode: 0xfe", "InvalidInstruction"),
            ("623fffff51", "Out of gas", "OutOfGas"),
            ("01", "Stack underflow", "InsufficientStack"),
            ("600356", "Bad jump destination", "InvalidJumpDestination"),
            (
                "5f",
                "Invalid opcode: 0x5f",
                "InvalidInstruction: PUSH0 (0x5f) comes with SHANGHAI; "
                "the contract was compiled for a later fork than BERLIN",
            ),
            (
                "60015c",
                "Invalid opcode: 0x5c",
                "InvalidInstruction: TLOAD (0x5c) comes with CANCUN; "
                "the contract was compiled for a later fork than BERLIN",
            ),
        ],
    )
    def test_that_is_stopped_says_what_stopped_it(self, at: RpcTestNode, code: str, how: str, explanation: str) -> None:
        overrides = {to_hex(POOR.address): {"code": "0x" + code}}
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            error = at.error(method, call(POOR.address), "latest", overrides)
            assert ((error.code, error.message), error.data) == (halted(how), explanation)

    def test_of_a_precompile_that_fails_says_so(self, at: RpcTestNode) -> None:
        pairing = bytes(19) + b"\x08"
        assert at.fails("eth_call", call(pairing, data="0x01"), "latest") == halted("Precompile error")

    def test_sees_the_state_of_its_block(self, at: RpcTestNode) -> None:
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
            {"data": "0x01", "input": "0x02"},
            {"data": "0x", "input": "0x02"},
            {"nonce": "x"},
            {"nonce": hex(2**64)},
            {"chainId": []},
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
    def test_that_is_malformed_is_refused(self, at: RpcTestNode, members: dict[str, object]) -> None:
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            assert at.fails(method, call(RECIPIENT, **members), "latest") == INVALID_CALL

    @pytest.mark.parametrize("given", [None, [], "0x", 1])
    def test_is_an_object(self, at: RpcTestNode, given: object) -> None:
        assert at.fails("eth_call", given, "latest") == INVALID_CALL

    def test_may_give_its_data_twice(self, at: RpcTestNode) -> None:
        same = {"data": "0x0C55699C", "input": "0x0c55699c"}
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            twice = at.call(method, call(LOGGER_ADDRESS, **same), "latest")
            assert twice == at.call(method, call(LOGGER_ADDRESS, data=same["data"]), "latest"), method
        assert at.call("eth_call", call(RECIPIENT, data="0x", input="0x"), "latest") == "0x"

    def test_may_name_a_later_nonce(self, at: RpcTestNode) -> None:
        rich = {"from": to_hex(RICH.address)}
        assert at.call("eth_call", call(RECIPIENT, nonce="0x9", **rich), "latest") == "0x"
        assert at.fails("eth_call", call(RECIPIENT, nonce=0, **rich), "latest") == (
            -32001,
            "Nonce too low (transaction nonce 0 below sender account nonce 1)",
        )

    def test_of_another_chain_is_refused_where_its_type_has_a_chain(self, at: RpcTestNode) -> None:
        listed = {"accessList": [{"address": to_hex(RECIPIENT), "storageKeys": []}]}
        assert at.call("eth_call", call(RECIPIENT, chainId="0x1"), "latest") == "0x"
        assert at.call("eth_call", call(RECIPIENT, chainId=hex(CHAIN_ID), **listed), "latest") == "0x"
        assert at.fails("eth_call", call(RECIPIENT, chainId="0x1", **listed), "latest") == (
            -32000,
            f"Wrong chainId (transaction was meant for chain id 1 and not this chain id {CHAIN_ID})",
        )

    def test_ignores_other_members(self, at: RpcTestNode) -> None:
        assert at.call("eth_call", call(RECIPIENT, type=9, from_=[], input="0x"), "latest") == "0x"

    def test_under_london_is_free_of_the_base_fee(self) -> None:
        london = node(forks=LONDON)
        poor = to_hex(POOR.address)
        assert london.call("eth_call", call(RECIPIENT, **{"from": poor}), "latest") == "0x"
        dear = call(RECIPIENT, **{"from": poor, "maxFeePerGas": hex(10**10)})
        assert london.fails("eth_call", dear, "latest") == (-32004, too_dear(GAS_LIMIT * 10**10))
        assert london.fails("eth_call", {**dear, "gasPrice": "0x1"}, "latest") == (-32004, too_dear(GAS_LIMIT * 10**10))
        cheap = call(RECIPIENT, **{"from": poor, "maxFeePerGas": "0x1"})
        assert london.fails("eth_call", cheap, "latest") == (
            -32009,
            "Gas price below current base fee (gasPrice is less than the current BaseFee)",
        )
        assert london.call("eth_estimateGas", call(RECIPIENT, **{"from": poor})) == hex(21_000)


class TestEstimate:
    def estimate(self, at: RpcTestNode, **members: object) -> int:
        return int(str(at.call("eth_estimateGas", members)), 16)

    def test_of_a_transfer_is_exact(self, at: RpcTestNode) -> None:
        assert self.estimate(at, to=to_hex(RECIPIENT)) == 21_000
        assert self.estimate(at, to=to_hex(RECIPIENT), gas="0x1") == 21_000, "the gas given is not looked at"

    @pytest.mark.parametrize("method", ["eth_estimateGas", "eth_createAccessList"])
    def test_looks_at_the_block_that_is_named(self, method: str) -> None:
        """The storer writes 7 over 0 after the genesis, over 7 after block 1."""
        grown = node()
        grown.send(signed(to=STORER_ADDRESS, data=(7).to_bytes(32), value=0))
        grown.grow()
        store = call(STORER_ADDRESS, data=word(7))
        first, second = (grown.call(method, store, block) for block in ("earliest", "0x1"))
        assert first != second
        assert grown.call(method, store) == grown.call(method, store, "latest") == second
        assert grown.call(method, store, to_hex(grown.chain.hash_at(0) or b"")) == first
        assert grown.fails(method, store, "0x9") == NO_BLOCK
        assert grown.fails(method, store, -1) == (-32602, "Invalid block number params")
        wrongs: list[object] = ["garbage", [], {}]
        for wrong in wrongs:
            assert grown.fails(method, store, wrong) == INVALID_BLOCK

    @pytest.mark.parametrize(
        "members",
        [{"to": to_hex(STORER_ADDRESS), "data": word(9)}, {"to": to_hex(CALLER_ADDRESS)}, {"data": "0x60016000f3"}],
        ids=["stores", "calls", "creates"],
    )
    def test_suffices_and_is_near_what_is_needed(self, at: RpcTestNode, members: dict[str, object]) -> None:
        """EIP-2200 wants 2300 left when storage is written, so what was used is not enough."""

        def succeeds(gas: int) -> bool:
            try:
                at.call("eth_call", {**members, "gas": hex(gas)}, "latest")
            except RpcError:
                return False
            return True

        gas = self.estimate(at, **members)
        assert succeeds(gas)
        assert not succeeds(gas - gas * 2 // 100)

    def test_is_exact_where_the_operator_wants_it(self) -> None:
        exact = node(api=ApiSettings(estimate_tolerance=0.0))
        members = {"to": to_hex(STORER_ADDRESS), "data": word(9)}
        gas = self.estimate(exact, **members)
        assert exact.call("eth_call", {**members, "gas": hex(gas)}, "latest") == "0x"
        assert exact.error("eth_call", {**members, "gas": hex(gas - 1)}, "latest").data == "OutOfGas"

    def test_is_not_above_what_the_operator_allows(self) -> None:
        capped = node(api=ApiSettings(gas_cap=50_000))
        loop = {to_hex(POOR.address): {"code": "0x5b600056"}}
        assert capped.error("eth_estimateGas", call(POOR.address), "latest", loop).data == "OutOfGas"
        needs_a_third = {to_hex(POOR.address): {"code": "0x614e205a10600a57005bfe"}}  # fails with 20,000 or less
        assert (
            41_000 < int(str(capped.call("eth_estimateGas", call(POOR.address), "latest", needs_a_third)), 16) <= 50_000
        )

    def test_is_that_of_a_node_without_a_cap_where_the_cap_suffices(self) -> None:
        """Besu searches up to the block's limit, whatever its cap is."""
        needs_a_third = {to_hex(POOR.address): {"code": "0x614e205a10600a57005bfe"}}
        asked = (call(POOR.address), "latest", needs_a_third)
        free = node(api=ApiSettings(gas_cap=0)).call("eth_estimateGas", *asked)
        assert [node(api=ApiSettings(gas_cap=cap)).call("eth_estimateGas", *asked) for cap in (45_000, 70_000)] == [
            free,
            free,
        ]

    def test_lets_the_sender_be_poor_unless_it_is_strict(self, at: RpcTestNode) -> None:
        poor = {"from": to_hex(POOR.address), "to": to_hex(RECIPIENT), "gasPrice": "0x1"}
        assert at.call("eth_estimateGas", poor) == hex(21_000)
        assert at.fails("eth_estimateGas", {**poor, "strict": True})[0] == -32004


class TestAccessList:
    def test_names_the_slots_that_are_touched(self, at: RpcTestNode) -> None:
        shown = at.call("eth_createAccessList", call(STORER_ADDRESS, data=word(9)))
        assert isinstance(shown, dict)
        assert list(shown) == ["accessList", "gasUsed"]
        assert shown["accessList"] == [{"address": to_hex(STORER_ADDRESS), "storageKeys": [word(0)]}]
        at.send(
            typed(
                nonce=at.chain.state_at(at.chain.head.header).nonce(RICH.address),
                gas=int(str(at.call("eth_estimateGas", call(STORER_ADDRESS, data=word(9)))), 16) + 4_300,
                to=STORER_ADDRESS,
                data=(9).to_bytes(32),
                access_list=[(STORER_ADDRESS, (bytes(32),))],
            )
        )
        receipt = at.call("eth_getTransactionReceipt", to_hex(at.grow().transactions[0].hash))
        assert isinstance(receipt, dict)
        assert receipt["status"] == "0x1"

    def test_is_empty_where_no_slot_is(self, at: RpcTestNode) -> None:
        assert at.call("eth_createAccessList", call(LOGGER_ADDRESS, gas="0x1"))["accessList"] == []  # type: ignore[index]
        assert at.call("eth_createAccessList", call(RECIPIENT)) == {"accessList": [], "gasUsed": hex(21_000)}
