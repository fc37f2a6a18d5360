"""What a private message holds has a bound in bytes, which every member counts alike."""

from typing import Any

import pytest

from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget
from lacnode.evm.engine import OpenBlock
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.py_evm_private import (
    PRIVATE_ACCOUNT_BYTES,
    PRIVATE_CALL_BYTES,
    PRIVATE_CHANGE_BYTES,
    PRIVATE_SLOT_BYTES,
    PRIVATE_STACK_ITEM_BYTES,
    PRIVATE_TRANSIENT_WRITE_BYTES,
)
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from tests.support.evm_network import RICH, Network, push, signed

pytestmark = pytest.mark.usefixtures("each_engine")

CANCUN: dict[str, Any] = {"berlinBlock": 0, "londonBlock": 0, "zeroBaseFee": True, "shanghaiTime": 0, "cancunTime": 0}
CREATED, PUBLIC, EMPTY = b"\xc0" * 20, b"\xcc" * 20, b"\xee" * 20
BOUND_BYTES = 2**20
INPUT_BYTES = 2**15
STACK_ITEMS = 990


@pytest.fixture(autouse=True)
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_PRIVATE_MEMORY_BYTES", BOUND_BYTES)


def repeated(rounds: int, body: bytes, start: int = 0) -> bytes:
    """Code that does `body` with `rounds`, `rounds` - 1 and so on at the top of the stack. It begins at `start`."""
    return push(rounds, 3) + b"\x5b" + body + bytes.fromhex("6001900380") + push(start + 4, 2) + b"\x57\x50"


def static_call(to: bytes, size: int = 0) -> bytes:
    return push(0, 1) * 2 + push(size, 4) + push(0, 1) + push(to) + b"\x5a\xfa\x50"


def creation(code: bytes) -> PrivateMessage:
    """A message that makes a private contract by `code`."""
    return PrivateMessage(RICH.address, 0, None, CREATED, code)


def call(number: int) -> PrivateMessage:
    """A message that calls the public contract with `number`."""
    return PrivateMessage(RICH.address, 0, PUBLIC, None, number.to_bytes(32))


def with_contract(address: bytes, code: bytes) -> Network:
    return Network({address: {"code": code.hex(), "balance": "0x0"}}, **CANCUN)


def opened(net: Network) -> OpenBlock:
    return net.open(base_fee=0)


def execute(block: OpenBlock, message: PrivateMessage, budget: ExecutionBudget = UNLIMITED) -> PrivateResult:
    return block.execute_private({}, EMPTY_TRIE_ROOT, message, budget=budget)


def around(size: int) -> tuple[int, int]:
    """How often something of `size` bytes fits, with a little place for everything else, and how often it does not."""
    times = BOUND_BYTES // size
    return times * 97 // 100, times * 103 // 100


LOOPS = {
    "a slot written again and again": ("80600055", PRIVATE_CHANGE_BYTES),
    "slots written": ("808055", PRIVATE_SLOT_BYTES + 2 * PRIVATE_CHANGE_BYTES),
    "slots read": ("805450", PRIVATE_SLOT_BYTES + PRIVATE_CHANGE_BYTES),
    "accounts read": ("803150", PRIVATE_ACCOUNT_BYTES + PRIVATE_CHANGE_BYTES),
    "transient storage": ("8060005d", PRIVATE_TRANSIENT_WRITE_BYTES),
    "calls of an account without code": (static_call(EMPTY).hex(), PRIVATE_CALL_BYTES),
}


@pytest.mark.parametrize(("body", "size"), LOOPS.values(), ids=LOOPS)
def test_what_a_loop_makes_the_node_hold_counts(body: str, size: int) -> None:
    block = opened(Network(**CANCUN))
    fitting, exceeding = (creation(repeated(rounds, bytes.fromhex(body))) for rounds in around(size))
    assert execute(block, fitting).success
    assert execute(block, exceeding) == PrivateResult(False, EMPTY_TRIE_ROOT)


def test_the_bound_is_for_all_of_it_together() -> None:
    block = opened(Network(**CANCUN))
    bodies = [bytes.fromhex(LOOPS[name][0]) for name in ("a slot written again and again", "transient storage")]
    fitting = [around(size)[0] for size in (PRIVATE_CHANGE_BYTES, PRIVATE_TRANSIENT_WRITE_BYTES)]
    first = repeated(fitting[0], bodies[0])
    assert not execute(block, creation(first + repeated(fitting[1], bodies[1], len(first)))).success


def test_changes_that_are_final_or_taken_back_count_no_more() -> None:
    """Four times a third of what fits. A nested call succeeds after the first two times, and fails after the others."""
    code, rounds = b"", around(3 * PRIVATE_CHANGE_BYTES)[0]
    for called in (EMPTY, EMPTY, PUBLIC, PUBLIC):
        code += repeated(rounds, bytes.fromhex("80600055"), len(code)) + static_call(called)
    assert execute(opened(with_contract(PUBLIC, b"\xfe")), creation(code)).success


@pytest.mark.parametrize("is_read_before", [False, True])
def test_slots_of_public_accounts_count_whether_or_not_the_node_has_read_them(is_read_before: bool) -> None:
    block = opened(with_contract(PUBLIC, bytes.fromhex("600035" + "5b" + "805450" + "600190038060035700")))
    fitting, exceeding = around(PRIVATE_SLOT_BYTES + PRIVATE_CHANGE_BYTES)
    if is_read_before:
        block.add(signed(RICH, 0, to=PUBLIC, data=exceeding.to_bytes(32), gas=10_000_000), RICH.address)
    assert execute(block, call(fitting)).success
    assert execute(block, call(exceeding)) == PrivateResult(False, EMPTY_TRIE_ROOT)


def calling_itself(before: bytes, size: int) -> bytes:
    """Code that calls itself as often as its input says, with `size` bytes of input, each time after it did `before`."""
    further = bytes.fromhex("60019003600052") + before
    further += push(0, 1) * 2 + push(size, 4) + push(0, 1) * 2 + bytes.fromhex("305af100")
    return bytes.fromhex("6000358015") + push(9 + len(further), 2) + b"\x57" + further + b"\x5b\x00"


CHAINS = {
    "input beside memory": (calling_itself(b"", INPUT_BYTES), 2 * INPUT_BYTES),
    "output beside memory": (calling_itself(static_call(b"\x04", INPUT_BYTES), 32), 2 * INPUT_BYTES),
    "stacks": (calling_itself(b"\x5f" * STACK_ITEMS, 32), STACK_ITEMS * PRIVATE_STACK_ITEM_BYTES),
}


@pytest.mark.parametrize(("code", "size"), CHAINS.values(), ids=CHAINS)
def test_copies_of_memory_and_stacks_of_calls_in_each_other_count(code: bytes, size: int) -> None:
    block, fitting = opened(with_contract(PUBLIC, code)), BOUND_BYTES // size - 1
    assert execute(block, call(fitting)).success
    assert execute(block, call(fitting + 2)) == PrivateResult(False, EMPTY_TRIE_ROOT)


def test_copies_of_memory_count_until_their_call_ends() -> None:
    calls = [static_call(called, INPUT_BYTES) * 40 for called in (EMPTY, b"\x04")]
    assert execute(opened(with_contract(PUBLIC, b"".join(calls))), call(0)).success


@pytest.mark.parametrize(("size", "fits"), [(490 * 2**10, True), (540 * 2**10, False)])
def test_the_code_of_a_creation_counts_beside_the_memory_that_it_comes_from(size: int, fits: bool) -> None:
    """Before Shanghai that code has no limit of its own."""
    create = push(size, 4) + push(0, 1) * 2 + b"\xf0\x50"
    assert execute(Network(berlinBlock=0).open(), creation(create)).success is fits


class CutBudget(ExecutionBudget):
    """A budget that ends the execution at a number of looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks_left = looks

    def check(self) -> None:
        self._looks_left -= 1
        if self._looks_left < 0:
            raise BudgetExceededError("a slice of the test")

    def joined_with(self, other: ExecutionBudget) -> "CutBudget":
        return self


def executed_in_slices(block: OpenBlock, message: PrivateMessage) -> tuple[PrivateResult, int]:
    """The result, and how many slices ended before it. Each has twice the looks."""
    slices = 0
    while True:
        try:
            return execute(block, message, CutBudget(2**slices)), slices
        except BudgetExceededError:
            slices += 1


@pytest.mark.parametrize(("body", "size"), LOOPS.values(), ids=LOOPS)
def test_the_result_is_the_same_in_slices(body: str, size: int) -> None:
    net = Network(**CANCUN)
    sliced = opened(net)
    for rounds in around(size):
        message = creation(repeated(rounds, bytes.fromhex(body)))
        result, slices = executed_in_slices(sliced, message)
        assert slices > 2
        assert result == execute(opened(net), message)
