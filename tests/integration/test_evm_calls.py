"""Calls without a signature, views of the state and proofs; and that they may run beside each other and a block."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from trie.hexary import HexaryTrie

from lacnode.evm.engine import CallLimitExceededError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT, keccak256
from tests.support.evm_network import COINBASE, FRIEND, GAS_LIMIT, POOR, RICH, Network, push, returned, signed

pytestmark = pytest.mark.usefixtures("each_engine")

CONTRACT, OTHER = b"\xcc" * 20, b"\xdd" * 20
LOOP = bytes.fromhex("5b600056")
BEYOND = 2**62
"""Gas that no block has, but a call may ask for where there is no cap."""


def contract(code: bytes, **fields: Any) -> dict[bytes, dict[str, Any]]:
    return {CONTRACT: {"code": code.hex(), **fields}}


def calling(address: bytes, gas: bytes = b"\x5a", size: int = 0) -> bytes:
    """Code that calls `address` with `size` bytes of memory and leaves the outcome on the stack."""
    return push(0, 1) * 2 + push(size, 4) + push(0, 1) * 2 + push(address) + gas + b"\xf1"


def soon() -> float:
    return time.monotonic() + 0.3


def rejection(net: Network, **request: Any) -> str:
    with pytest.raises(TransactionRejectedError) as rejected:
        net.call(**request)
    return rejected.value.reason.name


class TestResults:
    def test_success_gives_output_and_changes_nothing(self) -> None:
        net = Network(contract(bytes.fromhex("6001600055") + returned(push(42, 1))))
        result = net.call(to=CONTRACT)
        assert (result.success, int.from_bytes(result.output), result.halt) == (True, 42, None)
        assert net.state.storage(CONTRACT, 0) == 0

    def test_revert_and_other_ends_are_told_apart(self) -> None:
        net = Network(contract(bytes.fromhex("60ee60005260206000fd")))
        reverted = net.call(to=CONTRACT)
        assert (reverted.success, reverted.halt, reverted.output[-1]) == (False, "reverted", 0xEE)
        halted = Network(contract(b"\xfe")).call(to=CONTRACT)
        assert (halted.success, halted.output) == (False, b"")
        assert halted.halt not in (None, "reverted")
        assert halted.gas_used == GAS_LIMIT

    def test_creation_gives_the_code(self) -> None:
        result = Network().call(data=bytes.fromhex("60ab60005360016000f3"))
        assert (result.success, result.output) == (True, b"\xab")

    def test_gas_is_told_before_and_after_refunds(self) -> None:
        net = Network(contract(bytes.fromhex("6000600055"), storage={"0": "1"}))
        result = net.call(to=CONTRACT)
        assert result.gas_before_refund == 21_000 + 3 + 3 + 5_000
        assert result.gas_used == result.gas_before_refund // 2

    def test_the_environment_is_the_blocks_own(self) -> None:
        net = Network(contract(returned(b"\x43")))
        net.execute()
        net.execute()
        assert int.from_bytes(net.call(to=CONTRACT).output) == 2

    def test_a_state_that_is_not_there_is_told(self) -> None:
        net = Network()
        net.store.clear()
        with pytest.raises(MissingNodeError):
            net.call(to=CONTRACT)


class TestWhatIsTouched:
    def test_addresses_and_slots_touched_are_listed(self) -> None:
        net = Network(contract(bytes.fromhex("60055450600754")))
        touched = dict(net.call(to=CONTRACT).touched)
        assert touched[CONTRACT] == ((5).to_bytes(32), (7).to_bytes(32))


class TestWhoMayCall:
    def test_anyone_for_free_contracts_too(self) -> None:
        net = Network({**contract(b"\x00"), OTHER: {"code": "0x00"}})
        assert net.call(sender=POOR.address, to=CONTRACT, gas_price=10**18).success
        assert net.call(sender=OTHER, to=CONTRACT).success

    def test_who_sends_value_must_have_it(self) -> None:
        assert rejection(Network(), sender=POOR.address, to=FRIEND, value=1) == "UPFRONT_COST_EXCEEDS_BALANCE"

    def test_strictly_the_gas_must_be_paid_too(self) -> None:
        strict = {"allow_exceeding_balance": False, "to": FRIEND, "gas_price": 1}
        net = Network()
        assert net.call(sender=RICH.address, **strict).success
        assert rejection(net, sender=POOR.address, **strict) == "UPFRONT_COST_EXCEEDS_BALANCE"

    def test_prices_are_checked_against_the_base_fee_only_if_paid(self) -> None:
        net = Network(londonBlock=0)
        net.execute(base_fee=9)
        fees = {"sender": RICH.address, "to": FRIEND, "max_fee_per_gas": 8}
        assert net.call(**fees).success
        assert rejection(net, **fees, allow_exceeding_balance=False) == "GAS_PRICE_BELOW_CURRENT_BASE_FEE"
        above = {**fees, "max_fee_per_gas": 10, "max_priority_fee_per_gas": 11, "allow_exceeding_balance": False}
        assert rejection(net, **above) == "MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS"

    def test_gas_must_cover_what_comes_first(self) -> None:
        assert rejection(Network(), to=FRIEND, gas=20_999) == "INTRINSIC_GAS_EXCEEDS_GAS_LIMIT"

    def test_the_nonce_does_not_matter(self) -> None:
        net = Network()
        net.execute(signed(RICH, 0, to=FRIEND))
        assert net.call(sender=RICH.address, to=FRIEND).success


class TestBounds:
    @pytest.mark.parametrize(
        "code",
        [
            LOOP,
            b"\x5b" + calling(OTHER) + bytes.fromhex("50600056"),
            bytes.fromhex("5b63000fffff60002050600056"),
            bytes.fromhex("6000633000000053"),
            bytes.fromhex("600063ffffffff53"),
            push((2**31).to_bytes(4).ljust(32, b"\0")) + push(0, 1) + b"\x52" + push(1, 1) + push(212, 1)
            + b"\x53" + calling(b"\x09".rjust(20, b"\0"), size=213),
        ],
        ids=["loop", "calls", "hashes", "much memory", "too much memory", "blake2"],
    )  # fmt: skip
    def test_a_call_ends_when_its_time_is_over_or_its_memory_too_much(self, code: bytes) -> None:
        net = Network(contract(code))
        with pytest.raises(CallLimitExceededError):
            net.call(to=CONTRACT, gas=BEYOND, deadline=soon())

    def test_memory_of_calls_that_are_over_counts_no_more(self) -> None:
        """A thousand calls with a megabyte each, one after the other."""
        inner = bytes.fromhex("620fffe0600052")
        code = push(1000, 2) + b"\x5b" + calling(OTHER) + bytes.fromhex("506001900380600357")
        net = Network({**contract(code), OTHER: {"code": inner.hex()}})
        result = net.call(to=CONTRACT, gas=BEYOND, deadline=time.monotonic() + 60)
        assert result.success

    def test_calls_nest_to_the_limit_in_any_thread(self) -> None:
        code = returned(push(0, 1) * 5 + b"\x30\x5a\xf1")
        net = Network(contract(code))
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(net.call, to=CONTRACT, gas=BEYOND).result()
        assert (result.success, result.halt) == (True, None)

    def test_jumps_over_megabytes_of_pushes(self) -> None:
        """Nothing but PUSH32 all over, of which every 33rd is one and the others are data."""
        body = b"\x7f" * 33 * 100_000
        code = push(6 + len(body), 4) + b"\x56" + body + b"\x5b\x00"
        assert Network(contract(code)).call(to=CONTRACT).success
        off_by_one = push(5 + len(body), 4) + b"\x56" + body[1:] + b"\x5b\x00"
        assert not Network(contract(off_by_one)).call(to=CONTRACT).success

    def test_a_jump_into_the_data_of_a_push_fails(self) -> None:
        assert not Network(contract(bytes.fromhex("600456605b00"))).call(to=CONTRACT).success
        assert Network(contract(bytes.fromhex("600456505b00"))).call(to=CONTRACT).success


class TestViews:
    def test_of_what_is_not_there_are_empty(self) -> None:
        state = Network().state
        assert not state.exists(FRIEND)
        assert (state.balance(FRIEND), state.nonce(FRIEND), state.code(FRIEND), state.storage(FRIEND, 5)) == (
            0,
            0,
            b"",
            0,
        )
        assert state.proof(FRIEND, [1]) is None

    def test_show_the_state_they_were_opened_at(self) -> None:
        net = Network()
        before = net.state
        net.execute(signed(RICH, 0, to=FRIEND, value=5))
        assert (before.balance(FRIEND), net.state.balance(FRIEND)) == (0, 5)

    def test_proofs_convince_another_implementation(self) -> None:
        storage = {hex(slot): hex(slot + 1) for slot in range(20)}
        net = Network(contract(b"\x00", storage=storage, balance="9"))
        proof = net.state.proof(CONTRACT, [3, 999])
        assert proof is not None
        account = checked(net.header.state_root, CONTRACT, proof.nodes)
        assert account == rlp.encode([b"", b"\x09", proof.storage_root, keccak256(b"\x00")])
        (_, value, nodes), (_, absent, absence) = proof.storage
        assert (value, absent) == (4, 0)
        assert checked(proof.storage_root, (3).to_bytes(32), nodes) == b"\x04"
        assert checked(proof.storage_root, (999).to_bytes(32), absence) == b""

    def test_proofs_of_accounts_without_storage(self) -> None:
        proof = Network().state.proof(RICH.address, [0])
        assert proof is not None
        assert (proof.storage_root, proof.code_hash) == (EMPTY_TRIE_ROOT, EMPTY_KECCAK)
        assert proof.storage == ((0, 0, ()),)


def checked(root: bytes, key: bytes, nodes: tuple[bytes, ...]) -> bytes:
    decoded = [rlp.decode(node) for node in nodes]
    trie: Any = HexaryTrie
    value: bytes = trie.get_from_proof(root, keccak256(key), decoded)
    return value


def test_calls_and_views_run_beside_a_block() -> None:
    """Threads read the old state while the writer executes on it."""
    code = bytes.fromhex("600160005401600055") + returned(push(0, 1), b"\x54")
    net = Network(contract(code, storage={"0": "5"}))
    root, header, stop = net.header.state_root, net.header, threading.Event()
    old = net.state

    def read() -> int:
        count = 0
        while not stop.is_set() or count == 0:
            assert int.from_bytes(net.call(to=CONTRACT).output) >= 6
            assert (old.storage(CONTRACT, 0), old.nonce(RICH.address)) == (5, 0)
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for block in range(5):
            net.execute(*(signed(RICH, 20 * block + n, to=CONTRACT) for n in range(20)))
        stop.set()
        assert all(reader.result() > 0 for reader in readers)
    assert net.state.storage(CONTRACT, 0) == 105
    assert (net.engine.accounts(root).storage(CONTRACT, 0), header.number) == (5, 0)
    assert net.state.balance(COINBASE) == 0


def test_an_account_that_delegates_and_calls_itself_pays_for_init_code_once() -> None:
    """EIP-7702 lets the origin of a transaction have code, and that code create contracts."""
    creating = push(32, 1) + push(0, 1) * 2 + b"\xf0\x00"
    delegating: dict[str, Any] = {"code": (b"\xef\x01\x00" + OTHER).hex(), "nonce": "0x1"}
    requests: dict[str, Any] = dict.fromkeys(
        ("withdrawalRequestContractAddress", "consolidationRequestContractAddress", "depositContractAddress"),
        "0x" + 20 * "99",
    )
    forks: dict[str, Any] = {"londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "zeroBaseFee": True}
    net = Network({OTHER: {"code": creating.hex()}, CONTRACT: delegating}, **forks, **requests)
    by_others, by_itself = (net.call(sender=sender, to=CONTRACT).gas_used for sender in (FRIEND, CONTRACT))
    assert by_itself == by_others


def test_a_jump_into_the_data_of_a_push_is_a_bad_jump() -> None:
    net = Network({CONTRACT: {"code": (push(4, 1) + b"\x56" + push(0x5B, 1)).hex()}})
    result = net.call(to=CONTRACT)
    assert (result.halt, result.explanation) == ("Bad jump destination", "InvalidJumpDestination")
